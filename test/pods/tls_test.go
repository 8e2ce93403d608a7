package pods

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// newPair makes a CA and a certificate with its key for a name, in PEM.
func newPair(t *testing.T, name string) (ca, pair []byte) {
	t.Helper()
	authority, leaf := newKey(t), newKey(t)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	ca = encode("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, root, root, authority.Public(), authority)))
	pair = append(encode("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, c, root, leaf.Public(), authority))),
		encode("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(leaf)))...)
	return ca, pair
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// certificateID is the gateway's id of a certificate of the organisation O.
func certificateID(t *testing.T, pair []byte) string {
	t.Helper()
	block, _ := pem.Decode(pair)
	sum := sha256.Sum256(block.Bytes)
	return "O" + hex.EncodeToString(sum[:])
}

func trusting(ca []byte) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: pool}
}
