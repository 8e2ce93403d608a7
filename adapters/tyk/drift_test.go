package tyk

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

// drifting is a gateway with two definitions, pushed, and a clock.
func drifting(t *testing.T) (*double, *clock, *target, engine.Desired) {
	t.Helper()
	g, c := newDouble(t), newClock()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	o := desired("cafe", 1, "/tea", "/coffee")
	mustPush(t, x, o)
	return g, c, x, o
}

// repaired lists again and expects the drift, its repair, and no more afterwards.
func repaired(t *testing.T, g *double, c *clock, x *target, o engine.Desired, want string) {
	t.Helper()
	c.add(6 * time.Minute)
	r := mustPush(t, x, o)
	if got := kinds(r.Drift); got != want {
		t.Errorf("drift %q, want %q", got, want)
	}
	g.expect(t, o)
	if g.loaded(t)["cafe-tea"].Get("use_basic_auth").Bool() {
		t.Error("a field that we do not write is as somebody else wants it")
	}
	for range 2 {
		c.add(6 * time.Minute)
		g.ResetCalls()
		if r := mustPush(t, x, o); len(r.Drift) > 0 || writes(g.Calls()) > 0 {
			t.Errorf("drift without a cause: %v, %v", kinds(r.Drift), g.Calls())
		}
	}
}

func TestDriftEdited(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]struct {
		change []any
		want   string
	}{
		"a value of ours":        {[]any{"proxy.target_url", "http://evil.test"}, "cafe-tea edited [proxy.target_url]"},
		"a value of ours, gone":  {[]any{"use_keyless", false}, "cafe-tea edited [use_keyless]"},
		"a value that we do not": {[]any{"use_basic_auth", true}, "cafe-tea edited []"},
		"the hash":               {[]any{"config_data.cuegate.hash", "x"}, "cafe-tea edited []"},
		"the listen path":        {[]any{"proxy.listen_path", "/other"}, "cafe-tea renamed []"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// By hand through the API, or in the file; before the first list after the
			// push, or later.
			for _, through := range []string{"api", "file"} {
				for _, listed := range []bool{false, true} {
					g, c, x, o := drifting(t)
					if listed {
						c.add(6 * time.Minute)
						mustPush(t, x, o)
					}
					text := with(g.loaded(t)["cafe-tea"].Raw, edit.change...)
					if through == "api" {
						g.mustCall(t, "PUT", "/tyk/apis/cafe-tea", text)
						g.mustCall(t, "GET", "/tyk/reload?block=true", "")
					} else {
						g.store.WriteFile("cafe-tea.json", []byte(text))
						g.Restart()
					}
					repaired(t, g, c, x, o, edit.want)
				}
			}
		})
	}
}

// A repair that is answered and lost is not taken for one: the hash alone does not
// tell.
func TestDriftRepairLost(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 60} {
		g, c := newDouble(t), newClock()
		x := newTestTarget(t, g.settings(), Options{Now: c.Now})
		want := many(n, 1)
		mustPush(t, x, want...)
		for id, api := range g.loaded(t) {
			g.mustCall(t, "PUT", "/tyk/apis/"+id, with(api.Raw, "proxy.target_url", "http://evil.test"))
		}
		g.mustCall(t, "GET", "/tyk/reload?block=true", "")
		c.add(6 * time.Minute)
		g.Faults().Set(faultReloads(1))
		mustPush(t, x, want...)
		g.expect(t, want...)

		for id, api := range g.loaded(t) {
			g.mustCall(t, "PUT", "/tyk/apis/"+id, with(api.Raw, "proxy.target_url", "http://evil.test"))
		}
		g.mustCall(t, "GET", "/tyk/reload?block=true", "")
		c.add(6 * time.Minute)
		g.Faults().Set(func(f *embedded.FaultSettings) { f.LostWriteShare, f.Seed = 0.5, 7 })
		converge(t, c, 8, func() Report { return push(t, x, want...) }, func() string { return g.differs(t, want) })
	}
}

func TestDriftDeleted(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	g.mustCall(t, "DELETE", "/tyk/apis/cafe-tea", "")
	g.mustCall(t, "GET", "/tyk/reload?block=true", "")
	repaired(t, g, c, x, o, "cafe-tea missing []")
}

func TestDriftLostFiles(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	g.store.LoseFiles()
	g.store.LoseRedis()
	g.Restart()
	repaired(t, g, c, x, o, "cafe-coffee missing []; cafe-tea missing []")
}

func TestDriftDamagedFile(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	g.store.WriteFile("cafe-tea.json", []byte(`{"name":"half`))
	g.Restart()
	repaired(t, g, c, x, o, "cafe-tea missing []")
}

func TestDriftMarkRemoved(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	g.byHand(t, with(g.loaded(t)["cafe-tea"].Raw, "config_data", map[string]any{}))
	c.add(6 * time.Minute)
	r := push(t, x, o)
	if kinds(r.Drift) != "cafe-tea missing []" || len(r.Failed) != 1 || r.Failed[0].Err != errForeign || r.Unchanged != 1 {
		t.Errorf("%+v", r)
	}
}

func TestDriftGatewayRestarted(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	g.Restart()
	repaired(t, g, c, x, o, "")
}

var rival = []byte(`{"name":"f","api_id":"f","use_keyless":true,"domain":"cafe.example.com","proxy":{"listen_path":"/tea","target_url":"http://f.test"}}`)

// A foreign API with our listen path moves ours at a restart, and itself. Ours gets
// its path back, as often as that happens.
func TestDriftRenamed(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	for range 3 {
		g.store.WriteFile("f.json", rival)
		g.Restart()
		repaired(t, g, c, x, o, "cafe-tea renamed []")
		if string(g.store.Files()["f.json"]) != string(rival) {
			t.Error("the foreign one was touched")
		}
	}
}

// A foreign API that was first keeps the path, and ours is reported until the other
// is gone.
func TestDriftRenamedByOneThatWasFirst(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	g.byHand(t, string(rival))
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	o := desired("cafe", 1, "/tea", "/coffee")
	for n := range 3 {
		r := push(t, x, o)
		if len(r.Drift) > min(n, 1) || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Err.Error(), "another API has its domain") {
			t.Fatalf("%d: %+v", n, r)
		}
		if got := g.ask("cafe.example.com", "/tea"); got != "http://f.test/tea" && got != "403" {
			t.Error("the foreign one is not served any more: " + got)
		}
		c.add(6 * time.Minute)
	}
	g.mustCall(t, "DELETE", "/tyk/apis/f", "")
	g.mustCall(t, "GET", "/tyk/reload?block=true", "")
	c.add(20 * time.Minute)
	mustPush(t, x, o)
	g.expect(t, o)
}

// While its object is held, an edit is reported; afterwards it is repaired.
func TestDriftOfAHeldObject(t *testing.T) {
	t.Parallel()
	for _, edit := range [][]any{{"active", false}, {"use_basic_auth", true}, {"proxy.listen_path", "/other"}} {
		for _, restarted := range []bool{false, true} {
			g, c, x, o := drifting(t)
			c.add(6 * time.Minute)
			mustPush(t, x, o)
			g.byHand(t, with(g.loaded(t)["cafe-tea"].Raw, edit...))
			if restarted && edit[0] == "use_basic_auth" {
				continue // a new process cannot know
			}
			if restarted {
				x = newTestTarget(t, g.settings(), Options{Now: c.Now})
			}
			for n := range 3 {
				c.add(6 * time.Minute)
				if r := mustPush(t, x, held("cafe")); r.Changed() || !restarted && (len(r.Drift) == 1) != (n == 0) {
					t.Errorf("%v: %+v", edit, r)
				}
			}
			c.add(6 * time.Minute)
			mustPush(t, x, o)
			g.expect(t, o)
		}
	}
}

// What the target makes of a definition by itself is no drift, whether it was read
// singly or by a list.
func TestDriftIsNotTheTargetsOwn(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 60} {
		g, c := newDouble(t), newClock()
		x := newTestTarget(t, g.settings(), Options{Now: c.Now})
		o := desired("cafe", 1)
		for i := range n {
			id := "own" + strings.Repeat("x", i)
			o.Definitions = append(o.Definitions, definition(o.Object, id, id+".example.com", "/", 1, "unknown", 1, "proxy.unknown", "x",
				"version_data.versions.Default.extended_paths.white_list", []any{map[string]any{"path": "/x", "fromDashboard": true}}))
		}
		mustPush(t, x, o)
		g.ResetCalls()
		for range 3 {
			c.add(6 * time.Minute)
			if r := mustPush(t, x, o); len(r.Drift) > 0 {
				t.Error(kinds(r.Drift))
			}
		}
		if writes(g.Calls()) > 0 {
			t.Error(g.Calls())
		}
	}
}

// Another version of the gateway may write the same differently.
func TestDriftOfAnotherVersion(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	var version, extra atomic.Pointer[string]
	is := func(v, e string) { version.Store(&v); extra.Store(&e) }
	is("v5.11.1", "")
	proxy := newPort(t, rewrite(func(body string) string {
		body = strings.ReplaceAll(body, "v5.11.1", *version.Load())
		return strings.ReplaceAll(body, `{"id":"","name"`, `{`+*extra.Load()+`"id":"","name"`)
	}, g))
	s := g.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{Now: c.Now})
	o := desired("cafe", 1, "/tea", "/coffee")
	mustPush(t, x, o)
	c.add(6 * time.Minute)
	mustPush(t, x, o)
	g.ResetCalls()
	is("v5.12.0", `"new_field":true,`)
	if !strings.Contains(g.loaded(t)["cafe-tea"].Raw, `{"id":"","name"`) {
		t.Fatal("the double writes otherwise: ", g.loaded(t)["cafe-tea"].Raw[:80])
	}
	for range 2 {
		c.add(6 * time.Minute)
		if r := mustPush(t, x, o); len(r.Drift) > 0 || r.Status.Version != "v5.12.0" {
			t.Errorf("%+v", r)
		}
	}
	if writes(g.Calls()) > 0 {
		t.Error(g.Calls())
	}
	// The same change without another version is one by hand.
	is("v5.12.0", `"new_field":false,`)
	c.add(6 * time.Minute)
	if r := mustPush(t, x, o); kinds(r.Drift) != "cafe-coffee edited []; cafe-tea edited []" {
		t.Errorf("%+v", r)
	}
}

// Two pushers of the same do not take each other's repairs for edits.
func TestDriftRepairedByAnother(t *testing.T) {
	t.Parallel()
	g, c, x, o := drifting(t)
	y := newTestTarget(t, g.settings(), Options{Now: c.Now})
	c.add(6 * time.Minute)
	mustPush(t, x, o)
	mustPush(t, y, o)
	g.byHand(t, with(g.loaded(t)["cafe-tea"].Raw, "proxy.target_url", "http://evil.test"))
	c.add(6 * time.Minute)
	mustPush(t, x, o)
	g.ResetCalls()
	for range 3 {
		for _, p := range []*target{y, x} {
			if r := mustPush(t, p, o); len(r.Drift) > 0 {
				t.Error(kinds(r.Drift))
			}
		}
		c.add(6 * time.Minute)
	}
	if writes(g.Calls()) > 0 {
		t.Error(g.Calls())
	}
}

// Drift that a verification by list happens to see is reported and repaired too.
func TestDriftSeenByAVerification(t *testing.T) {
	t.Parallel()
	g, _, x, o := drifting(t)
	g.byHand(t, with(g.loaded(t)["cafe-tea"].Raw, "proxy.target_url", "http://evil.test"))
	g.mustCall(t, "DELETE", "/tyk/apis/cafe-coffee", "")
	want := append(many(60, 1), o)
	r := mustPush(t, x, want...)
	if kinds(r.Drift) != "cafe-coffee missing []; cafe-tea edited [proxy.target_url]" {
		t.Error(kinds(r.Drift))
	}
	if !x.due() {
		t.Error("the repair waits")
	}
	if r = mustPush(t, x, want...); len(r.Drift) > 0 {
		t.Error(kinds(r.Drift))
	}
	g.expect(t, want...)
}

// What a batch of ours did before it broke off is no drift.
func TestDriftIsNotOurOwnUnfinishedBatch(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	var down atomic.Bool
	proxy := newPort(t, intercept(func(r *http.Request) bool {
		return strings.HasPrefix(r.URL.Path, "/tyk/reload") && down.Load()
	}, g))
	s := g.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{})
	mustPush(t, x, desired("cafe", 1, "/tea", "/coffee"))
	down.Store(true)
	want := []engine.Desired{desired("cafe", 2, "/tea"), desired("shop", 1, "/")}
	if r := push(t, x, want...); r.Err == nil {
		t.Fatalf("%+v", r)
	}
	down.Store(false)
	if r := mustPush(t, x, want...); len(r.Drift) > 0 {
		t.Error(kinds(r.Drift))
	}
	g.expect(t, want...)
}

// A wiped gateway is found long before the next list.
func TestCheckFindsAWipedGateway(t *testing.T) {
	t.Parallel()
	g, _, x, o := drifting(t)
	ctx := context.Background()
	g.ResetCalls()
	if !x.check(ctx) || x.due() {
		t.Error("all is well")
	}
	expectCalls(t, g.Calls(), map[string]int{"GET /tyk/apis/{id}": 1})
	g.store.LoseFiles()
	g.Restart()
	if x.check(ctx) || !x.due() {
		t.Error("not found")
	}
	mustPush(t, x, o)
	g.expect(t, o)
}
