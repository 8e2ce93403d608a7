package engine_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// selfSigned gives PEM of a certificate for tea.example.com, and its DER.
func selfSigned(t testing.TB, key crypto.Signer) (cert, der []byte) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "tea.example.com"},
		DNSNames: []string{"tea.example.com"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), der
}

func keyPEM(t testing.TB, kind string, key crypto.Signer) []byte {
	t.Helper()
	var der []byte
	var err error
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if kind == "RSA PRIVATE KEY" {
			der = x509.MarshalPKCS1PrivateKey(k)
		}
	case *ecdsa.PrivateKey:
		if kind == "EC PRIVATE KEY" {
			der, err = x509.MarshalECPrivateKey(k)
		}
	}
	if der == nil && err == nil {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newKeys(t *testing.T) (*rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey) {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r, e, d
}

// withSecret decides about an Ingress whose certificate is in the Secret.
func withSecret(t *testing.T, cert, key []byte) (engine.Desired, []engine.Rejected) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
		"metadata": map[string]any{"name": "tea-tls", "namespace": "cafe"},
		"data":     map[string]any{"tls.crt": cert, "tls.key": key},
	})
	if err != nil {
		t.Fatal(err)
	}
	secret, rejected := engine.ParseManifests("secret.json", raw)
	if len(rejected) > 0 {
		t.Fatal(rejected)
	}
	around, rejected := engine.NewCluster(append(neighbourObjects(t), secret...))
	doc := routed("tea", "tea.example.com", "/tea", "Prefix", nil)
	doc["spec"].(map[string]any)["tls"] = []any{map[string]any{"secretName": "tea-tls"}}
	d, _, _ := builtinEngine().Decide(context.Background(), ingressObject(t, doc), around)
	return d, rejected
}

// A certificate comes with the definitions that name it: the chain, the key, and
// the id that Tyk will give it.
func TestCertificates(t *testing.T) {
	r, e, _ := newKeys(t)
	for name, pair := range map[string]struct {
		key  crypto.Signer
		kind string
	}{
		"RSA PKCS 1": {r, "RSA PRIVATE KEY"}, "RSA PKCS 8": {r, "PRIVATE KEY"},
		"EC SEC 1": {e, "EC PRIVATE KEY"}, "EC PKCS 8": {e, "PRIVATE KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			cert, der := selfSigned(t, pair.key)
			other, _ := selfSigned(t, r)
			chain := append([]byte("subject=whoever\n"), append(cert, other...)...)
			d, rejected := withSecret(t, chain, append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), keyPEM(t, pair.kind, pair.key)...))
			if len(rejected) > 0 || len(d.Certificates) != 1 || len(d.Definitions) != 1 {
				t.Fatalf("%d certificates, %v", len(d.Certificates), rejected)
			}
			got := d.Certificates[0]
			sum := sha256.Sum256(der)
			if want := "default" + hex.EncodeToString(sum[:]); got.ID != want || d.Definitions[0].Certificates[0] != want || got.Secret != "cafe/tea-tls" {
				t.Errorf("%s of %s, want %s", got.ID, got.Secret, want)
			}
			if !strings.Contains(string(d.Definitions[0].JSON), `"certificates":["`+got.ID+`"]`) {
				t.Errorf("the definition does not name it: %s", d.Definitions[0].JSON)
			}
			if loaded, err := tls.X509KeyPair(got.PEM, got.PEM); err != nil || len(loaded.Certificate) != 2 {
				t.Errorf("%d certificates can be served: %v", len(loaded.Certificate), err)
			}
			if l, ok := engine.ParseLive("test", d.Definitions[0].JSON); !ok || len(l.Certificates) != 1 {
				t.Errorf("the mark does not tell that the certificate is ours: %+v", l)
			}
		})
	}
}

// Manifests under version control hold no keys: the id is known all the same.
func TestCertificateWithoutKey(t *testing.T) {
	r, _, _ := newKeys(t)
	cert, _ := selfSigned(t, r)
	d, rejected := withSecret(t, cert, nil)
	if len(rejected) > 0 || len(d.Certificates) != 1 || len(d.Certificates[0].PEM) > 0 {
		t.Errorf("%v, %v", d.Certificates, rejected)
	}
}

func TestCertificateThatCannotBeServed(t *testing.T) {
	r, e, ed := newKeys(t)
	cert, _ := selfSigned(t, r)
	edCert, _ := selfSigned(t, ed)
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"another key":       {cert, keyPEM(t, "PRIVATE KEY", e), "does not belong"},
		"key is none":       {cert, []byte("secret-text"), "no PEM private key"},
		"Ed25519":           {edCert, keyPEM(t, "PRIVATE KEY", ed), "Ed25519"},
		"certificate first": {keyPEM(t, "PRIVATE KEY", r), cert, "no PEM certificate"},
		"not DER":           {[]byte("-----BEGIN CERTIFICATE-----\nc2VjcmV0LXRleHQ=\n-----END CERTIFICATE-----\n"), keyPEM(t, "PRIVATE KEY", r), "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			d, rejected := withSecret(t, c.cert, c.key)
			if len(rejected) != 1 || !strings.Contains(rejected[0].Reason.Msg, c.want) || strings.Contains(rejected[0].Reason.Msg, "secret-text") {
				t.Errorf("%v does not say %q", rejected, c.want)
			}
			if d.Outcome != engine.Held || len(d.Certificates)+len(d.Definitions) > 0 {
				t.Errorf("it is served: %s %v", d.Outcome, d.Certificates)
			}
			if len(d.Reasons) != 1 || d.Reasons[0].ID != "certificate-broken" || !strings.Contains(d.Reasons[0].Msg, c.want) {
				t.Errorf("the author is not told: %v", d.Reasons)
			}
		})
	}
}

func TestPrivateKeysAreNotPrinted(t *testing.T) {
	r, _, _ := newKeys(t)
	cert, _ := selfSigned(t, r)
	d, _ := withSecret(t, cert, keyPEM(t, "PRIVATE KEY", r))
	raw, err := json.Marshal(d.Certificates)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(d.Certificates), fmt.Sprintf("%+v %#v %s %q %x", d, d.Certificates, d.Certificates[0].PEM, d.Certificates[0].PEM, d.Certificates[0].PEM), string(raw),
	} {
		if strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "2d2d2d") || !strings.Contains(text, "[redacted]") {
			t.Errorf("printed: %s", text)
		}
	}
}
