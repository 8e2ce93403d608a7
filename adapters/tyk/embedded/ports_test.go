package embedded

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// doors maps the ports of one gateway to ephemeral ones of loopback.
type doors struct {
	mu   sync.Mutex
	open map[int]*door
	// broken ports cannot be opened.
	broken map[int]bool
}

type door struct {
	net.Listener
	closed bool
	doors  *doors
}

func (d *door) Close() error {
	d.doors.mu.Lock()
	defer d.doors.mu.Unlock()
	d.closed = true
	return d.Listener.Close()
}

func (d *doors) listen(n int) (net.Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken[n] {
		return nil, errors.New("address already in use")
	}
	if old := d.open[n]; old != nil && !old.closed {
		return nil, fmt.Errorf("port %d is opened twice", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.open[n] = &door{Listener: l, doors: d}
	return d.open[n], nil
}

// address of a port, "" when it is not open.
func (d *doors) address(n int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.open[n]; l != nil && !l.closed {
		return l.Addr().String()
	}
	return ""
}

// startPorts starts a gateway whose own port is 8181, and which opens others.
func startPorts(t *testing.T, change ...func(*Config)) (*rig, *doors) {
	d := &doors{open: map[int]*door{}, broken: map[int]bool{}}
	change = append([]func(*Config){func(c *Config) { c.Port, c.Listen = 8181, d.listen }}, change...)
	return start(t, change...), d
}

// fetch gives status and body of a URL, or the error.
func fetch(client *http.Client, url string) string {
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

// fresh opens a connection for each request.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// wantAt compares what a port says to a path, or begins to say; "" is for a port that
// is not open.
func wantAt(t *testing.T, d *doors, n int, path, want string) {
	t.Helper()
	addr := d.address(n)
	if addr == "" || want == "" {
		if addr != want {
			t.Errorf("port %d is at %q", n, addr)
		}
		return
	}
	if got := fetch(fresh, "http://"+addr+path); !strings.HasPrefix(got, want) {
		t.Errorf("port %d, %s: got %s, want %s", n, path, got, want)
	}
}

func TestPorts(t *testing.T) {
	g, d := startPorts(t)
	g.post(apiOf("own", "/own/"), apiOf("named", "/named/", "listen_port", 8181),
		apiOf("a", "/a/", "listen_port", 8080), apiOf("b", "/b/", "listen_port", 8080), apiOf("c", "/", "listen_port", 9090))
	wantAt(t, d, 8080, "/a/x", "") // not before the reload
	g.reload()

	wantWinner(t, g, "/own/x", "own")
	wantWinner(t, g, "/named/x", "named")
	wantWinner(t, g, "/a/x", "404")
	wantAt(t, d, 8080, "/a/x?q=1", "200 http://a.test/x?q=1")
	wantAt(t, d, 8080, "/b/x", "200 http://b.test/x")
	wantAt(t, d, 8080, "/a/id/../y", "200 http://a.test/y")
	wantAt(t, d, 8080, "/own/x", "404 Not Found")
	wantAt(t, d, 9090, "/a/x", "200 http://c.test/a/x")
	// the control API and health are on the gateway's own port only
	wantAt(t, d, 8080, "/tyk/apis", "404 Not Found")
	wantAt(t, d, 8080, "/hello", "404 Not Found")
	wantAt(t, d, 9090, "/tyk/apis", "200 http://c.test/tyk/apis")

	// a port is closed with its last API
	g.code("DELETE", "/tyk/apis/a", "")
	g.code("DELETE", "/tyk/apis/c", "")
	wantAt(t, d, 9090, "/x", "200 ")
	g.reload()
	wantAt(t, d, 8080, "/a/x", "404")
	wantAt(t, d, 8080, "/b/x", "200")
	wantAt(t, d, 9090, "/x", "")

	// an API may move
	g.code("PUT", "/tyk/apis/b", apiOf("b", "/b/", "listen_port", 7070))
	g.reload()
	wantAt(t, d, 8080, "/b/x", "")
	wantAt(t, d, 7070, "/b/x", "200")

	g.store.LoseFiles()
	g.Restart()
	wantAt(t, d, 7070, "/b/x", "")
}

// Listen paths collide across ports: the key has no port in it.
func TestCollisionAcrossPorts(t *testing.T) {
	g, d := startPorts(t)
	g.load(apiOf("a", "/", "listen_port", 8080), apiOf("b", "/"))
	wantListed(t, g, map[string]string{"a": "/-a", "b": "/-b"})
	g.code("PUT", "/tyk/apis/b", apiOf("b", "/", "domain", "mesh"))
	g.code("PUT", "/tyk/apis/a", apiOf("a", "/", "listen_port", 8080, "name", "changed"))
	g.reload()
	wantListed(t, g, map[string]string{"a": "/", "b": "/"})
	wantAt(t, d, 8080, "/x", "200 http://a.test/x")
	wantWinner(t, g, "http://mesh/x", "b")
}

// A port speaks the protocol of its first API, the one with the longest listen path;
// those of another are listed and 404. None is http.
func TestPortProtocol(t *testing.T) {
	g, log := logged(t)
	g, d := startPorts(t, func(c *Config) { c.Log = g.log })
	g.load(
		apiOf("p1", "/first/", "listen_port", 8080), apiOf("p2", "/next/", "listen_port", 8080, "protocol", "http"),
		apiOf("p3", "/s/", "listen_port", 8080, "protocol", "https"),
		apiOf("p4", "/tcp/", "listen_port", 7070, "protocol", "tcp"), apiOf("p5", "/bogus/", "listen_port", 6060, "protocol", "bogus"),
	)
	wantAt(t, d, 8080, "/first/x", "200")
	wantAt(t, d, 8080, "/next/x", "200")
	wantAt(t, d, 8080, "/s/x", "404")
	wantAt(t, d, 7070, "/", "")
	wantAt(t, d, 6060, "/", "")
	if _, ok := g.listed()["p3"]; !ok {
		t.Error("p3 is not listed")
	}
	if want := "Can't get router for protocol https, router for protocol http found"; !strings.Contains(log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, log)
	}

	// the port changes its protocol: it is closed before it is opened
	cert := newPair(t, "one.test", []string{"one.test"})
	id := g.upload("O", cert.cert, cert.key)
	for _, id := range []string{"p1", "p2"} {
		g.code("DELETE", "/tyk/apis/"+id, "")
	}
	g.code("PUT", "/tyk/apis/p3", apiOf("p3", "/s/", "listen_port", 8080, "protocol", "https", "certificates", []string{id}))
	g.reload()
	if got := fetch(trusting(t, "one.test", cert.cert), "https://"+d.address(8080)+"/s/x"); !strings.HasPrefix(got, "200") {
		t.Error(got)
	}
	// a request that was already there when the port became another
	w := httptest.NewRecorder()
	g.servePort(8080)(w, newRequest("http://one.test/s/x"))
	if w.Code != http.StatusNotFound {
		t.Errorf("plain http is served by a TLS port: %d", w.Code)
	}
	// plain http to a TLS port: net/http's own answer
	wantAt(t, d, 8080, "/s/x", "400 Client sent an HTTP request to an HTTPS server.")
}

// trusting gives a client that asks for a server name and trusts these roots.
func trusting(t *testing.T, name, roots string) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{ServerName: name, RootCAs: poolOf(t, roots)}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// reuses tells whether a request goes by a connection that is open already.
func reuses(t *testing.T, client *http.Client, url string) bool {
	t.Helper()
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %v", url, resp.Status, err)
	}
	return reused
}

func TestConnectionsOfOtherPortsStay(t *testing.T) {
	g, d := startPorts(t)
	g.load(apiOf("a", "/a/", "listen_port", 8080), apiOf("b", "/b/", "listen_port", 9090))
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	url := "http://" + d.address(8080) + "/a/x"
	reuses(t, client, url)
	g.code("DELETE", "/tyk/apis/b", "")
	g.load(apiOf("c", "/c/", "listen_port", 7070))
	if !reuses(t, client, url) {
		t.Error("the connection is gone")
	}
}

// A request that is under way when its port is closed is answered.
func TestRequestOutlivesPort(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "late")
	}))
	defer upstream.Close()
	g, d := startPorts(t, func(c *Config) { c.Transport = nil })
	g.load(apiOf("a", "/a/", "listen_port", 8080, "proxy.target_url", upstream.URL))
	got := make(chan string)
	url := "http://" + d.address(8080) + "/a/x"
	go func() { got <- fetch(fresh, url) }()
	<-arrived
	g.code("DELETE", "/tyk/apis/a", "")
	g.reload()
	wantAt(t, d, 8080, "/a/x", "")
	close(release)
	if text := <-got; text != "200 late" {
		t.Error(text)
	}
}

func TestPortThatCannotBeOpened(t *testing.T) {
	g, log := logged(t)
	g, d := startPorts(t, func(c *Config) { c.Log = g.log })
	d.broken[8080] = true
	g.load(apiOf("a", "/a/", "listen_port", 8080), apiOf("b", "/b/", "listen_port", 9090))
	wantAt(t, d, 8080, "/a/x", "")
	wantAt(t, d, 9090, "/b/x", "200")
	if !strings.Contains(log.String(), "Can't start listener") {
		t.Error(log)
	}
	d.broken[8080] = false
	g.reload()
	wantAt(t, d, 8080, "/a/x", "200")
}

// New opens what the files say, Close closes all, and nothing is opened after it.
func TestPortsFromStartToEnd(t *testing.T) {
	store := NewStore()
	store.WriteFile("a.json", []byte(apiOf("a", "/a/", "listen_port", 8080)))
	g, d := startPorts(t, shared(store))
	wantAt(t, d, 8080, "/a/x", "200")
	conn, err := net.Dial("tcp", d.address(8080))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /a/x HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	g.Close()
	wantAt(t, d, 8080, "/a/x", "")
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is open")
	}
	g.Restart()
	wantAt(t, d, 8080, "/a/x", "")
}

// presentedAt gives the fingerprint of what a port presents for a server name, or the
// error of the handshake.
func presentedAt(addr, name string) string {
	dialer := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	return fingerprint(conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
}

// Each TLS listener has the certificates of its own APIs, chosen by the server name.
func TestPortCertificates(t *testing.T) {
	g, d := startPorts(t)
	one, two, other := newPair(t, "one.test", []string{"one.test"}), newPair(t, "", []string{"*.two.test"}), newPair(t, "other.test", nil)
	inbound := func(id, path string, port int, certs ...string) string {
		return apiOf(id, path, "listen_port", port, "protocol", "https", "domain", "elsewhere.test", "certificates", certs)
	}
	oneID, twoID := g.upload("O", one.cert, one.key), g.upload("O", two.cert, two.key)
	g.load(inbound("a", "/a/", 8080, oneID), inbound("b", "/b/", 8080, twoID), inbound("c", "/c/", 9090, g.upload("O", other.cert, other.key)),
		apiOf("own", "/own/", "certificates", []string{twoID}))
	const unknown = "remote error: tls: unrecognized name"
	want := func(port int, wants map[string]string) {
		t.Helper()
		for name, want := range wants {
			if got := presentedAt(d.address(port), name); got != want {
				t.Errorf("%d, %q: got %s, want %s", port, name, got, want)
			}
		}
	}
	want(8080, map[string]string{"one.test": one.fingerprint, "x.two.test": two.fingerprint, "other.test": unknown, "elsewhere.test": unknown})
	want(9090, map[string]string{"other.test": other.fingerprint, "one.test": unknown, "": unknown})
	if got := g.presented("one.test") + g.presented("x.two.test"); got != two.fingerprint {
		t.Errorf("the gateway's own port presents %s", got)
	}

	// The last in the list wins; a connection that is open stays.
	client := trusting(t, "one.test", one.cert)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, d.address(8080))
	}
	url := "https://elsewhere.test/a/x"
	reuses(t, client, url)
	next := newPair(t, "one.test", nil)
	g.load(inbound("a", "/a/", 8080, oneID, g.upload("O", next.cert, next.key)))
	want(8080, map[string]string{"one.test": next.fingerprint, "x.two.test": two.fingerprint})
	if !reuses(t, client, url) {
		t.Error("the connection is gone")
	}
}
