package embedded

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestUpstreamCertificateOfHost(t *testing.T) {
	for _, c := range []struct{ keys, host, want string }{
		{"", "echo.shop:8080", ""},
		{"echo.shop:8080 echo.shop *.shop:8080 *.shop *", "echo.shop:8080", "echo.shop:8080"},
		{"echo.shop *.shop:8080 *.shop *", "echo.shop:8080", "echo.shop"},
		{"*.shop:8080 *.shop *", "echo.shop:8080", "*.shop:8080"},
		{"*.shop *", "echo.shop:8080", "*.shop"},
		{"*", "echo.shop:8080", "*"},
		{"*", "echo", "*"},
		{"echo.shop:8080", "echo.shop", ""},
		{"echo.shop:8080", "echo.shop:8081", ""},
		{"*.shop", "a.echo.shop", ""}, // one label
		{"*.shop", "shop", ""},
		{"[::1]:8080 *", "[::1]:8080", "[::1]:8080"},
	} {
		u := upstreamCertificates{UpstreamCertificates: map[string]string{"": "never"}}
		for key := range strings.FieldsSeq(c.keys) {
			u.UpstreamCertificates[key] = key
		}
		if got := u.upstreamCertificate(c.host); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.host, c.keys, got, c.want)
		}
		u.UpstreamCertificatesDisabled = true
		if got := u.upstreamCertificate(c.host); got != "" {
			t.Errorf("disabled: %q", got)
		}
	}
}

// A backend is an https upstream that says which certificate it was shown. It is reached
// as echo.shop:8080.
type backend struct {
	*httptest.Server
	// opened and closed count connections.
	opened, closed atomic.Int32
}

func newBackend(t *testing.T, ca authority) *backend {
	t.Helper()
	p := ca.issue(t, "echo.shop")
	cert, err := tls.X509KeyPair([]byte(p.cert), []byte(p.key))
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := "none"
		if len(r.TLS.PeerCertificates) > 0 {
			shown = fingerprint(r.TLS.PeerCertificates[0].Raw)
		}
		_, _ = io.WriteString(w, shown)
	}))
	b.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	b.Config.ErrorLog = discard
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			b.opened.Add(1)
		case http.StateClosed:
			b.closed.Add(1)
		}
	}
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

// dial finds the backend by its name.
func (b *backend) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != "echo.shop:8080" {
		return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	}
	return (&net.Dialer{}).DialContext(ctx, network, b.Listener.Addr().String())
}

// caller is an API whose upstream is the backend.
func caller(changes ...any) string {
	return apiOf("a", "/", append([]any{"proxy.target_url", "https://echo.shop:8080/"}, changes...)...)
}

func TestUpstreamTLS(t *testing.T) {
	ca := newAuthority(t)
	b := newBackend(t, ca)
	g := start(t, func(c *Config) { c.Transport, c.Dial, c.UpstreamCAs = nil, b.dial, poolOf(t, ca.pair.cert) })
	one, two := ca.issue(t, "one"), ca.issue(t, "two")
	oneID, twoID, keyless := g.upload("O", one.cert, one.key), g.upload("O", two.cert, two.key), g.upload("", one.cert)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := sign(t, edKey, "ed", nil)
	edID := g.upload("O", ed.cert, ed.key)
	const failed = `500 {"error": "There was a problem proxying the request"}`
	certs := func(keysAndIDs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(keysAndIDs); i += 2 {
			m[keysAndIDs[i]] = keysAndIDs[i+1]
		}
		return m
	}
	check := func(what, want string, changes ...any) {
		t.Helper()
		g.load(caller(changes...))
		code, text := g.path("/x")
		if got := fmt.Sprint(code, " ", text); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	check("no certificate", "200 none")
	check("by host and port", "200 "+one.fingerprint, "upstream_certificates", certs("echo.shop:8080", oneID, "*", twoID))
	check("for all", "200 "+two.fingerprint, "upstream_certificates", certs("*", twoID))
	check("for another", "200 none", "upstream_certificates", certs("other.shop:8080", twoID))
	check("disabled", "200 none", "upstream_certificates", certs("*", twoID), "upstream_certificates_disabled", true)
	check("unknown", "200 none", "upstream_certificates", certs("*", "unknown"))
	check("without its key", "200 none", "upstream_certificates", certs("*", keyless))
	check("a key that cannot be used", "200 none", "upstream_certificates", certs("*", edID))
	check("unknown host", `500 {"error": "Upstream host lookup failed"}`, "proxy.target_url", "https://none.shop/", "upstream_certificates", certs("*", oneID))

	strict := start(t, func(c *Config) { c.Transport, c.Dial, c.Store = nil, b.dial, g.store })
	g = strict
	insecure := map[string]any{"ssl_insecure_skip_verify": true}
	check("not of the system's roots", failed)
	check("not of the system's roots", failed, "upstream_certificates", certs("*", oneID))
	check("not verified", "200 none", "proxy.transport", insecure)
	check("not verified, with a certificate", "200 "+one.fingerprint, "proxy.transport", insecure, "upstream_certificates", certs("*", oneID))
	check("verified again", failed, "upstream_certificates", certs("*", oneID))
}

// A connection is used again as long as it showed the right certificate, by other APIs and
// after reloads too, and no longer.
func TestUpstreamConnections(t *testing.T) {
	ca := newAuthority(t)
	b := newBackend(t, ca)
	g := start(t, func(c *Config) { c.Transport, c.Dial, c.UpstreamCAs = nil, b.dial, poolOf(t, ca.pair.cert) })
	one, two := ca.issue(t, "one"), ca.issue(t, "two")
	oneID, twoID := g.upload("O", one.cert, one.key), g.upload("O", two.cert, two.key)
	check := func(path string, shown pair, opened int32) {
		t.Helper()
		if code, text := g.path(path); code != 200 || text != shown.fingerprint {
			t.Errorf("%d %s, want that of %s", code, text, shown.fingerprint)
		}
		if n := b.opened.Load(); n != opened {
			t.Errorf("%d connections, want %d", n, opened)
		}
	}
	g.load(caller("upstream_certificates", map[string]string{"*": oneID}))
	check("/x", one, 1)
	g.reload()
	g.load(apiOf("b", "/b/", "proxy.target_url", "https://echo.shop:8080/", "upstream_certificates", map[string]string{"echo.shop": oneID}))
	check("/x", one, 1)
	check("/b/x", one, 1)

	// The store is asked at each request: what is gone is not shown any more.
	g.code("DELETE", "/tyk/certs/"+oneID, "")
	if _, text := g.path("/x"); text != "none" {
		t.Errorf("a certificate that was removed is shown: %s", text)
	}
	g.upload("O", one.cert, one.key)
	g.reload()
	before := b.opened.Load()
	check("/x", one, before+1)

	// The next generation shows the next one, and closes what showed the one before once
	// nobody names it.
	g.load(caller("upstream_certificates", map[string]string{"*": twoID}))
	check("/x", two, before+2)
	check("/b/x", one, before+2)
	closed := b.closed.Load()
	g.code("DELETE", "/tyk/apis/b", "")
	g.reload()
	eventually(t, "the connection that showed the old certificate is closed", func() bool { return b.closed.Load() > closed })
	check("/x", two, before+2)
}

// A dialer and roots do not change the transport that they were given with, and h2c uses
// the dialer too.
func TestDial(t *testing.T) {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Proto, " ", r.Host)
	}))
	upstream.Config.Protocols = new(http.Protocols)
	upstream.Config.Protocols.SetHTTP1(true)
	upstream.Config.Protocols.SetUnencryptedHTTP2(true)
	upstream.Start()
	defer upstream.Close()
	given := &http.Transport{}
	g := start(t, func(c *Config) {
		c.Transport = given
		c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, upstream.Listener.Addr().String())
		}
	})
	g.load(apiOf("h1", "/h1/", "proxy.target_url", "http://echo.shop:81/"), apiOf("h2c", "/h2c/", "proxy.target_url", "h2c://echo.shop:82/"))
	for path, want := range map[string]string{"/h1/": "HTTP/1.1 echo.shop:81", "/h2c/": "HTTP/2.0 echo.shop:82"} {
		if code, text := g.path(path); code != 200 || text != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if given.DialContext != nil {
		t.Error("the transport was changed")
	}
}
