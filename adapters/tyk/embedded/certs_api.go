package embedded

import (
	"crypto/x509/pkix"
	"net/http"
	"strings"
	"time"
)

// certAdded is the answer to an upload.
type certAdded struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Message string `json:"message"`
}

// certBasics is an entry of the detailed list.
type certBasics struct {
	ID         string    `json:"id"`
	IssuerCN   string    `json:"issuer_cn"`
	SubjectCN  string    `json:"subject_cn"`
	DNSNames   []string  `json:"dns_names"`
	HasPrivate bool      `json:"has_private"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	IsCA       bool      `json:"is_ca"`
}

// certMeta is what is told of one certificate.
type certMeta struct {
	ID          string    `json:"id"`
	Fingerprint string    `json:"fingerprint"`
	HasPrivate  bool      `json:"has_private"`
	Issuer      pkix.Name `json:"issuer"`
	Subject     pkix.Name `json:"subject"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DNSNames    []string  `json:"dns_names"`
	IsCA        bool      `json:"is_ca"`
}

func (g *Gateway) addCert(c *call) {
	body, err := c.body()
	if err != nil {
		c.fail(http.StatusMethodNotAllowed, "Malformed request body")
		return
	}
	cert, err := parseCertificate(body, c.r.URL.Query().Get("org_id"), time.Now())
	if err == nil {
		err = g.store.addCertificate(cert, c.lost)
	}
	if err != nil {
		c.fail(http.StatusForbidden, err.Error())
		return
	}
	c.answer(http.StatusOK, certAdded{cert.id, "ok", "Certificate added"})
}

// listCerts lists ids, or with mode=detailed what they stand for. No certificate
// is null, not [].
func (g *Gateway) listCerts(c *call) {
	query := c.r.URL.Query()
	certs := g.store.certificates(query.Get("org_id"))
	if query.Get("mode") == "detailed" {
		var list []certBasics
		for _, cert := range certs {
			list = append(list, cert.basics())
		}
		c.answer(http.StatusOK, map[string]any{"certs": list})
		return
	}
	var ids []string
	for _, cert := range certs {
		ids = append(ids, cert.id)
	}
	c.answer(http.StatusOK, map[string]any{"certs": ids})
}

// getCerts tells of one certificate, or of several in a list, with null for those
// that are missing.
func (g *Gateway) getCerts(c *call) {
	ids := strings.Split(c.id, ",")
	metas := make([]*certMeta, len(ids))
	for i, id := range ids {
		if cert := g.store.certificate(id); cert != nil {
			metas[i] = cert.meta()
		}
	}
	switch {
	case len(metas) > 1:
		c.answer(http.StatusOK, metas)
	case metas[0] == nil:
		c.fail(http.StatusNotFound, "Certificate with given SHA256 fingerprint not found")
	default:
		c.answer(http.StatusOK, metas[0])
	}
}

// deleteCert answers 200 for ids that it never saw as well.
func (g *Gateway) deleteCert(c *call) {
	if !c.lost {
		g.store.removeCertificate(c.id)
	}
	c.answer(http.StatusOK, status{"ok", "removed"})
}

func (c *certificate) basics() certBasics {
	b := certBasics{ID: c.id, HasPrivate: c.pair != nil}
	if l := c.leaf; l != nil {
		b.IssuerCN, b.SubjectCN, b.DNSNames = l.Issuer.CommonName, l.Subject.CommonName, l.DNSNames
		b.NotBefore, b.NotAfter, b.IsCA = l.NotBefore, l.NotAfter, l.IsCA
	}
	return b
}

func (c *certificate) meta() *certMeta {
	m := &certMeta{ID: c.id, Fingerprint: c.fingerprint, HasPrivate: c.pair != nil}
	if l := c.leaf; l != nil {
		m.Issuer, m.Subject, m.DNSNames = l.Issuer, l.Subject, l.DNSNames
		m.NotBefore, m.NotAfter, m.IsCA = l.NotBefore, l.NotAfter, l.IsCA
	}
	return m
}
