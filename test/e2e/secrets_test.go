//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// A certificate that comes late, is renewed, and is broken: the last good one stays.
func TestCertificates(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	secure := w.gateway.listenTLS(t)
	w.service("shop", "web", 80)
	w.applyText(strings.Replace(ingress("shop", "web", "web.example.com", "/", "web"), `"rules"`, `"tls": [{"hosts": ["web.example.com"], "secretName": "web-tls"}], "rules"`, 1))
	c := w.start().ready()
	first, key := newPair(t, "web.example.com")
	w.secret("shop", "web-tls", first, key)
	w.secret("shop", "unused", first, key)
	eventually(t, "the first certificate served", func() bool { return served(secure, "web.example.com") == serial(first) })
	second, secondKey := newPair(t, "web.example.com")
	w.secret("shop", "web-tls", second, secondKey)
	eventually(t, "the second certificate served", func() bool { return served(secure, "web.example.com") == serial(second) })
	w.secret("shop", "web-tls", first, secondKey) // they do not belong together
	eventually(t, "refused", func() bool { return w.status("shop", "web", "outcome") == "refused" })
	if served(secure, "web.example.com") != serial(second) {
		t.Error("the last good certificate is not served any more")
	}
	if text := c.log.String(); strings.Contains(text, base64.StdEncoding.EncodeToString(key)[:60]) || strings.Contains(text, "PRIVATE KEY") {
		t.Error("the log tells a private key")
	}
	w.secret("shop", "web-tls", first, key)
	eventually(t, "the first certificate served again", func() bool { return served(secure, "web.example.com") == serial(first) })
}

func (w *world) secret(namespace, name string, cert, key []byte) {
	w.t.Helper()
	w.applyText(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": %q, "namespace": %q}, "data": {"tls.crt": %q, "tls.key": %q}}`,
		name, namespace, base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key)))
}

// listenTLS serves the gateway's certificates, and gives the address.
func (g *gateway) listenTLS(t testing.TB) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: g.GetCertificate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }(conn)
		}
	}()
	return l.Addr().String()
}

// served is the serial number of the certificate for a host; "" where there is none.
func served(address, host string) string {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, InsecureSkipVerify: true}) // the serial number is compared
	if err != nil {
		return ""
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func newPair(t testing.TB, host string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: number, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

func serial(cert []byte) string {
	block, _ := pem.Decode(cert)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "?"
	}
	return c.SerialNumber.String()
}
