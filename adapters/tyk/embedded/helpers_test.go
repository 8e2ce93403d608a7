package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
)

const secret = "s3cret"

// rig is a gateway set up as the measured one was: custom domains and strict
// routes on.
type rig struct {
	t *testing.T
	*Gateway
}

func start(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	c := Config{Secret: secret, CustomDomains: true, StrictRoutes: true, ReloadTick: time.Millisecond, Transport: echo{}}
	for _, f := range change {
		f(&c)
	}
	g := New(c)
	t.Cleanup(g.Close)
	return &rig{t, g}
}

// echo is every upstream: it answers with what it was asked.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "" {
		return nil, errors.New("no Host in request URL")
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	text := fmt.Sprintf("%s host=%s", r.URL, host)
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"X-Via": r.Header["X-Forwarded-For"]}, Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

func (r *rig) do(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// control makes a call of the control API.
func (r *rig) control(method, path, body string) (int, string) {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("x-tyk-authorization", secret)
	w := r.do(req)
	return w.Code, w.Body.String()
}

// want makes a call and compares the answer; want is "200 <body>".
func (r *rig) want(want, method, path, body string) {
	r.t.Helper()
	code, text := r.control(method, path, body)
	if got := fmt.Sprintf("%d %s", code, text); got != want {
		r.t.Errorf("%s %s %.80s:\n got %.300s\nwant %s", method, path, body, got, want)
	}
}

// code makes a call and returns the status.
func (r *rig) code(method, path, body string) int {
	code, _ := r.control(method, path, body)
	return code
}

func (r *rig) post(definitions ...string) {
	r.t.Helper()
	for _, d := range definitions {
		if code, text := r.control("POST", "/tyk/apis", d); code != http.StatusOK {
			r.t.Fatalf("POST %s: %d %s", d, code, text)
		}
	}
}

func (r *rig) reload() {
	r.t.Helper()
	r.want(`200 {"status":"ok","message":""}`, "GET", "/tyk/reload?block=true", "")
}

// load posts and reloads.
func (r *rig) load(definitions ...string) {
	r.t.Helper()
	r.post(definitions...)
	r.reload()
}

// get asks the data plane.
func (r *rig) get(target string) (int, string) {
	w := r.do(httptest.NewRequest("GET", target, nil))
	return w.Code, w.Body.String()
}

// path asks the data plane for a path on a host without an API of its own.
func (r *rig) path(path string) (int, string) { return r.get("http://gw.test" + path) }

// upstream gives the request that the upstream saw, without its host, or the status.
func (r *rig) upstream(target string) string {
	if strings.HasPrefix(target, "/") {
		target = "http://gw.test" + target
	}
	code, text := r.get(target)
	if code != http.StatusOK {
		return fmt.Sprint(code)
	}
	text, _, _ = strings.Cut(text, " ")
	u, err := url.Parse(text)
	if err != nil {
		r.t.Fatal(err)
	}
	id, _, _ := strings.Cut(u.Host, ".")
	return id + " " + u.RequestURI()
}

// winner gives the id of the API that served, or the status.
func (r *rig) winner(target string) string {
	id, _, _ := strings.Cut(r.upstream(target), " ")
	return id
}

// listed gives the listen paths of what GET /tyk/apis lists, by id.
func (r *rig) listed() map[string]string {
	r.t.Helper()
	_, text := r.control("GET", "/tyk/apis", "")
	var list []struct {
		ID    string `json:"api_id"`
		Proxy struct {
			ListenPath string `json:"listen_path"`
		} `json:"proxy"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		r.t.Fatalf("GET /tyk/apis: %v: %.300s", err, text)
	}
	paths := map[string]string{}
	for _, a := range list {
		paths[a.ID] = a.Proxy.ListenPath
	}
	return paths
}

// apiOf is a definition that serves; its upstream is named after its id. changes are
// paths and values: "proxy.target_url", "http://x/".
func apiOf(id, listenPath string, changes ...any) string {
	d := map[string]any{
		"name": "api " + id, "api_id": id, "org_id": "default", "use_keyless": true, "active": true,
		"version_data": map[string]any{
			"not_versioned": true,
			"versions":      map[string]any{"Default": map[string]any{"name": "Default", "use_extended_paths": true}},
		},
		"proxy": map[string]any{"listen_path": listenPath, "target_url": "http://" + id + ".test/", "strip_listen_path": true},
	}
	for i := 0; i < len(changes); i += 2 {
		at, names := d, strings.Split(changes[i].(string), ".")
		for _, name := range names[:len(names)-1] {
			at = at[name].(map[string]any)
		}
		last := names[len(names)-1]
		if changes[i+1] == absent {
			delete(at, last)
			continue
		}
		at[last] = changes[i+1]
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// absent takes a field away.
const absent = "(absent)"

func failure(message string) string { return `{"status":"error","message":"` + message + `"}` }

// eventually polls until ok, at most for a few seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

type muxMatch = mux.RouteMatch

func newRequest(target string) *http.Request { return httptest.NewRequest("GET", target, nil) }
