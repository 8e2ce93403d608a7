package embedded

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"
)

// An authority signs certificates.
type authority struct {
	pair
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := sign(t, key, "authority", nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	block, _ := pem.Decode([]byte(p.cert))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return authority{p, cert, key}
}

// issue makes a certificate for a server, and a client, of this name.
func (a authority) issue(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signBy(t, a.cert, a.key, key, name, []string{name})
}

// poolOf gives the certificates of a PEM.
func poolOf(t *testing.T, text string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		t.Fatal("no certificate")
	}
	return pool
}

// showing gives a client that trusts the authority, asks for a server name, and shows a
// certificate when it is asked for one. asked tells how often it was.
func showing(t *testing.T, a authority, name string, own ...pair) (client *http.Client, asked *int) {
	t.Helper()
	client, asked = trusting(t, name, a.pair.cert), new(int)
	transport := client.Transport.(*http.Transport)
	transport.DisableKeepAlives = true
	shown := new(tls.Certificate)
	if len(own) > 0 {
		cert, err := tls.X509KeyPair([]byte(own[0].cert), []byte(own[0].key))
		if err != nil {
			t.Fatal(err)
		}
		shown = &cert
	}
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		*asked++
		return shown, nil
	}
	return client, asked
}

// inbound is the API of a sidecar that callers reach by TLS.
func inbound(id, cert string, changes ...any) string {
	changes = append([]any{"listen_port", 8080, "protocol", "https", "certificates", []string{cert}}, changes...)
	return apiOf(id, "/", changes...)
}

func TestMutualTLS(t *testing.T) {
	ca := newAuthority(t)
	server, friend, stranger, chained, old := ca.issue(t, "echo.test"), ca.issue(t, "friend"), ca.issue(t, "stranger"), ca.issue(t, "chained"), newPair(t, "old", nil, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	g, d := startPorts(t)
	serverID := g.upload("O", server.cert, server.key)
	friendID := g.upload("O", friend.cert) // without its key, which the callee never has
	// It was stored before it expired.
	expired, err := parseCertificate([]byte(old.cert), "O", time.Now().Add(-90*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.store.addCertificate(expired, false); err != nil {
		t.Fatal(err)
	}
	allowed := []string{"unknown", g.upload("O", ca.pair.cert), g.upload("O", stranger.public), g.upload("O", chained.cert, ca.pair.cert), expired.id, friendID}
	mutual := func(changes ...any) string {
		return inbound("echo", serverID, append([]any{"use_mutual_tls_auth", true, "client_certificates", allowed}, changes...)...)
	}
	g.load(mutual())

	const required, hasExpired = `403 {"error": "Client TLS certificate is required"}`, `403 {"error": "Certificate has expired"}`
	notAllowed := func(p pair) string {
		return `403 {"error": "Certificate with SHA256 ` + p.fingerprint + ` not allowed"}`
	}
	const ok = "200 http://echo.test/x host=echo.test"
	check := func(what, want string, own ...pair) {
		t.Helper()
		client, _ := showing(t, ca, "echo.test", own...)
		if got := fetch(client, "https://"+d.address(8080)+"/x"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
	}
	check("no certificate", required)
	check("in the list", ok, friend)
	check("signed by an authority in the list", notAllowed(stranger), stranger)
	check("in the list with a chain", notAllowed(chained), chained)
	check("expired", hasExpired, old)

	// The store is asked at each request, and what was loaded holds while it is down.
	g.store.SetRedisDown(true)
	check("Redis is down", ok, friend)
	check("Redis is down", notAllowed(stranger), stranger)
	g.store.SetRedisDown(false)
	g.code("DELETE", "/tyk/certs/"+friendID, "")
	check("no longer in the store", notAllowed(friend), friend)
	g.upload("O", friend.cert)
	check("in the store again", ok, friend)

	// The list is that of the organisation: another's upload of it does not count.
	other := g.upload("OTHER", stranger.cert)
	check("in the store and not in the list", notAllowed(stranger), stranger)
	allowed = append(allowed, other)
	g.load(mutual())
	check("now in the list", "200 http://echo.test/x host=echo.test", stranger)

	// A certificate does not replace a key, nor an allowed address.
	g.load(mutual("use_keyless", false))
	check("no key", `401 {"error": "Authorization field missing"}`, friend)
	check("neither", required)
	g.load(mutual("enable_ip_whitelisting", true))
	check("addresses", `403 {"error": "Access from this IP has been disallowed"}`, friend)
	g.load(mutual("client_certificates", []string{}))
	check("an empty list", notAllowed(friend), friend)
}

// The listener asks for a certificate when an API of the port wants one, and then for any.
func TestListenerAsksForCertificate(t *testing.T) {
	ca := newAuthority(t)
	server, client := ca.issue(t, "echo.test"), ca.issue(t, "client")
	g, d := startPorts(t)
	id := g.upload("O", server.cert, server.key)
	for _, c := range []struct {
		mutual bool
		want   string
		asked  int
	}{
		{false, "200", 0},
		{true, "403", 1},
		{false, "200", 0},
	} {
		g.load(inbound("echo", id, "use_mutual_tls_auth", c.mutual))
		caller, asked := showing(t, ca, "echo.test", client)
		if got := fetch(caller, "https://"+d.address(8080)+"/x"); !strings.HasPrefix(got, c.want) || *asked != c.asked {
			t.Errorf("mutual %v: %s, asked %d times", c.mutual, got, *asked)
		}
	}
}

// On a plain listener nobody can show a certificate.
func TestMutualTLSWithoutTLS(t *testing.T) {
	g, d := startPorts(t)
	p := newPair(t, "friend", nil)
	id := g.upload("O", p.cert)
	g.load(
		apiOf("other", "/other/", "listen_port", 8080, "use_mutual_tls_auth", true, "client_certificates", []string{id}),
		apiOf("own", "/own/", "use_mutual_tls_auth", true, "client_certificates", []string{id}),
	)
	const required = `{"error": "Client TLS certificate is required"}`
	wantAt(t, d, 8080, "/other/x", "403 "+required)
	if code, text := g.path("/own/x"); code != 403 || text != required {
		t.Errorf("%d %s", code, text)
	}
}
