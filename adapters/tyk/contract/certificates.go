package contract

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"
)

// The certificate store. Source: Tyk Gateway v5.11.1, measured. Its refusals are 403,
// like that of a wrong secret: the text tells them apart.

// pair is a new certificate and its key, as PEM.
type pair struct {
	cert, key, name string
	fingerprint     string // SHA-256 of the certificate's DER, in hex
}

func (p probe) pair(name string, validity time.Duration) pair {
	p.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(validity),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		var text bytes.Buffer
		_ = pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}) // a Buffer takes all
		return text.String()
	}
	return pair{encode("CERTIFICATE", cert), encode("PRIVATE KEY", private), name, fmt.Sprintf("%x", sha256.Sum256(cert))}
}

// certsOf is the path of the store for an organisation.
func certsOf(org string) string { return "/tyk/certs?org_id=" + url.QueryEscape(org) }

// upload adds a certificate, which is removed in the end, and checks its id: the
// organisation's and the fingerprint, so that it is known beforehand.
func (p probe) upload(org string, of pair, pem string) (id string) {
	p.Helper()
	id = org + of.fingerprint
	p.certs[id] = true
	text, _ := json.Marshal(object{"id": id, "status": "ok", "message": "Certificate added"}) // strings always marshal
	p.must(200, string(text), "POST", certsOf(org), pem)
	return id
}

// meta is what the store tells of a certificate.
type meta struct {
	ID          string   `json:"id"`
	Fingerprint string   `json:"fingerprint"`
	HasPrivate  bool     `json:"has_private"`
	DNSNames    []string `json:"dns_names"`
	IsCA        bool     `json:"is_ca"`
}

func (p probe) cert(id string) (m meta) {
	p.Helper()
	a := p.call("GET", "/tyk/certs/"+url.PathEscape(id), "")
	if err := json.Unmarshal([]byte(a.body), &m); a.status != 200 || err != nil {
		p.Fatalf("GET of certificate %s: %v", id, a)
	}
	return m
}

const removed = `{"status":"ok","message":"removed"}`

func certificates(p probe) {
	org := p.gateway.OrgID
	unknown := org + fmt.Sprintf("%x", sha256.Sum256([]byte(p.space)))
	missing := failure("Certificate with given SHA256 fingerprint not found")
	p.want(404, missing, "GET", "/tyk/certs/"+unknown, "")
	p.want(200, removed, "DELETE", "/tyk/certs/"+unknown, "") // also for what never was

	one, two := p.pair(p.host("one"), time.Hour), p.pair(p.host("two"), time.Hour)
	id := p.upload(org, one, one.cert+one.key)
	p.upload(org, two, two.key+two.cert) // in either order
	for _, of := range []pair{one, two} {
		m := p.cert(org + of.fingerprint)
		if m.ID != org+of.fingerprint || m.Fingerprint != of.fingerprint || !m.HasPrivate || m.IsCA || !slices.Equal(m.DNSNames, []string{of.name}) {
			p.Errorf("of %s the store tells %+v", of.name, m)
		}
	}
	// To a client that is success.
	p.want(403, failure("Certificate with "+id+" id already exists"), "POST", certsOf(org), one.cert+one.key)

	p.want(200, removed, "DELETE", "/tyk/certs/"+id, "")
	p.want(404, missing, "GET", "/tyk/certs/"+id, "")
	p.upload(org, one, one.cert+one.key)
}

// certificateWithoutKey is taken, cannot serve, and is in the way of the same one
// with its key.
func certificateWithoutKey(p probe) {
	org := p.gateway.OrgID
	c := p.pair(p.host("one"), time.Hour)
	id := p.upload(org, c, c.cert)
	if p.cert(id).HasPrivate {
		p.Error("has_private without a key")
	}
	p.want(403, failure("Certificate with "+id+" id already exists"), "POST", certsOf(org), c.cert+c.key)
	if p.cert(id).HasPrivate {
		p.Error("has_private after a refused upload")
	}
	p.want(200, removed, "DELETE", "/tyk/certs/"+id, "")
	p.upload(org, c, c.cert+c.key)
	if !p.cert(id).HasPrivate {
		p.Error("no has_private with a key")
	}
}

func refusedCertificates(p probe) {
	org := p.gateway.OrgID
	c, other := p.pair(p.host("one"), time.Hour), p.pair(p.host("other"), time.Hour)
	expired := p.pair(p.host("expired"), -time.Hour)
	const notPEM = "Failed to decode certificate. It should be PEM encoded."
	for name, refused := range map[string]struct{ pem, message string }{
		"nothing":                 {"", notPEM},
		"no PEM":                  {"hello", notPEM},
		"a key alone":             {c.key, notPEM},
		"the key of another":      {c.cert + other.key, "tls: private key does not match public key"},
		"a chain in wrong order":  {other.cert + c.cert + c.key, "tls: private key does not match public key"},
		"two keys":                {c.cert + c.key + other.key, "Found multiple private keys"},
		"one that is expired":     {expired.cert + expired.key, "certificate is expired"},
		"an expired one, reverse": {expired.key + expired.cert, "certificate is expired"},
	} {
		for _, of := range []pair{c, other, expired} {
			p.certs[org+of.fingerprint] = true
		}
		if a := p.call("POST", certsOf(org), refused.pem); !a.is(403, failure(refused.message)) {
			p.Errorf("%s: got %v, want 403 %s", name, a, refused.message)
		}
	}
	for _, of := range []pair{c, other, expired} {
		if a := p.call("GET", "/tyk/certs/"+org+of.fingerprint, ""); a.status != 404 {
			p.Errorf("%s was refused and is there: %v", of.name, a)
		}
	}
}

// listedCertificates are those of one organisation. Without org_id the list is not
// to be relied on, so nobody asks for it.
func listedCertificates(p probe) {
	org := p.space // nobody else's
	const none = `{"certs":null}`
	p.want(200, none, "GET", certsOf(org), "")
	p.want(200, none, "GET", certsOf(org)+"&mode=detailed", "")

	c := p.pair(p.host("one"), time.Hour)
	theirs, ours := p.upload(org, c, c.cert+c.key), p.upload(p.gateway.OrgID, c, c.cert+c.key)
	p.want(200, `{"certs":["`+theirs+`"]}`, "GET", certsOf(org), "")
	var detailed struct{ Certs []meta }
	a := p.call("GET", certsOf(org)+"&mode=detailed", "")
	if err := json.Unmarshal([]byte(a.body), &detailed); err != nil || len(detailed.Certs) != 1 {
		p.Fatalf("the detailed list: %v", a)
	}
	if m := detailed.Certs[0]; m.ID != theirs || !m.HasPrivate || !slices.Equal(m.DNSNames, []string{c.name}) {
		p.Errorf("the detailed list has %+v", m)
	}
	var list struct{ Certs []string }
	a = p.call("GET", certsOf(p.gateway.OrgID), "")
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || !slices.Contains(list.Certs, ours) || slices.Contains(list.Certs, theirs) {
		p.Errorf("the list of %s: %v", p.gateway.OrgID, a)
	}

	// Several at once, null for those that are not there.
	var some []*meta
	a = p.call("GET", "/tyk/certs/"+theirs+","+org+c.fingerprint[1:]+"0", "")
	if err := json.Unmarshal([]byte(a.body), &some); err != nil || len(some) != 2 || some[0] == nil || some[0].ID != theirs || some[1] != nil {
		p.Errorf("two ids, of which one is there: %v", a)
	}
	p.want(200, removed, "DELETE", "/tyk/certs/"+theirs, "")
	p.want(200, none, "GET", certsOf(org), "")
}
