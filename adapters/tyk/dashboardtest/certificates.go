package dashboardtest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A certificate is what the Dashboard tells of one. It keeps no keys: nobody asks
// for them.
type certificate struct {
	ID          string    `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	HasPrivate  bool      `json:"has_private"`
	IsCA        bool      `json:"is_ca"`
	DNSNames    []string  `json:"dns_names"`
	Issuer      pkix.Name `json:"issuer"`
	Subject     pkix.Name `json:"subject"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
}

// A certificateAnswer has the keys of the gateway, in lower case.
type certificateAnswer struct {
	ID      string `json:"id,omitempty"`
	Message string `json:"message"`
	Status  string `json:"status"`
}

func (s *state) certificate(id string) *certificate {
	for _, c := range s.certificates {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (d *Dashboard) createCertificate(s *state, r *http.Request) answer {
	file, _, err := r.FormFile(certificateField)
	if err != nil {
		return failure(statusNoCertificate, messageNoCertificate)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return failure(statusNoCertificate, messageNoCertificate)
	}
	leaf, private, refusal := parseCertificate(text)
	if refusal != "" {
		return failure(statusCertificateRefused, messageCertificateRefused+refusal)
	}
	c := describe(leaf, private, caller(r).OrgID)
	if s.certificate(c.ID) != nil {
		return failure(statusCertificateRefused, messageCertificateRefused+taken(c.ID))
	}
	s.certificates = append(s.certificates, c)
	return answer{http.StatusOK, certificateAnswer{c.ID, messageCertificateAdded, certificateOK}}
}

func (d *Dashboard) listCertificates(s *state, r *http.Request) answer {
	shown, pages, err := paged(s.certificates, r)
	if err != nil {
		return failure(statusNoCertificates, messageNoCertificates)
	}
	ids := []string{}
	for _, c := range shown {
		ids = append(ids, c.ID)
	}
	return answer{http.StatusOK, map[string]any{"certs": ids, "pages": pages}}
}

func (d *Dashboard) getCertificate(s *state, r *http.Request) answer {
	id := r.PathValue("id")
	if !owns(r, id) {
		return failure(statusForeignCertificate, messageForeignCertificate)
	}
	c := s.certificate(id)
	if c == nil {
		return failure(statusUnknownCertificate, messageUnknownCertificate)
	}
	return answer{http.StatusOK, c}
}

func (d *Dashboard) deleteCertificate(s *state, r *http.Request) answer {
	id := r.PathValue("id")
	if !owns(r, id) {
		return failure(statusForeignCertificate, messageForeignCertificate)
	}
	c := s.certificate(id)
	if c == nil {
		return failure(statusUnknownCertificate, messageUndeletableCertificate)
	}
	s.certificates = slices.DeleteFunc(s.certificates, func(other *certificate) bool { return other == c })
	return answer{http.StatusOK, certificateAnswer{Message: messageCertificateRemoved, Status: certificateOK}}
}

// owns tells whether a certificate with this id is one of the user's organisation.
func owns(r *http.Request, id string) bool { return strings.HasPrefix(id, caller(r).OrgID) }

func describe(leaf *x509.Certificate, private bool, org string) *certificate {
	sum := sha256.Sum256(leaf.Raw)
	fingerprint := hex.EncodeToString(sum[:])
	return &certificate{
		ID:          org + fingerprint,
		Fingerprint: fingerprint,
		HasPrivate:  private,
		IsCA:        leaf.IsCA,
		DNSNames:    leaf.DNSNames,
		Issuer:      leaf.Issuer,
		Subject:     leaf.Subject,
		NotBefore:   leaf.NotBefore,
		NotAfter:    leaf.NotAfter,
	}
}

// parseCertificate gives the leaf, which is the first certificate of the file, and
// whether its private key is there as well; or else what the Dashboard says of it.
func parseCertificate(text []byte) (leaf *x509.Certificate, private bool, refusal string) {
	var chain, key []byte
	var first *pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "CERTIFICATE":
			chain = append(chain, pem.EncodeToMemory(block)...)
			if first == nil {
				first = block
			}
		case strings.HasSuffix(block.Type, "PRIVATE KEY") && key != nil:
			return nil, false, messageManyKeys
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key = pem.EncodeToMemory(block)
		}
	}
	if first == nil {
		return nil, false, messageNotPEM
	}
	if key != nil {
		if _, err := tls.X509KeyPair(chain, key); err != nil {
			return nil, false, err.Error()
		}
	}
	leaf, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, false, err.Error()
	}
	return leaf, key != nil, ""
}
