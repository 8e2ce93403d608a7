package tyk

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/engine"
)

// behaviours are all Dashboards that let an api_id be set.
func behaviours() map[string]dashboardtest.Behaviour {
	all := map[string]dashboardtest.Behaviour{}
	for i := range 8 {
		b := dashboardtest.Behaviour{ResetsID: i&1 > 0, StrictFields: i&2 > 0, ReturnsID: i&4 > 0}
		all[fmt.Sprintf("resets=%t,strict=%t,returns=%t", b.ResetsID, b.StrictFields, b.ReturnsID)] = b
	}
	return all
}

// stranger puts a definition that is not ours, and the check compares it.
func (b *board) stranger(t testing.TB, text string) func() {
	t.Helper()
	if err := b.Put([]byte(text)); err != nil {
		t.Fatal(err)
	}
	before := b.APIs()
	return func() {
		t.Helper()
		now := map[string]bool{}
		for _, text := range b.APIs() {
			now[string(text)] = true
		}
		for _, text := range before {
			if !now[string(text)] {
				t.Errorf("touched: %s", text)
			}
		}
	}
}

const foreignAPI = `{"name":"f","api_id":"f","proxy":{"listen_path":"/f/","target_url":"http://f.test"}}`

func TestDashboardCreatesUpdatesAndDeletes(t *testing.T) {
	t.Parallel()
	for name, behaviour := range behaviours() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, c := newBoard(t, behaviour), newClock()
			untouched := b.stranger(t, foreignAPI)
			x := newTestTarget(t, b.settings(), Options{Now: c.Now})
			o := desired("cafe", 1, "/tea", "/coffee")
			o.Definitions = append(o.Definitions, definition(o.Object, "odd", "odd.example.com", "/", 1, "x_custom_field", 1))
			if r := mustPush(t, x, append(many(30, 1), o)...); r.Created != 33 || r.Status.Mode != Dashboard || r.Status.Version != "v5.13.0" {
				t.Fatalf("%+v", r)
			}
			b.expect(t, append(many(30, 1), o)...)
			b.ResetCalls()
			want := append(many(29, 1), o, desired("many00029", 2, "/"))
			if r := mustPush(t, x, want...); r.Updated != 1 || r.Unchanged != 32 {
				t.Errorf("%+v", r)
			}
			expectCalls(t, b.Calls(), map[string]int{"PUT /api/apis/{id}": 1, "GET /api/apis/{id}": 1})
			b.ResetCalls()
			want = want[1:]
			if r := mustPush(t, x, want...); r.Deleted != 1 {
				t.Errorf("%+v", r)
			}
			expectCalls(t, b.Calls(), map[string]int{"DELETE /api/apis/{id}": 1, "GET /api/apis/{id}": 1})
			b.expect(t, want...)
			// A process that starts anew, and lists again and again, writes nothing.
			b.ResetCalls()
			x = newTestTarget(t, b.settings(), Options{Now: c.Now})
			for range 3 {
				if r := mustPush(t, x, want...); len(r.Drift) > 0 {
					t.Errorf("%+v", r)
				}
				c.add(time.Hour)
			}
			if writes(b.Calls()) > 0 {
				t.Error(b.Calls())
			}
			untouched()
		})
	}
}

// A Dashboard that insists on ids of its own gets nothing that stays.
func TestDashboardThatIgnoresIDs(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		b, c := newBoard(t, dashboardtest.Behaviour{IgnoresID: true, StrictFields: strict}), newClock()
		untouched := b.stranger(t, foreignAPI)
		x := newTestTarget(t, b.settings(), Options{Now: c.Now})
		for range 3 {
			r := push(t, x, desired("cafe", 1, "/tea", "/coffee"))
			if r.Err != nil || len(r.Failed) != 2 || !strings.Contains(r.Failed[0].Err.Error(), "insists on an api_id of its own") {
				t.Errorf("%+v", r)
			}
			if len(b.APIs()) != 1 {
				t.Errorf("left behind: %d", len(b.APIs()))
			}
			b.ResetCalls()
			push(t, x, desired("cafe", 1, "/tea", "/coffee"))
			if writes(b.Calls()) > 0 {
				t.Errorf("tried again at once: %v", b.Calls())
			}
			c.add(time.Hour)
		}
		untouched()
		// Nor does anything stay when removals get lost.
		b.SetFaults(func(f *dashboardtest.Faults) { f.LostWriteShare, f.Seed = 0.4, 3 })
		for range 6 {
			push(t, x, desired("cafe", 1, "/tea", "/coffee"))
			c.add(time.Hour)
		}
		b.SetFaults(func(f *dashboardtest.Faults) { f.LostWriteShare = 0 })
		for range 2 {
			push(t, x)
			c.add(time.Hour)
		}
		if len(b.APIs()) != 1 {
			t.Errorf("left behind: %d", len(b.APIs()))
		}
		untouched()
	}
}

// Somebody else takes the id between our list and our write.
func TestDashboardIDTaken(t *testing.T) {
	t.Parallel()
	other := desired("cafe", 1, "/tea").Definitions[0].JSON
	for name, o := range map[string]struct {
		text string
		ours bool
	}{
		"by another pusher": {with(string(other), "proxy.target_url", "http://old.test", "config_data.cuegate.hash", "old"), true},
		"by a foreign one":  {`{"name":"f","api_id":"cafe-tea","proxy":{"listen_path":"/f/"}}`, false},
		"by a cluster":      {with(string(other), "config_data.cuegate.cluster", "another"), false},
	} {
		for _, resets := range []bool{false, true} {
			t.Run(fmt.Sprint(name, resets), func(t *testing.T) {
				t.Parallel()
				b, c := newBoard(t, dashboardtest.Behaviour{ResetsID: resets}), newClock()
				var put atomic.Bool
				proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == "POST" && put.CompareAndSwap(false, true) {
						if err := b.Put([]byte(o.text)); err != nil {
							t.Error(err)
						}
					}
					b.Dashboard.ServeHTTP(w, r)
				}))
				s := b.settings()
				s.URL = proxy.URL
				x := newTestTarget(t, s, Options{Now: c.Now})
				want := desired("cafe", 1, "/tea")
				r := push(t, x, want)
				if len(b.APIs()) != 1 {
					t.Errorf("%d definitions: %s", len(b.APIs()), b.APIs())
				}
				if o.ours {
					c.add(6 * time.Minute)
					mustPush(t, x, want)
					b.expect(t, want)
					return
				}
				if r.Err != nil || len(r.Failed) != 1 {
					t.Errorf("%+v", r)
				}
				c.add(time.Hour)
				r = push(t, x, want)
				if len(r.Failed) != 1 || r.Failed[0].Err != errForeign || b.loaded()["cafe-tea"].Get("proxy.listen_path").String() != proxyPath(o.text) {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func proxyPath(text string) string {
	if strings.Contains(text, `"/f/"`) {
		return "/f/"
	}
	return "/tea"
}

func TestDashboardDrift(t *testing.T) {
	t.Parallel()
	b, c := newBoard(t, dashboardtest.Behaviour{}), newClock()
	untouched := b.stranger(t, foreignAPI)
	x := newTestTarget(t, b.settings(), Options{Now: c.Now})
	want := []engine.Desired{desired("cafe", 1, "/tea", "/coffee"), desired("shop", 1, "/")}
	mustPush(t, x, want...)
	edit := func(changes ...any) {
		if err := b.Put([]byte(with(b.loaded()["cafe-tea"].Raw, changes...))); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, ""},
		{func() { edit("proxy.target_url", "http://evil.test") }, "cafe-tea edited [proxy.target_url]"},
		{func() { edit("use_basic_auth", true) }, "cafe-tea edited []"},
		{func() { edit("proxy.listen_path", "/x") }, "cafe-tea renamed []"},
		{func() { b.Remove("shop-") }, "shop- missing []"},
		{func() { edit("config_data.cuegate.hash", "x") }, "cafe-tea edited []"},
		{func() {}, ""},
	} {
		step.do()
		c.add(6 * time.Minute)
		if r := mustPush(t, x, want...); kinds(r.Drift) != step.want {
			t.Errorf("drift %q, want %q", kinds(r.Drift), step.want)
		}
		b.expect(t, want...)
	}
	untouched()
	b.Lose()
	c.add(6 * time.Minute)
	if r := mustPush(t, x, want...); len(r.Drift) != 3 || r.Created != 3 {
		t.Errorf("%+v", r)
	}
	b.expect(t, want...)
}

// A definition that came to be and whose answer was lost has an id of the
// Dashboard's own: it is found by its mark.
func TestDashboardLosesTheAnswerToACreate(t *testing.T) {
	t.Parallel()
	b, c := newBoard(t, dashboardtest.Behaviour{ResetsID: true}), newClock()
	var lose atomic.Int32
	lose.Store(1)
	proxy := newPort(t, intercept(func(r *http.Request) bool { return r.Method == "POST" && take(&lose) }, b.Dashboard))
	s := b.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{Now: c.Now})
	want := desired("cafe", 1, "/tea", "/coffee")
	r := push(t, x, want)
	if r.Err != nil || r.Created != 1 || len(r.Failed) != 1 || len(b.APIs()) != 2 {
		t.Fatalf("%+v: %d", r, len(b.APIs()))
	}
	c.add(2 * time.Second)
	if r = mustPush(t, x, want); len(b.APIs()) != 2 {
		t.Errorf("%+v: %d", r, len(b.APIs()))
	}
	b.expect(t, want)
}

func TestDashboardFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*dashboardtest.Faults){
		"errors":      func(f *dashboardtest.Faults) { f.ErrorShare = 0.2 },
		"drops":       func(f *dashboardtest.Faults) { f.DropShare = 0.2 },
		"lost writes": func(f *dashboardtest.Faults) { f.LostWriteShare = 0.2 },
		"all":         func(f *dashboardtest.Faults) { f.ErrorShare, f.DropShare, f.LostWriteShare = 0.1, 0.1, 0.1 },
	}
	for name, set := range faults {
		for _, resets := range []bool{false, true} {
			t.Run(fmt.Sprint(name, resets), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(5) {
					b, c := newBoard(t, dashboardtest.Behaviour{ResetsID: resets}), newClock()
					untouched := b.stranger(t, foreignAPI)
					x := newTestTarget(t, b.settings(), Options{Now: c.Now})
					b.SetFaults(func(f *dashboardtest.Faults) { set(f); f.Seed = seed })
					for version := range 3 {
						want := append(many(12+version, version), desired(fmt.Sprint("cafe", version), 1, "/tea", "/coffee"))
						converge(t, c, 15, func() Report { return push(t, x, want...) }, func() string { return b.differs(want) })
					}
					untouched()
				}
			})
		}
	}
}

// A lonely definition that fails says whether the Dashboard as a whole is gone.
func TestDashboardOneBadDefinition(t *testing.T) {
	t.Parallel()
	b := newBoard(t, dashboardtest.Behaviour{})
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		b.Dashboard.ServeHTTP(w, r)
	}))
	s := b.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{})
	if r := push(t, x, desired("cafe", 1, "/tea")); r.Err != nil || len(r.Failed) != 1 {
		t.Errorf("%+v", r)
	}
	x = newTestTarget(t, s, Options{})
	mustPush(t, x)
	proxy.kill()
	if r := push(t, x, desired("cafe", 1, "/tea")); r.Err == nil {
		t.Errorf("%+v", r)
	}
}
