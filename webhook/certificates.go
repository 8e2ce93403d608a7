package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
)

// Certificates is where the serving certificate comes from: Files, or Self.
type Certificates interface {
	// GetCertificate is for tls.Config: it gives what is to be served now, with its
	// Leaf, or an error that says why there is nothing.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Run follows the source until ctx ends. An error means that it never can.
	Run(ctx context.Context) error
}

var errNoCertificate = errors.New("there is no serving certificate yet")

// serving is the certificate that is served now. It stays until another one takes its
// place.
type serving struct {
	current atomic.Pointer[tls.Certificate]
}

// GetCertificate implements Certificates.
func (s *serving) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.current.Load(); c != nil {
		return c, nil
	}
	return nil, errNoCertificate
}
