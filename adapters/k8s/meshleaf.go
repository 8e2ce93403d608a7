package k8s

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// backdate is how long before it is made a certificate begins to be valid: the
	// clocks of nodes differ.
	backdate = 5 * time.Minute
	// maxCommonName is what X.520 allows, in bytes.
	maxCommonName = 64
)

// Why PEM is no pair. None quotes any of it.
var (
	errNoChain  = errors.New("there is no PEM certificate that can be read")
	errNoKey    = errors.New("there is no PEM private key that can be read")
	errOtherKey = errors.New("the private key does not belong to the first certificate")
)

// meshPair is a certificate, those that are sent with it, and its key.
type meshPair struct {
	leaf  *x509.Certificate
	chain []*x509.Certificate
	key   crypto.Signer
}

// readPair reads a pair whose parts belong together.
func readPair(certificates, key []byte) (*meshPair, error) {
	chain := readCertificates(certificates)
	if len(chain) == 0 {
		return nil, errNoChain
	}
	private := readKey(key)
	if private == nil {
		return nil, errNoKey
	}
	public, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(private.Public()) {
		return nil, errOtherKey
	}
	return &meshPair{leaf: chain[0], chain: chain[1:], key: private}, nil
}

// readCertificates reads the certificates of a PEM text; none where one is broken.
func readCertificates(text []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		all = append(all, c)
	}
	return all
}

// readKey reads the first private key of a PEM text, in any of the usual forms.
func readKey(text []byte) crypto.Signer {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if signer, ok := key.(crypto.Signer); ok {
				return signer
			}
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key
		}
	}
	return nil
}

func writeCertificates(all ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range all {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

func writeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("a private key cannot be written")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// printOf identifies a certificate: the SHA-256 of its DER, in hexadecimal.
func printOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func validAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter)
}

// selfSigned tells whether a certificate names itself as its issuer.
func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// issuedBy tells whether ca issued the certificate: by names and key ids, where both have
// these.
func issuedBy(c, ca *x509.Certificate) bool {
	if !bytes.Equal(c.RawIssuer, ca.RawSubject) {
		return false
	}
	if len(c.AuthorityKeyId) > 0 && len(ca.SubjectKeyId) > 0 {
		return bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId)
	}
	return c.CheckSignatureFrom(ca) == nil
}

// renewAt is when a certificate of ours is to be replaced: when two thirds of its life
// are over. That of a leaf comes up to a twentieth later, by its serial number: so what
// was issued together is not replaced together.
func renewAt(c *x509.Certificate) time.Time {
	begin := c.NotBefore
	if c.NotAfter.Sub(begin) > backdate {
		begin = begin.Add(backdate)
	}
	life := c.NotAfter.Sub(begin)
	at := begin.Add(life / 3 * 2)
	if c.IsCA {
		return at
	}
	n := new(big.Int).And(c.SerialNumber, big.NewInt(0xffff)).Int64()
	return at.Add(life / 20 / 0x10000 * time.Duration(n))
}

// leafSpec is what a certificate of the mesh has to say.
type leafSpec struct {
	role, commonName string
	names            []string // sorted
	uri              *url.URL
	usage            x509.ExtKeyUsage
}

// specOf says what the certificate of an identity has to say. An error says why there
// can be none.
func specOf(id identity, trustDomain string) (leafSpec, error) {
	s := leafSpec{role: id.role, names: id.names}
	parts := strings.Split(id.of, "/")
	for _, part := range parts {
		if len(validation.IsDNS1123Subdomain(strings.ToLower(part))) > 0 {
			return s, fmt.Errorf("%q names nobody", id.of)
		}
	}
	switch {
	case id.role == roleServer && len(parts) == 3:
		s.usage = x509.ExtKeyUsageServerAuth
		for _, name := range id.names {
			if len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) > 0 {
				return s, fmt.Errorf("%q is no DNS name", name)
			}
			if s.commonName == "" && len(name) <= maxCommonName {
				s.commonName = name
			}
		}
		if len(id.names) == 0 {
			return s, errors.New("a server has to have a name")
		}
	case id.role == roleClient && len(parts) == 2:
		s.usage = x509.ExtKeyUsageClientAuth
		s.names = nil
		s.commonName = clip(parts[1] + "." + parts[0])
		s.uri = &url.URL{Scheme: "spiffe", Host: trustDomain, Path: "/ns/" + parts[0] + "/group/" + parts[1]}
	default:
		return s, fmt.Errorf("%q is neither Kind/namespace/name of a server nor namespace/group of a client", id.of)
	}
	return s, nil
}

// clip shortens a name that is too long for a common name, so that two stay two.
func clip(name string) string {
	if len(name) <= maxCommonName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxCommonName-17] + "-" + hex.EncodeToString(sum[:8])
}

// fits tells whether a certificate says what it has to, with a key that a gateway
// serves.
func (s leafSpec) fits(c *x509.Certificate) bool {
	switch c.PublicKey.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey:
	default:
		return false
	}
	uris := make([]string, 0, 1)
	for _, u := range c.URIs {
		uris = append(uris, u.String())
	}
	var want []string
	if s.uri != nil {
		want = []string{s.uri.String()}
	}
	return !c.IsCA && slices.Contains(c.ExtKeyUsage, s.usage) && c.Subject.CommonName == s.commonName &&
		slices.Equal(slices.Sorted(slices.Values(c.DNSNames)), s.names) && slices.Equal(uris, want)
}

// issue makes a pair that is valid for life, or as long as the CA. It is an error of
// the CA that it does not permit what the certificate says.
func (a *authority) issue(s leafSpec, life time.Duration, now time.Time) (*meshPair, error) {
	if !a.signs(now) {
		return nil, errNoAuthority
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		NotBefore: now.Add(-backdate), NotAfter: a.until(life, now),
		Subject: pkix.Name{CommonName: s.commonName}, DNSNames: s.names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{s.usage},
		BasicConstraintsValid: true,
	}
	if s.uri != nil {
		t.URIs = []*url.URL{s.uri}
	}
	leaf, err := sign(t, a.signer.leaf, key.Public(), a.signer.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.signer.leaf)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: t.ExtKeyUsage}); err != nil {
		return nil, fmt.Errorf("what the CA signed is not valid: %w", err)
	}
	if !s.fits(leaf) {
		return nil, errors.New("it cannot be said in a certificate")
	}
	p := &meshPair{leaf: leaf, key: key}
	if s.role == roleServer {
		// A gateway takes the last certificate of a chain for the one to let in, so that
		// a client's is alone.
		p.chain = a.chain
	}
	return p, nil
}

// sign makes a certificate of a template; a nil parent is the template itself.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	serial[0] &= 0x7f
	template.SerialNumber = new(big.Int).SetBytes(serial)
	der, err := x509.CreateCertificate(rand.Reader, template, cmp.Or(parent, template), public, key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
