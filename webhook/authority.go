package webhook

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// How a CA of our own is replaced
//
// The leaf is replaced when two thirds of its life are over, by the same CA: nobody has
// to be told. The CA is replaced as early, in steps. The next CA is made, and the API
// server is told of it beside the one that signs. Only when it has been told for a while
// does it sign: the leaf is replaced, and the key of the CA before is forgotten. The
// certificate of that one is told on until the last leaf that it signed has expired. So
// whichever leaf a replica serves, and whichever CAs a caller was told of last, the two
// match.

const (
	// backdate is how far the clocks of callers may be behind.
	backdate = time.Hour
	// maxOld bounds the CAs that are told although they sign no more.
	maxOld = 8
)

// authority is a CA, and the leaf that it signed.
type authority struct {
	leaf   tls.Certificate
	signer tls.Certificate
	// next is nil but for the time before it takes the place of signer.
	next *tls.Certificate
	// old are told of until a time.
	old   []*x509.Certificate
	until time.Time
}

// rules say how certificates are made.
type rules struct {
	leaf, ca time.Duration
	// names are the DNS names of the leaf, the first of which is its common name.
	names []string
}

// step gives what an authority has to become now, and why; "" when it is to stay as it
// is. a is nil where there is none yet. told says that all callers know next by now.
func (r rules) step(a *authority, now time.Time, told bool) (b *authority, why string, err error) {
	switch {
	case a == nil:
		b, err = r.fresh(now)
		return b, "a CA and a certificate are made", err
	case expired(a.signer, now) && (a.next == nil || expired(*a.next, now)):
		// Nobody trusts what it signed: there is nothing to overlap with.
		b, err = r.fresh(now)
		return b, "the CA has expired, and another one is made", err
	case expired(a.signer, now):
		b, err = r.promote(a, now)
		return b, "the CA has expired, and the next one signs from now on", err
	case a.next != nil && told:
		b, err = r.promote(a, now)
		return b, "the next CA is known by now, and signs from now on", err
	case a.next == nil && due(a.signer, now):
		b, err = r.withNext(a, now)
		return b, "the next CA is made", err
	case r.worn(a, now):
		c := *a
		c.leaf, err = r.sign(a.signer, now)
		return &c, "the certificate is replaced", err
	case len(a.old) > 0 && now.After(a.until):
		c := *a
		c.old, c.until = nil, time.Time{}
		return &c, "no certificate of the old CA is in use any more", nil
	}
	return a, "", nil
}

// fresh makes a CA and a leaf.
func (r rules) fresh(now time.Time) (*authority, error) {
	signer, err := r.makeCA(now)
	if err != nil {
		return nil, err
	}
	leaf, err := r.sign(signer, now)
	return &authority{leaf: leaf, signer: signer}, err
}

// withNext adds a CA that will sign some day.
func (r rules) withNext(a *authority, now time.Time) (*authority, error) {
	next, err := r.makeCA(now)
	b := *a
	b.next = &next
	return &b, err
}

// promote lets the next CA sign. The key of the one before is forgotten.
func (r rules) promote(a *authority, now time.Time) (*authority, error) {
	b := authority{signer: *a.next, old: append(slices.Clone(a.old), a.signer.Leaf), until: a.until}
	b.old = b.old[max(0, len(b.old)-maxOld):]
	if last := a.leaf.Leaf.NotAfter; last.After(b.until) {
		b.until = last
	}
	var err error
	b.leaf, err = r.sign(b.signer, now)
	return &b, err
}

// worn tells whether the leaf is to be replaced.
func (r rules) worn(a *authority, now time.Time) bool {
	for _, name := range r.names {
		if a.leaf.Leaf.VerifyHostname(name) != nil {
			return true
		}
	}
	// One that lasts as long as its CA would not last longer if it were made again.
	return due(a.leaf, now) && a.leaf.Leaf.NotAfter.Before(a.signer.Leaf.NotAfter)
}

// due tells whether two thirds of a certificate's life are over.
func due(c tls.Certificate, now time.Time) bool {
	from := c.Leaf.NotBefore.Add(backdate)
	return !now.Before(from.Add(c.Leaf.NotAfter.Sub(from) / 3 * 2))
}

func expired(c tls.Certificate, now time.Time) bool { return now.After(c.Leaf.NotAfter) }

func (r rules) makeCA(now time.Time) (tls.Certificate, error) {
	return certify(&x509.Certificate{
		Subject:  pkix.Name{CommonName: fmt.Sprintf("CA of %s, %s", r.names[0], now.UTC().Format(time.DateTime))},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(r.ca),
	}, nil)
}

// sign makes a leaf that lasts no longer than its CA.
func (r rules) sign(signer tls.Certificate, now time.Time) (tls.Certificate, error) {
	until := now.Add(r.leaf)
	if end := signer.Leaf.NotAfter; end.Before(until) {
		until = end
	}
	return certify(&x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName(r.names[0])},
		DNSNames:    r.names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Without this the certificate could pass for a CA with careless callers.
		BasicConstraintsValid: true,
		NotBefore:             now.Add(-backdate), NotAfter: until,
	}, &signer)
}

// commonName clips a name to what a certificate may have there; callers look at the DNS
// names.
func commonName(s string) string { return s[:min(len(s), 64)] }

// certify makes a key and its certificate, signed by parent or by itself.
func certify(template *x509.Certificate, parent *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	above, signer := template, crypto.PrivateKey(key)
	if parent != nil {
		above, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// bundle is what callers have to be told, in PEM, the oldest CA first. A CA that begins
// to sign changes nothing in it.
func (a *authority) bundle() []byte {
	all := append(slices.Clone(a.old), a.signer.Leaf)
	if a.next != nil {
		all = append(all, a.next.Leaf)
	}
	return certificatesPEM(all)
}

// What a Secret of ours holds beside tls.crt and tls.key. ca.crt is the bundle, for
// others to read.
const (
	bundleKey     = "ca.crt"
	signerCertKey = "signer.crt"
	signerKeyKey  = "signer.key"
	nextCertKey   = "next.crt"
	nextKeyKey    = "next.key"
	oldCertsKey   = "old.crt"
	untilKey      = "old-until"
)

// encode writes the data of a Secret.
func (a *authority) encode() (map[string][]byte, error) {
	data := map[string][]byte{bundleKey: a.bundle()}
	pairs := []struct {
		cert, key string
		of        *tls.Certificate
	}{
		{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, &a.leaf}, {signerCertKey, signerKeyKey, &a.signer}, {nextCertKey, nextKeyKey, a.next},
	}
	for _, p := range pairs {
		if p.of == nil {
			continue
		}
		key, err := x509.MarshalPKCS8PrivateKey(p.of.PrivateKey)
		if err != nil {
			return nil, err
		}
		data[p.cert] = certificatesPEM([]*x509.Certificate{p.of.Leaf})
		data[p.key] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	}
	if len(a.old) > 0 {
		data[oldCertsKey] = certificatesPEM(a.old)
		data[untilKey] = []byte(a.until.UTC().Format(time.RFC3339))
	}
	return data, nil
}

// decodeAuthority reads what encode writes. Its errors show nothing of it.
func decodeAuthority(data map[string][]byte) (*authority, error) {
	a := &authority{}
	var err error
	if a.leaf, err = readPair(data, corev1.TLSCertKey, corev1.TLSPrivateKeyKey); err != nil {
		return nil, err
	}
	if a.signer, err = readPair(data, signerCertKey, signerKeyKey); err != nil {
		return nil, err
	}
	if err := a.leaf.Leaf.CheckSignatureFrom(a.signer.Leaf); err != nil {
		return nil, errors.New("the certificate is not signed by the CA")
	}
	if len(data[nextCertKey]) > 0 {
		next, err := readPair(data, nextCertKey, nextKeyKey)
		if err != nil {
			return nil, err
		}
		a.next = &next
	}
	if len(data[oldCertsKey]) > 0 {
		if a.old, err = parseCertificates(data[oldCertsKey]); err != nil {
			return nil, fmt.Errorf("%s: %w", oldCertsKey, err)
		}
		if a.until, err = time.Parse(time.RFC3339, string(data[untilKey])); err != nil {
			return nil, fmt.Errorf("%s is no time", untilKey)
		}
	}
	return a, nil
}

func readPair(data map[string][]byte, cert, key string) (tls.Certificate, error) {
	p, err := tls.X509KeyPair(data[cert], data[key])
	if err != nil {
		return p, fmt.Errorf("%s and %s: %w", cert, key, err)
	}
	return p, nil
}

func certificatesPEM(all []*x509.Certificate) []byte {
	var text []byte
	for _, c := range all {
		text = append(text, certificatePEM(c)...)
	}
	return text
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// parseCertificates reads PEM that holds one certificate at least, and nothing else.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for len(bytes.TrimSpace(text)) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("it is not PEM of certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return all, nil
}
