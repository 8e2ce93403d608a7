package k8s

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// asked gives status, headers and body of an answer.
func asked(t *testing.T, h http.Handler, method, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Header(), w.Body.String()
}

func TestDiagnostics(t *testing.T) {
	var synced, pushed atomic.Bool
	planning := errors.New("gateway gw-a: connection refused")
	x := newBundleBox(t, bundleOptions{})
	d := newDecider(t)
	h := newDiagnostics(diagnosticsOptions{
		Metrics: newMetrics("1.2.3", ""), Bundles: x.bundles, Explain: d.explain,
		Plan: func(context.Context) (any, error) {
			if planning != nil {
				return nil, planning
			}
			return map[string]int{"changes": 3}, nil
		},
		Checks: []check{{"caches synced", synced.Load}, {"first push done", pushed.Load}},
	})
	get := func(path string, status int) string {
		t.Helper()
		got, header, body := asked(t, h, http.MethodGet, path)
		if got != status {
			t.Errorf("%s: status %d, want %d: %s", path, got, status, body)
		}
		if header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		if strings.HasPrefix(path, "/debug/") && got != 404 && header.Get("Content-Type") != "application/json" {
			t.Errorf("%s is %s", path, header.Get("Content-Type"))
		}
		return body
	}
	has := func(body string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(body, p) {
				t.Errorf("%q is not in %s", p, body)
			}
		}
	}

	get("/healthz", 200)
	has(get("/readyz", 503), "[-] not yet: caches synced", "[-] not yet: first push done", "[-] no bundle is loaded yet")
	synced.Store(true)
	has(get("/readyz", 503), "[+] caches synced", "[-] not yet: first push done")
	has(get("/debug/bundle", 200), `"digest": ""`, `"templates": []`)
	x.start(t).waitFor(t, 1)
	pushed.Store(true)
	if body := get("/readyz", 200); strings.Contains(body, "[-]") {
		t.Errorf("ready, and says %s", body)
	}
	has(get("/metrics", 200), `cuegate_build_info{revision="",version="1.2.3"} 1`, "go_goroutines", "process_")

	body := get("/debug/explain?object=Ingress/shop/tea", 200)
	if gjson.Get(body, "outcome").String() != "managed" || gjson.Get(body, "definitions.0.values.#").Int() < 10 {
		t.Errorf("explained as %s", body)
	}
	body = get("/debug/explain?object=shop/tea&field=proxy.target_url", 200)
	if got := gjson.Get(body, "definitions.0.values.#.path").String(); got != `["proxy.target_url"]` {
		t.Errorf("narrowed to %s", got)
	}
	has(get("/debug/explain?object=shop/tea&field=no.such", 404), "no.such")
	has(get("/debug/explain?object=Ingress/shop/none", 404), `"error"`, "Ingress/shop/none")
	has(get("/debug/explain?object=a/b/c/d", 400), "a/b/c/d")
	has(get("/debug/explain", 400), `"error"`)

	has(get("/debug/plan", 503), "connection refused")
	planning = nil
	has(get("/debug/plan", 200), `"changes": 3`)
	has(get("/debug/bundle", 200), x.view().Digest, `"generation": 1`)
	has(get("/debug/shadow", 404), "no second bundle")
	get("/debug/", 404)
	get("/", 404)

	for _, path := range []string{"/healthz", "/metrics", "/debug/plan", "/debug/explain?object=shop/tea"} {
		if status, _, _ := asked(t, h, http.MethodPost, path); status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: status %d", path, status)
		}
	}
}

func TestDiagnosticsOfShadow(t *testing.T) {
	d := newDecider(t)
	dir := t.TempDir()
	write(t, dir, shadowBundle)
	s := startShadow(t, dir, d)
	h := newDiagnostics(diagnosticsOptions{Metrics: s.o.Metrics, Bundles: s.bundles, Shadow: s, Explain: d.explain})
	s.decided(engine.Ref{Kind: "Ingress", Namespace: "shop", Name: "tea"})
	eventually(t, "the object is listed", func() bool {
		status, _, body := asked(t, h, http.MethodGet, "/debug/shadow")
		return status == 200 && gjson.Get(body, "objects.0.object").String() == "Ingress/shop/tea"
	})
}

func TestDiagnosticsShowNoSecrets(t *testing.T) {
	const secret = "hush-hush-4711"
	d := newDecider(t)
	ref := engine.Ref{Kind: "Ingress", Namespace: "shop", Name: "tea"}
	o := d.objects[ref]
	o.JSON = []byte(strings.Replace(string(o.JSON), `"name":"tea"`, `"name":"tea","annotations":{
		"kubectl.kubernetes.io/last-applied-configuration":"`+secret+`",
		"string.service.tyk.io/version_data.versions.Default.global_headers.X-Api-Key":"`+secret+`",
		"string.service.tyk.io/jwt_source":"`+secret+`"}`, 1))
	if !strings.Contains(string(o.JSON), secret) {
		t.Fatalf("the object is %s", o.JSON)
	}
	d.objects[ref] = o
	h := newDiagnostics(diagnosticsOptions{Metrics: newMetrics("", ""), Explain: d.explain})
	status, _, body := asked(t, h, http.MethodGet, "/debug/explain?object=shop/tea")
	if status != 200 || strings.Contains(body, secret) {
		t.Errorf("status %d: %s", status, body)
	}
}

func TestServeDiagnostics(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	asking, answer := make(chan struct{}), make(chan struct{})
	go func() {
		ended <- serveOn(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(asking)
			<-answer
			_, _ = io.WriteString(w, "done")
		}))
	}()
	answered := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		answered <- string(body)
	}()
	<-asking
	stop()
	close(answer)
	if got := <-answered; got != "done" {
		t.Errorf("what was asked before the end: %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("the end is %v", err)
	}
	if err := serve(t.Context(), listener.Addr().Network()+"://", nil); err == nil {
		t.Error("that is no address")
	}
}
