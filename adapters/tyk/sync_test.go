package tyk

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cuegate/cuegate/engine"
)

func TestSyncCreatesUpdatesAndDeletes(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	r := mustPush(t, x, desired("cafe", 1, "/tea", "/coffee"), desired("shop", 1, "/"))
	if r.Created != 3 || !r.Changed() {
		t.Errorf("%+v", r)
	}
	r = mustPush(t, x, desired("cafe", 2, "/tea"), desired("shop", 1, "/"))
	if r.Updated != 1 || r.Deleted != 1 || r.Unchanged != 1 {
		t.Errorf("%+v", r)
	}
	g.expect(t, desired("cafe", 2, "/tea"), desired("shop", 1, "/"))
	if r = mustPush(t, x); r.Deleted != 2 || len(g.loaded(t)) != 0 {
		t.Errorf("%+v, loaded %v", r, g.loaded(t))
	}
}

// One change costs one write, one reload and one read, however much there is.
func TestSyncCallsDoNotGrow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 60, 300} {
		g := newDouble(t)
		x := newTestTarget(t, g.settings(), Options{})
		want := many(n, 1)
		mustPush(t, x, want...)
		g.ResetCalls()
		if r := mustPush(t, x, want...); r.Unchanged != n || r.Changed() {
			t.Errorf("%+v", r)
		}
		expectCalls(t, g.Calls(), map[string]int{})
		want[n/2] = desired(want[n/2].Object.Name, 2, "/")
		mustPush(t, x, want...)
		expectCalls(t, g.Calls(), map[string]int{"PUT /tyk/apis/{id}": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1})
		g.ResetCalls()
		mustPush(t, x, append(want, desired("new", 1, "/"))...)
		expectCalls(t, g.Calls(), map[string]int{"POST /tyk/apis": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1})
		g.ResetCalls()
		mustPush(t, x, want...)
		expectCalls(t, g.Calls(), map[string]int{"DELETE /tyk/apis/{id}": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1})
		g.expect(t, want...)
	}
}

// A process that starts anew finds that nothing is to be done.
func TestSyncAfterARestartWritesNothing(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	o := desired("cafe", 1, "/tea")
	o.Definitions = append(o.Definitions,
		// What a gateway drops or writes in its own way.
		definition(o.Object, "odd", "odd.example.com", "/", 1,
			"no_such_field", map[string]any{"a": 1}, "hook_references", []any{1}, "proxy.service_discovery._sd_show_port_path", true,
			"uptime_tests.config.recheck_wait", 10, "cache_options.cache_timeout", 60,
			"version_data.versions.Default.extended_paths.ignored", []any{map[string]any{"path": "/x", "fromDashboard": true}}))
	mustPush(t, newTestTarget(t, g.settings(), Options{}), o)
	g.ResetCalls()
	c := newClock()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	for range 3 {
		if r := mustPush(t, x, o); len(r.Drift) > 0 || r.Unchanged != 2 {
			t.Errorf("%+v", r)
		}
		c.add(time.Hour)
	}
	if writes(g.Calls()) != 0 {
		t.Error(g.Calls())
	}
}

// What is loaded as the inventory says may be gone a moment later.
func TestSyncPostsWhatCannotBePut(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	mustPush(t, x, desired("cafe", 1, "/tea"))
	g.mustCall(t, "DELETE", "/tyk/apis/cafe-tea", "")
	g.mustCall(t, "GET", "/tyk/reload?block=true", "")
	g.ResetCalls()
	r := mustPush(t, x, desired("cafe", 2, "/tea"))
	expectCalls(t, g.Calls(), map[string]int{"PUT /tyk/apis/{id}": 1, "POST /tyk/apis": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1})
	if r.Updated != 1 {
		t.Errorf("%+v", r)
	}
	g.expect(t, desired("cafe", 2, "/tea"))
}

// One bad definition is its own problem: the others are served, and it is not tried
// again at once.
func TestSyncABadDefinitionStopsNobody(t *testing.T) {
	t.Parallel()
	owner := desired("bad", 1).Object
	for name, bad := range map[string]engine.Definition{
		"a wrong type":                   definition(owner, "bad", "bad.example.com", "/", 1, "use_keyless", "yes"),
		"a listen path that never loads": definition(owner, "bad", "bad.example.com", "/{x:[}", 1),
		"an id that no file can have":    definition(owner, strings.Repeat("x", 260), "bad.example.com", "/", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, c := newDouble(t), newClock()
			x := newTestTarget(t, g.settings(), Options{Now: c.Now})
			o := engine.Desired{Object: owner, Outcome: engine.Managed, Definitions: []engine.Definition{bad}}
			good := desired("cafe", 1, "/tea", "/coffee")
			r := push(t, x, o, good)
			if r.Err != nil || r.OK() || r.Created != 2 || len(r.Failed) != 1 || r.Failed[0].ID != bad.ID || r.Failed[0].Owner != owner {
				t.Fatalf("%+v", r)
			}
			g.expect(t, good)
			c.add(500 * time.Millisecond)
			push(t, x, o, good)
			g.ResetCalls()
			if r = push(t, x, o, good); len(r.Failed) != 1 || x.overdue() || writes(g.Calls()) > 0 {
				t.Errorf("tried again at once: %+v, %v", r, g.Calls())
			}
			// A change of another definition goes through, and costs no more than ever.
			good = desired("cafe", 2, "/tea", "/coffee")
			if r = push(t, x, o, good); r.Updated != 2 || g.Calls()["GET /tyk/reload"] > 1 {
				t.Errorf("%+v, %v", r, g.Calls())
			}
			// Later it is tried again, after longer and longer pauses.
			c.add(11 * time.Second)
			g.ResetCalls()
			if overdue := x.overdue(); !overdue {
				t.Error("not overdue")
			}
			if r = push(t, x, o, good); len(r.Failed) != 1 || writes(g.Calls()) == 0 {
				t.Errorf("not tried again: %+v, %v", r, g.Calls())
			}
			c.add(time.Hour)
			push(t, x, o, good)
			// Mended, it is taken at once.
			o.Definitions = []engine.Definition{definition(owner, "bad", "bad.example.com", "/", 2)}
			if r = mustPush(t, x, o, good); r.Created != 1 || x.overdue() {
				t.Errorf("%+v", r)
			}
			g.expect(t, o, good)
			// One that is not wanted any more leaves nothing to be tried.
			if mustPush(t, x, good); len(x.refused) > 0 {
				t.Error(x.refused)
			}
		})
	}
}

// A definition whose file has another name cannot be deleted: it is reported, and
// not tried again at once.
func TestSyncAStuckDelete(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	g.store.WriteFile("other-name.json", desired("cafe", 1, "/tea").Definitions[0].JSON)
	g.Restart()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	r := push(t, x, desired("shop", 1, "/"))
	if r.Created != 1 || len(r.Failed) != 1 || r.Failed[0].ID != "cafe-tea" || r.Err != nil {
		t.Fatalf("%+v", r)
	}
	g.ResetCalls()
	if r = push(t, x, desired("shop", 1, "/")); len(r.Failed) != 1 {
		t.Errorf("%+v", r)
	}
	expectCalls(t, g.Calls(), map[string]int{})
	g.store.RemoveFile("other-name.json")
	c.add(time.Minute)
	mustPush(t, x, desired("shop", 1, "/"))
	g.expect(t, desired("shop", 1, "/"))
}

func TestSyncConflicts(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	older, younger := desired("a", 1, "/"), desired("b", 1)
	younger.Definitions = []engine.Definition{definition(younger.Object, "b-", "a.example.com", "/", 1)}
	older.Created, younger.Created = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	r := mustPush(t, x, younger, older)
	if len(r.Conflicts) != 1 || r.Conflicts[0].ID != "b-" || r.Conflicts[0].WinnerID != "a-" {
		t.Errorf("%+v", r.Conflicts)
	}
	g.expect(t, older)
	// The winner goes, and the other takes its place in the same batch.
	mustPush(t, x, younger)
	g.expect(t, younger)
}

// A route that moves from one object to another is never two at once.
func TestSyncARouteThatMoves(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	a, b := desired("a", 1, "/"), desired("b", 1, "/")
	mustPush(t, x, a, b)
	// Both hosts change hands.
	a.Definitions = []engine.Definition{definition(a.Object, "a-", "b.example.com", "/", 2)}
	b.Definitions = []engine.Definition{definition(b.Object, "b-", "a.example.com", "/", 2)}
	mustPush(t, x, a, b)
	g.expect(t, a, b)
	c := desired("c", 1)
	c.Definitions = []engine.Definition{definition(c.Object, "c-", "a.example.com", "/", 1)}
	mustPush(t, x, a, c)
	g.expect(t, a, c)
}

func TestSyncLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	untouched := g.plant(t)
	x := newTestTarget(t, g.settings(), Options{Now: c.Now, ConfirmDeletes: true})
	for v := range 3 {
		mustPush(t, x, desired("cafe", v, "/tea"))
		untouched()
		c.add(time.Hour)
	}
	mustPush(t, x)
	untouched()
	if len(g.loaded(t)) != 4 {
		t.Error(g.loaded(t))
	}
}

// To create is to overwrite: an id that is somebody else's is theirs.
func TestSyncDoesNotTakeAnIDOfOthers(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	foreign := []byte(`{"name":"mine","api_id":"cafe-tea","use_keyless":true,"proxy":{"listen_path":"/mine/","target_url":"http://mine.test"}}`)
	g.store.WriteFile("cafe-tea.json", foreign)
	g.Restart()
	o := desired("cafe", 1, "/tea", "/coffee")
	r := push(t, x, o)
	if r.Created != 1 || len(r.Failed) != 1 || r.Failed[0].Err != errForeign || string(g.store.Files()["cafe-tea.json"]) != string(foreign) {
		t.Fatalf("%+v, %s", r, g.store.Files()["cafe-tea.json"])
	}
	g.store.RemoveFile("cafe-tea.json")
	c.add(time.Hour)
	g.Restart()
	mustPush(t, x, o)
	g.expect(t, o)
}

func TestSyncHoldsTooManyDeletes(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	mustPush(t, x, many(24, 1)...)
	g.ResetCalls()
	// A change among them is held too: the source is in doubt as a whole.
	r := push(t, x, many(11, 2)...)
	if r.OK() || r.Err != nil || r.Held == nil || *r.Held != (Held{13, 24}) || !strings.Contains(r.Held.String(), "13 of 24") {
		t.Errorf("%+v", r)
	}
	if r = push(t, x); r.Held == nil || r.Changed() {
		t.Errorf("%+v", r)
	}
	expectCalls(t, g.Calls(), map[string]int{})
	g.expect(t, many(24, 1)...)
	// Half of them is no mistake, nor are ten.
	mustPush(t, x, many(12, 1)...)
	mustPush(t, x, many(2, 1)...)
	mustPush(t, x)
	mustPush(t, x, many(24, 1)...)
	x = newTestTarget(t, g.settings(), Options{ConfirmDeletes: true})
	if r = mustPush(t, x); r.Deleted != 24 {
		t.Errorf("%+v", r)
	}
}

func TestSyncHeldObjectsStay(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	cafe := desired("cafe", 1, "/tea")
	mustPush(t, x, cafe, desired("shop", 1, "/"))
	g.ResetCalls()
	for range 2 {
		mustPush(t, x, held("cafe"))
		g.expect(t, held("cafe"))
		c.add(time.Hour)
	}
	if _, ok := g.loaded(t)["cafe-tea"]; !ok || g.Calls()["DELETE /tyk/apis/{id}"] != 1 {
		t.Error(g.Calls())
	}
}

func TestSyncKeepsUnknownOwners(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	mustPush(t, newTestTarget(t, g.settings(), Options{}), desired("cafe", 1, "/tea"), desired("shop", 1, "/"))
	x := newTestTarget(t, g.settings(), Options{KeepUnknown: true})
	mustPush(t, x, desired("shop", 2, "/"))
	g.expect(t, desired("shop", 2, "/"), held("cafe"))
	if len(g.loaded(t)) != 2 {
		t.Error(g.loaded(t))
	}
}

// A gateway with tags gets what shares one, and no key of what does not.
func TestSyncTags(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	s := g.settings()
	s.Tags = []string{"edge", "dmz"}
	x := newTestTarget(t, s, Options{})
	o := desired("cafe", 1)
	add := func(id string, changes ...any) {
		o.Definitions = append(o.Definitions, definition(o.Object, id, id+".example.com", "/", 1, changes...))
	}
	add("untagged")
	add("edge", "tags", []string{"edge"})
	add("both", "tags", []string{"x", "dmz"})
	add("other", "tags", []string{"x"})
	add("disabled", "tags", []string{"edge"}, "tags_disabled", true)
	pair := newPair(t, "other.example.com", time.Hour)
	o.Certificates = []engine.Certificate{pair.certificate()}
	o.Definitions[3].Certificates = []string{pair.id}
	r := mustPush(t, x, o)
	if all := g.loaded(t); r.Created != 2 || len(all) != 2 || !all["edge"].Exists() || !all["both"].Exists() || len(r.CertificatesAdded) > 0 {
		t.Errorf("%+v, %v", r, all)
	}
	// Another tag takes it away.
	o.Definitions[1] = definition(o.Object, "edge", "edge.example.com", "/", 2, "tags", []string{"x"})
	if r = mustPush(t, x, o); r.Deleted != 1 || len(g.loaded(t)) != 1 {
		t.Errorf("%+v", r)
	}
}

// A reload that does not happen, or a write that is lost, is found by the
// verification.
func TestSyncVerifies(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 80} { // by ids, and by a list
		g := newDouble(t)
		x := newTestTarget(t, g.settings(), Options{})
		fault := func(reloads int) { g.Faults().Set(faultReloads(reloads)) }
		mustPush(t, x)
		fault(2)
		mustPush(t, x, many(n, 1)...)
		g.expect(t, many(n, 1)...)
		fault(3)
		mustPush(t, x, many(n, 2)...)
		g.expect(t, many(n, 2)...)
		fault(1)
		mustPush(t, x, append(many(n-1, 2), desired("new", 1, "/"))...)
		g.expect(t, append(many(n-1, 2), desired("new", 1, "/"))...)
	}
}

func TestProgressIsTold(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	var phases []string
	s := g.settings()
	s.Concurrency = 1
	x := newTestTarget(t, s, Options{Progress: func(p Progress) { phases = append(phases, fmt.Sprint(p.Phase, p.Done, "/", p.Total)) }})
	mustPush(t, x, desired("cafe", 1, "/a", "/b"))
	if got := strings.Join(phases, " "); got != "writing1/2 writing2/2 reloading0/0" {
		t.Error(got)
	}
	if x.settings.Name != g.URL {
		t.Error(x.settings.Name)
	}
}

func TestSyncSaysWhatTheGatewaySays(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	if r := mustPush(t, x); r.Status.Mode != Gateway || !r.Status.Healthy || r.Status.Version != "v5.11.1" {
		t.Errorf("%+v", r.Status)
	}
	g.store.SetRedisDown(true)
	x = newTestTarget(t, g.settings(), Options{})
	r := mustPush(t, x, desired("cafe", 1, "/tea"))
	if r.Status.Healthy || !strings.Contains(r.Status.Detail, "its redis says fail") {
		t.Errorf("%+v", r.Status)
	}
	g.expect(t, desired("cafe", 1, "/tea"))
	if code, _ := g.call(t, http.MethodGet, "/tyk/apis/cafe-tea", ""); code != http.StatusOK {
		t.Error(code)
	}
}
