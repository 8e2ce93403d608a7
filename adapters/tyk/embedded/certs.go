package embedded

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"
)

// A certificate is what Redis keeps under one id. A public key alone has neither
// leaf nor pair.
type certificate struct {
	id          string // the organisation's, then the fingerprint
	org         string
	fingerprint string // SHA-256 of the leaf's DER, in hex
	leaf        *x509.Certificate
	// chained is true when other certificates came behind the leaf.
	chained bool
	// pair is nil when it came without a private key.
	pair *tls.Certificate
}

// refusal is a message of the gateway, which is all that it says: each comes with
// 403.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errRedis       = refusal("storage: Redis is either down or was not configured")
	errNotPEM      = refusal("Failed to decode certificate. It should be PEM encoded.")
	errManyKeys    = refusal("Found multiple private keys")
	errCertExpired = refusal("certificate is expired")
)

// parseCertificate reads an upload. PEM is searched in the raw bytes, so that a
// multipart form works as well, and blocks may come in any order, save that the
// leaf is the first certificate.
func parseCertificate(data []byte, org string, now time.Time) (*certificate, error) {
	var chain, key, public []byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			chain = append(chain, pem.EncodeToMemory(block)...)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if key != nil {
				return nil, errManyKeys
			}
			key = pem.EncodeToMemory(block)
		case block.Type == "PUBLIC KEY":
			public = block.Bytes
		}
	}
	c := &certificate{org: org}
	der := public
	if chain != nil {
		if err := c.setPair(chain, key, now); err != nil {
			return nil, err
		}
		der = c.leaf.Raw
	} else if public == nil || key != nil {
		return nil, errNotPEM
	}
	c.fingerprint = fingerprint(der)
	c.id = org + c.fingerprint
	return c, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func (c *certificate) setPair(chain, key []byte, now time.Time) error {
	block, rest := pem.Decode(chain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	c.leaf, c.chained = leaf, len(rest) > 0
	if key != nil {
		pair, err := tls.X509KeyPair(chain, key)
		if err != nil {
			return err
		}
		c.pair = &pair
	}
	if now.After(leaf.NotAfter) {
		return errCertExpired
	}
	return nil
}

// addCertificate keeps a certificate, unless its id is there, whether with or
// without a private key.
func (s *Store) addCertificate(c *certificate, pretend bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errRedis
	}
	if s.certs[c.id] != nil {
		return refusal("Certificate with " + c.id + " id already exists")
	}
	if !pretend {
		s.certs[c.id] = c
	}
	return nil
}

// certificate returns nil when there is none, or no Redis.
func (s *Store) certificate(id string) *certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil
	}
	return s.certs[id]
}

func (s *Store) removeCertificate(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down {
		delete(s.certs, id)
	}
}

// certificates of an organisation, in the order of ids. Without one, the real
// gateway's list is right once and then empty for ever, because of a marker that it
// leaves in Redis.
func (s *Store) certificates(org string) []*certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil
	}
	if org == "" {
		if s.listedAll {
			return nil
		}
		s.listedAll = true
	}
	var certs []*certificate
	for _, c := range s.certs {
		if org == "" || c.org == org {
			certs = append(certs, c)
		}
	}
	slices.SortFunc(certs, func(a, b *certificate) int { return cmp.Compare(a.id, b.id) })
	return certs
}

// servable tells whether TLS can use the certificate: Ed25519 keys are accepted on
// upload and never served.
func (c *certificate) servable() bool {
	return c.pair != nil && c.leaf.PublicKeyAlgorithm != x509.Ed25519
}
