package tyk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

const testSecret = "test-secret"

// port is an http server that can be killed and comes back at the same address.
type port struct {
	URL     string
	address string
	handler http.Handler
	mu      sync.Mutex
	server  *http.Server
}

func newPort(t testing.TB, h http.Handler) *port {
	t.Helper()
	p := &port{handler: h, address: "127.0.0.1:0"}
	p.open(t)
	p.URL = "http://" + p.address
	t.Cleanup(p.kill)
	return p
}

func (p *port) open(t testing.TB) {
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.address = l.Addr().String()
	p.server = &http.Server{Handler: p.handler, ErrorLog: discardLog}
	go func(s *http.Server) { _ = s.Serve(l) }(p.server)
}

// kill closes the port and all connections at once.
func (p *port) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.server.Close()
}

// double is a gateway of the tests. Its upstreams answer with the URL they were
// asked for.
type double struct {
	*embedded.Gateway
	*port
	store *embedded.Store
}

type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(r.URL.String())), Request: r}, nil
}

func newDouble(t testing.TB) *double { return newDoubleOn(t, embedded.NewStore()) }

func newDoubleOn(t testing.TB, store *embedded.Store) *double {
	t.Helper()
	return newDoubleBehind(t, store, func(g *embedded.Gateway) http.Handler { return g })
}

// newDoubleBehind is a double of which the port has another handler.
func newDoubleBehind(t testing.TB, store *embedded.Store, handler func(*embedded.Gateway) http.Handler) *double {
	t.Helper()
	g := embedded.New(embedded.Config{Secret: testSecret, CustomDomains: true, StrictRoutes: true,
		ReloadTick: 200 * time.Microsecond, Transport: echo{}, Store: store})
	t.Cleanup(g.Close)
	return &double{g, newPort(t, handler(g)), store}
}

func (d *double) settings() Settings {
	return Settings{URL: d.URL, Secret: NewSecret(testSecret), OrgID: "default", FirstPause: 100 * time.Microsecond, Rate: 1e6}
}

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newTestTarget(t testing.TB, s Settings, o Options) *target {
	t.Helper()
	o.ClusterID = "test"
	x, err := newTarget(s, o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// desired makes an object with a definition for each path; version changes their
// content.
func desired(name string, version int, paths ...string) engine.Desired {
	d := engine.Desired{Object: engine.Ref{Kind: "Ingress", Namespace: "default", Name: name}, Outcome: engine.Managed, Template: "default"}
	for _, p := range paths {
		d.Definitions = append(d.Definitions, definition(d.Object, name+"-"+strings.ReplaceAll(p[1:], "/", "_"), name+".example.com", p, version))
	}
	return d
}

func definition(owner engine.Ref, id, host, path string, version int, changes ...any) engine.Definition {
	hash := fmt.Sprintf("%s%s%s-%d", id, host, path, version)
	text := fmt.Sprintf(`{"name":%q,"api_id":%q,"org_id":"default","use_keyless":true,"active":true,"domain":%q,
		"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
		"proxy":{"listen_path":%q,"target_url":"http://upstream.test/%s/v%d","strip_listen_path":true}}`, id, id, host, path, id, version)
	d := engine.Definition{ID: id, Field: "spec", Match: host + " ^ " + path, Listen: host + path, Hash: hash}
	text = with(text, "config_data.cuegate", map[string]any{"cluster": "test", "hash": hash, "match": d.Match, "owner": owner.String()})
	d.JSON = []byte(with(text, changes...))
	return d
}

// with sets paths to values.
func with(text string, changes ...any) string {
	for i := 0; i < len(changes); i += 2 {
		changed, err := sjson.Set(text, changes[i].(string), changes[i+1])
		if err != nil {
			panic(err)
		}
		text = changed
	}
	return text
}

// held is an object that is not to be touched.
func held(name string) engine.Desired {
	return engine.Desired{Object: engine.Ref{Kind: "Ingress", Namespace: "default", Name: name}, Outcome: engine.Held}
}

// many makes n objects of one definition each.
func many(n, version int) []engine.Desired {
	var all []engine.Desired
	for i := range n {
		all = append(all, desired(fmt.Sprintf("many%05d", i), version, "/"))
	}
	return all
}

// call makes a call of the control API by hand.
func (d *double) call(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("x-tyk-authorization", testSecret)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (d *double) mustCall(t testing.TB, method, path, body string) string {
	t.Helper()
	code, text := d.call(t, method, path, body)
	if code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return text
}

// byHand puts a definition and reloads.
func (d *double) byHand(t testing.TB, text string) {
	t.Helper()
	d.mustCall(t, "POST", "/tyk/apis", text)
	d.mustCall(t, "GET", "/tyk/reload?block=true", "")
}

// loaded gives what the gateway lists, by api_id. No fault hits it.
func (d *double) loaded(t testing.TB) map[string]gjson.Result {
	t.Helper()
	all := map[string]gjson.Result{}
	for _, api := range gjson.Parse(d.mustCall(t, "GET", "/tyk/apis", "")).Array() {
		all[api.Get("api_id").String()] = api
	}
	return all
}

// ask requests from the data plane and gives the upstream's URL, or the status.
func (d *double) ask(host, path string) string {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest("GET", "http://"+host+path, nil))
	if w.Code != http.StatusOK {
		return fmt.Sprint(w.Code)
	}
	return w.Body.String()
}

func push(t testing.TB, x *target, want ...engine.Desired) Report {
	t.Helper()
	return x.sync(context.Background(), newWants(want, 0))
}

func mustPush(t testing.TB, x *target, want ...engine.Desired) Report {
	t.Helper()
	r := push(t, x, want...)
	if !r.OK() {
		t.Fatalf("not pushed: %+v", r)
	}
	return r
}

// expect compares what is loaded and served with what is wanted.
func (d *double) expect(t testing.TB, want ...engine.Desired) {
	t.Helper()
	if problem := d.differs(t, want); problem != "" {
		t.Error(problem)
	}
}

func (d *double) differs(t testing.TB, want []engine.Desired) string {
	t.Helper()
	if problem := wrong(d.loaded(t), want); problem != "" {
		return problem
	}
	for _, o := range want {
		for _, def := range o.Definitions {
			host, path, _ := strings.Cut(def.Listen, "/")
			expected := gjson.GetBytes(def.JSON, "proxy.target_url").String()
			if got := d.ask(host, "/"+path); got != expected && got != expected+"/" {
				return fmt.Sprintf("%s is served by %s, not %s", def.Listen, got, expected)
			}
		}
	}
	return ""
}

// wrong compares a list of definitions, as far as they have our mark, with what is
// wanted. Held objects are not looked at.
func wrong(loaded map[string]gjson.Result, want []engine.Desired) string {
	wanted := map[string]engine.Definition{}
	keep := map[string]bool{}
	for _, o := range want {
		for _, def := range o.Definitions {
			wanted[def.ID] = def
		}
		if o.Outcome == engine.Held {
			keep[o.Object.String()] = true
		}
	}
	for id, api := range loaded {
		mark := api.Get("config_data.cuegate")
		if _, ok := wanted[id]; !ok && mark.Get("cluster").String() == "test" && !api.Get("is_oas").Bool() && !keep[mark.Get("owner").String()] {
			return id + " is loaded, and not wanted"
		}
	}
	for id, def := range wanted {
		api := loaded[id]
		if got := api.Get("config_data.cuegate.hash").String(); got != def.Hash {
			return fmt.Sprintf("%s has the hash %q, not %q", id, got, def.Hash)
		}
		if got := differences(def.JSON, []byte(api.Raw)); len(got) > 0 {
			return fmt.Sprintf("%s differs in %v", id, got)
		}
	}
	return ""
}

// converge pushes, a second apart, until the target has what is wanted, but no more
// than rounds times.
func converge(t testing.TB, c *clock, rounds int, sync func() Report, differs func() string) {
	t.Helper()
	var last Report
	for range rounds {
		if last = sync(); last.OK() {
			if differs() == "" {
				return
			}
		}
		c.add(30 * time.Second)
	}
	t.Fatalf("not in %d rounds: %s; last %+v", rounds, differs(), last)
}

// writes are the calls that change something, of a double of either kind.
func writes(calls map[string]int) int {
	n := 0
	for call, times := range calls {
		if !strings.HasPrefix(call, "GET ") {
			n += times
		}
	}
	return n
}

func expectCalls(t testing.TB, got map[string]int, want map[string]int) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("calls:\n got %v\nwant %v", got, want)
	}
}

// strangers are definitions that nobody of us may touch, as files.
func strangers() map[string][]byte {
	other := desired("other", 1, "/").Definitions[0].JSON
	return map[string][]byte{
		"foreign.json":  []byte(`{"name":"foreign","api_id":"foreign","use_keyless":true,"proxy":{"listen_path":"/foreign/","target_url":"http://foreign.test"}}`),
		"unmarked.json": []byte(`{"name":"x","api_id":"unmarked","config_data":{"cuegate":"no mark"},"proxy":{"listen_path":"/unmarked/","target_url":"http://unmarked.test"}}`),
		"cluster2.json": []byte(with(string(other), "api_id", "cluster2", "domain", "cluster2.example.com", "config_data.cuegate.cluster", "another")),
		"oas.json":      []byte(with(string(other), "api_id", "oas", "domain", "oas.example.com", "is_oas", true)),
		"oas-oas.json":  []byte(`{"openapi":"3.0.3"}`),
	}
}

// plant writes the strangers and loads them; the check that is returned compares
// their bytes.
func (d *double) plant(t testing.TB) func() {
	t.Helper()
	files := strangers()
	for name, data := range files {
		d.store.WriteFile(name, data)
	}
	d.Restart()
	return func() {
		t.Helper()
		now := d.store.Files()
		for name, data := range files {
			if !bytes.Equal(now[name], data) {
				t.Errorf("%s was touched:\n got %s\nwant %s", name, now[name], data)
			}
		}
	}
}

// board is a Dashboard of the tests.
type board struct {
	*dashboardtest.Dashboard
	*port
}

func newBoard(t testing.TB, b dashboardtest.Behaviour) *board {
	t.Helper()
	d := dashboardtest.New(dashboardtest.Config{Key: testSecret, OrgID: "default", Version: b})
	return &board{d, newPort(t, d)}
}

func (b *board) settings() Settings {
	return Settings{URL: b.URL, Secret: NewSecret(testSecret), OrgID: "default", FirstPause: 100 * time.Microsecond, Rate: 1e6, Mode: Dashboard}
}

func (b *board) loaded() map[string]gjson.Result {
	all := map[string]gjson.Result{}
	for _, text := range b.APIs() {
		api := gjson.ParseBytes(text)
		all[api.Get("api_id").String()] = api
	}
	return all
}

func (b *board) differs(want []engine.Desired) string { return wrong(b.loaded(), want) }

func (b *board) expect(t testing.TB, want ...engine.Desired) {
	t.Helper()
	if problem := b.differs(want); problem != "" {
		t.Error(problem)
	}
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func kinds(drift []Drift) string {
	var all []string
	for _, d := range drift {
		all = append(all, fmt.Sprintf("%s %s %v", d.ID, d.Kind, d.Paths))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

var discardLog = log.New(io.Discard, "", 0)

// intercept lets the answers of some calls get lost, after they had their effect.
func intercept(lose func(*http.Request) bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lose(r) {
			h.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	})
}

// take takes one of n, if there is one.
func take(n *atomic.Int32) bool { return n.Add(-1) >= 0 }

// rewrite changes the bodies of answers.
func rewrite(change func(string) string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = io.WriteString(w, change(rec.Body.String()))
	})
}
