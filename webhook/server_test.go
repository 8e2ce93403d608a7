package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cuegate/cuegate/engine"
)

// patience is how long a test waits for what should come soon.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

const testHost = "webhook.cuegate.svc"

var testRules = rules{leaf: 90 * day, ca: 5 * 365 * day, names: []string{testHost, testHost + ".cluster.local"}}

// made gives a CA with its leaf.
func made(t testing.TB, now time.Time) *authority {
	t.Helper()
	a, err := testRules.fresh(now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fixed are certificates that stay as they are. A nil leaf is none yet.
type fixed struct {
	serving
	run func(context.Context) error
}

func newFixed(a *authority) *fixed {
	f := &fixed{}
	if a != nil {
		f.current.Store(&a.leaf)
	}
	return f
}

func (f *fixed) Run(ctx context.Context) error {
	if f.run != nil {
		return f.run(ctx)
	}
	<-ctx.Done()
	return nil
}

// running is a server that listens on 127.0.0.1.
type running struct {
	address string
	stop    func()
	ended   chan error // gives what Run returned
}

func run(t testing.TB, o Options) running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Listener, o.Drain = listener, cmp.Or(o.Drain, time.Millisecond)
	server := newServer(t, o)
	ctx, stop := context.WithCancel(t.Context())
	r := running{listener.Addr().String(), stop, make(chan error, 1)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.ended <- server.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-over })
	return r
}

// caller gives a client that trusts a bundle, as the API server would.
func caller(t testing.TB, address string, bundle []byte, change func(*tls.Config)) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		t.Fatal("the bundle holds no certificate")
	}
	config := &tls.Config{RootCAs: pool, ServerName: testHost}
	if change != nil {
		change(config)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 256, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func get(c *http.Client, path string) (int, string, error) {
	r, err := c.Get("https://" + testHost + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return r.StatusCode, string(body), err
}

func TestServe(t *testing.T) {
	a := made(t, time.Now())
	var notReady atomic.Pointer[error]
	registry := prometheus.NewRegistry()
	r := run(t, Options{Certificates: newFixed(a), Metrics: registry, Decide: deciding(engine.Desired{Patch: []byte(somePatch)}, nil), Ready: func() error {
		if err := notReady.Load(); err != nil {
			return *err
		}
		return nil
	}})
	for _, version := range []string{"HTTP/2.0", "HTTP/1.1"} {
		c := caller(t, r.address, a.bundle(), func(config *tls.Config) {
			if version == "HTTP/1.1" { // as the API server does
				config.NextProtos = []string{"http/1.1"}
			}
		})
		if version == "HTTP/1.1" {
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		}
		answer, err := c.Post("https://"+testHost+"/mutate?timeout=3s", "application/json", bytes.NewReader(sent(t, "create-v1")))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.Proto != version || answer.StatusCode != 200 || !strings.Contains(string(body), `"patchType":"JSONPatch"`) {
			t.Errorf("%s: %s %d %s", version, answer.Proto, answer.StatusCode, body)
		}
	}
	c := caller(t, r.address, a.bundle(), nil)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ok\n"} {
		if status, body, err := get(c, path); status != 200 || body != want {
			t.Errorf("%s: %d %q %v", path, status, body, err)
		}
	}
	missing := errors.New("the caches have not synced")
	notReady.Store(&missing)
	if status, body, err := get(c, "/readyz"); status != 503 || body != "the caches have not synced\n" {
		t.Errorf("not ready: %d %q %v", status, body, err)
	}
	if status, _, err := get(c, "/healthz"); status != 200 {
		t.Errorf("not ready, so not healthy: %d %v", status, err)
	}
	want := float64(a.leaf.Leaf.NotAfter.Unix())
	if got := gauge(t, registry, "cuegate_webhook_certificate_expiry_timestamp_seconds"); got != want {
		t.Errorf("the metric says that the certificate expires at %f, not at %f", got, want)
	}

	old := caller(t, r.address, a.bundle(), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	if _, _, err := get(old, "/healthz"); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
	if _, _, err := get(caller(t, r.address, made(t, time.Now()).bundle(), nil), "/healthz"); err == nil {
		t.Error("the certificate is good for another CA")
	}
}

func gauge(t testing.TB, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestCertificateIsNeeded: without one, or with one that has expired, nobody is to call.
func TestCertificateIsNeeded(t *testing.T) {
	ready := func(o Options) (int, string) {
		o.Decide = deciding(engine.Desired{}, nil)
		w := httptest.NewRecorder()
		newServer(t, o).Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	none := newFixed(nil)
	registry := prometheus.NewRegistry()
	if status, text := ready(Options{Certificates: none, Metrics: registry}); status != 503 || text != "there is no serving certificate yet\n" {
		t.Errorf("without a certificate: %d %q", status, text)
	}
	if got := gauge(t, registry, "cuegate_webhook_certificate_expiry_timestamp_seconds"); got != 0 {
		t.Errorf("no certificate expires at %f", got)
	}
	a := made(t, time.Now())
	end := a.leaf.Leaf.NotAfter
	for now, want := range map[time.Time]int{end: 200, end.Add(time.Second): 503} {
		if status, text := ready(Options{Certificates: newFixed(a), Now: func() time.Time { return now }}); status != want {
			t.Errorf("%s after its end: %d %q", now.Sub(end), status, text)
		}
	}
	r := run(t, Options{Certificates: none, Decide: deciding(engine.Desired{}, nil)})
	if _, _, err := get(caller(t, r.address, a.bundle(), nil), "/healthz"); err == nil {
		t.Error("served without a certificate")
	}
	none.current.Store(&a.leaf)
	if status, _, err := get(caller(t, r.address, a.bundle(), nil), "/healthz"); status != 200 {
		t.Errorf("not served when the certificate came: %v", err)
	}
}

// TestDrain: after the end was asked for, those who have not heard of it are served, and
// those who keep connections learn to find another server.
func TestDrain(t *testing.T) {
	a := made(t, time.Now())
	certificates := newFixed(a)
	enough, over := make(chan struct{}), errors.New("that is enough")
	certificates.run = func(context.Context) error { <-enough; return over }
	r := run(t, Options{Certificates: certificates, Decide: deciding(engine.Desired{Patch: []byte(somePatch)}, nil), Drain: time.Hour})
	c := caller(t, r.address, a.bundle(), func(config *tls.Config) { config.NextProtos = []string{"http/1.1"} })
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	if status, _, err := get(c, "/readyz"); status != 200 {
		t.Fatalf("not ready: %d %v", status, err)
	}
	r.stop()
	eventually(t, "/readyz tells that the server ends", func() bool {
		status, text, err := get(c, "/readyz")
		return err == nil && status == 503 && text == "the server is shutting down\n"
	})
	for range 3 {
		answer, err := c.Post("https://"+testHost+"/mutate", "application/json", bytes.NewReader(sent(t, "create-v1")))
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 200 || !answer.Close {
			t.Errorf("while draining: status %d, connection to be closed: %t", answer.StatusCode, answer.Close)
		}
		answer.Body.Close()
	}
	close(enough)
	if err := <-r.ended; !errors.Is(err, over) {
		t.Errorf("it ended with %v", err)
	}
}

// TestLastAnswer: what is in hand at the end is answered.
func TestLastAnswer(t *testing.T) {
	a := made(t, time.Now())
	deciding, decided := make(chan struct{}), make(chan struct{})
	r := run(t, Options{Certificates: newFixed(a), Drain: time.Nanosecond, Decide: func(ctx context.Context, _ engine.Object) (engine.Desired, error) {
		close(deciding)
		<-decided
		return engine.Desired{Patch: []byte(somePatch)}, ctx.Err()
	}})
	answers := make(chan error, 1)
	c := caller(t, r.address, a.bundle(), nil)
	go func() {
		answer, err := c.Post("https://"+testHost+"/mutate?timeout=20s", "application/json", bytes.NewReader(sent(t, "create-v1")))
		if err == nil {
			defer answer.Body.Close()
			var body []byte
			if body, err = io.ReadAll(answer.Body); !strings.Contains(string(body), `"patch":`) {
				err = errors.Join(err, errors.New("no patch: "+string(body)))
			}
		}
		answers <- err
	}()
	<-deciding
	r.stop()
	eventually(t, "nobody listens any more", func() bool {
		c, err := net.Dial("tcp", r.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-r.ended:
		t.Fatalf("it ended before the last answer: %v", err)
	default:
	}
	close(decided)
	if err := <-answers; err != nil {
		t.Error(err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestRunFails(t *testing.T) {
	decide := deciding(engine.Desired{}, nil)
	if _, err := New(Options{}); err == nil {
		t.Error("a server that decides nothing was made")
	}
	if err := newServer(t, Options{Decide: decide}).Run(t.Context()); err == nil {
		t.Error("it ran without certificates")
	}
	certificates := newFixed(made(t, time.Now()))
	if err := newServer(t, Options{Decide: decide, Certificates: certificates, Address: "127.0.0.1:notaport"}).Run(t.Context()); err == nil {
		t.Error("it ran at no address")
	}
	broken := errors.New("no such thing")
	certificates.run = func(context.Context) error { return broken }
	if err := newServer(t, Options{Decide: decide, Certificates: certificates, Address: "127.0.0.1:0"}).Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("it ended with %v", err)
	}
}
