package tyk

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

// versions are what is wanted, one after the other: things appear, change and
// vanish.
func versions(n int) [][]engine.Desired {
	first := append(many(n, 1), desired("cafe", 1, "/tea", "/coffee"))
	second := append(many(n-2, 2), desired("cafe", 2, "/tea", "/cake"), desired("shop", 1, "/"))
	third := append(many(n+3, 2), desired("cafe", 3, "/tea"))
	return [][]engine.Desired{first, second, third, third[:n]}
}

// Whatever the control API does to calls: soon enough, what is wanted is served, and
// nothing else was touched.
func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*embedded.FaultSettings){
		"errors":            func(f *embedded.FaultSettings) { f.ErrorShare = 0.2 },
		"drops":             func(f *embedded.FaultSettings) { f.DropShare = 0.2 },
		"errors and drops":  func(f *embedded.FaultSettings) { f.ErrorShare, f.DropShare = 0.2, 0.2 },
		"mostly errors":     func(f *embedded.FaultSettings) { f.ErrorShare = 0.6 },
		"lost writes":       func(f *embedded.FaultSettings) { f.LostWriteShare = 0.2 },
		"mostly lost":       func(f *embedded.FaultSettings) { f.LostWriteShare = 0.6 },
		"all of it":         func(f *embedded.FaultSettings) { f.ErrorShare, f.DropShare, f.LostWriteShare = 0.1, 0.1, 0.1 },
		"lost reloads":      func(f *embedded.FaultSettings) { f.LostReloads = 7 },
		"lost all the time": func(f *embedded.FaultSettings) { f.LostReloads, f.LostWriteShare = 5, 0.2 },
	} {
		for _, n := range []int{5, 55} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(max(1, 15/n)) {
					g, c := newDouble(t), newClock()
					untouched := g.plant(t)
					x := newTestTarget(t, g.settings(), Options{Now: c.Now, ConfirmDeletes: true})
					for _, want := range versions(n) {
						g.Faults().Set(func(f *embedded.FaultSettings) { set(f); f.Seed++; f.Seed += seed })
						settle(t, g, c, x, 25, want)
					}
					untouched()
				}
			})
		}
	}
}

// settle converges; what is compared is read without faults.
func settle(t *testing.T, g *double, c *clock, x *target, rounds int, want []engine.Desired) {
	t.Helper()
	converge(t, c, rounds, func() Report { return push(t, x, want...) }, func() string { return calmly(g, func() string { return g.differs(t, want) }) })
}

// calmly does something without faults.
func calmly[T any](g *double, do func() T) T {
	var was embedded.FaultSettings
	g.Faults().Set(func(f *embedded.FaultSettings) { was = *f; *f = embedded.FaultSettings{Seed: f.Seed} })
	defer g.Faults().Set(func(f *embedded.FaultSettings) { *f = was })
	return do()
}

// atWrite does something once, before the write of this number.
func atWrite(number int32, do func(), h http.Handler) http.Handler {
	var n atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" && n.Add(1) == number {
			do()
		}
		h.ServeHTTP(w, r)
	})
}

// The gateway is killed in the middle of a batch, and starts again.
func TestFaultsGatewayKilled(t *testing.T) {
	t.Parallel()
	for _, number := range []int32{1, 4, 9} {
		for _, loses := range []bool{false, true} {
			t.Run(fmt.Sprint(number, loses), func(t *testing.T) {
				t.Parallel()
				g, c := newDouble(t), newClock()
				untouched := g.plant(t)
				x := newTestTarget(t, g.settings(), Options{Now: c.Now})
				mustPush(t, x, versions(8)[0]...)
				g.kill()
				killed := make(chan struct{})
				g.handler = atWrite(number, func() { g.kill(); close(killed) }, g.Gateway)
				g.open(t)
				if r := push(t, x, versions(8)[1]...); r.Err == nil && r.OK() {
					t.Errorf("%+v", r)
				}
				<-killed
				if loses {
					for _, o := range versions(8)[0] {
						for _, d := range o.Definitions {
							g.store.RemoveFile(d.ID + ".json")
						}
					}
					g.store.LoseRedis()
				}
				if r := push(t, x, versions(8)[1]...); r.Err == nil {
					t.Errorf("%+v", r)
				}
				g.Restart()
				g.open(t)
				settle(t, g, c, x, 3, versions(8)[1])
				untouched()
			})
		}
	}
}

// The gateway restarts, or is wiped, under a batch that does not notice.
func TestFaultsStateLostUnderABatch(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*double){
		"restarted": func(g *double) { g.Restart() },
		"wiped":     func(g *double) { g.store.LoseFiles(); g.store.LoseRedis(); g.Restart() },
		"reloaded":  func(g *double) { g.Restart(); g.store.LoseFiles() },
	} {
		for _, n := range []int{8, 70} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				t.Parallel()
				g, c := newDouble(t), newClock()
				x := newTestTarget(t, g.settings(), Options{Now: c.Now, DriftInterval: time.Minute})
				mustPush(t, x, versions(n)[0]...)
				g.kill()
				g.handler = atWrite(5, func() { lose(g) }, g.Gateway)
				g.open(t)
				push(t, x, versions(n)[1]...)
				c.add(time.Minute)
				settle(t, g, c, x, 3, versions(n)[1])
			})
		}
	}
}

// Two that push the same at once do no harm to each other.
func TestFaultsTwoPushers(t *testing.T) {
	t.Parallel()
	for _, share := range []float64{0, 0.1} {
		g, c := newDouble(t), newClock()
		untouched := g.plant(t)
		pushers := []*target{
			newTestTarget(t, g.settings(), Options{Now: c.Now, DriftInterval: time.Minute}),
			newTestTarget(t, g.settings(), Options{Now: c.Now, DriftInterval: time.Minute}),
		}
		g.Faults().Set(func(f *embedded.FaultSettings) { f.ErrorShare, f.Seed = share, 1 })
		both := func(want []engine.Desired) func() Report {
			return func() Report {
				var reports [2]Report
				var running sync.WaitGroup
				for i, x := range pushers {
					running.Go(func() { reports[i] = x.sync(context.Background(), newWants(want, 0)) })
				}
				running.Wait()
				if !reports[0].OK() {
					return reports[0]
				}
				return reports[1]
			}
		}
		for _, want := range versions(20) {
			converge(t, c, 10, both(want), func() string { return calmly(g, func() string { return g.differs(t, want) }) })
		}
		// They have come to rest.
		g.Faults().Set(func(f *embedded.FaultSettings) { f.ErrorShare = 0 })
		for range 2 {
			both(versions(20)[3])()
			c.add(time.Hour)
		}
		g.ResetCalls()
		both(versions(20)[3])()
		if writes(g.Calls()) > 0 {
			t.Error(g.Calls())
		}
		untouched()
	}
}

// A clock that jumps delays nothing for long and breaks nothing.
func TestFaultsClockJumps(t *testing.T) {
	t.Parallel()
	year := 365 * 24 * time.Hour
	for _, jump := range []time.Duration{year, -year, time.Hour, -time.Hour, -time.Second} {
		g, c := newDouble(t), newClock()
		x := newTestTarget(t, g.settings(), Options{Now: c.Now})
		g.byHand(t, string(rival))
		o := desired("cafe", 1, "/tea", "/coffee")
		if r := push(t, x, o); len(r.Failed) != 1 {
			t.Fatalf("%+v", r)
		}
		g.mustCall(t, "DELETE", "/tyk/apis/f", "")
		g.mustCall(t, "GET", "/tyk/reload?block=true", "")
		g.byHand(t, with(g.loaded(t)["cafe-coffee"].Raw, "proxy.target_url", "http://evil.test"))
		c.add(jump)
		if r := push(t, x, o); r.Took < 0 {
			t.Errorf("%v: %+v", jump, r)
		}
		c.add(2 * time.Second)
		if jump > 0 || jump < -longestRefusal { // no trace is left of the old time
			mustPush(t, x, o)
			g.expect(t, o)
		}
		c.add(longestRefusal)
		mustPush(t, x, o)
		g.expect(t, o)
	}
}

// In a batch whose route cannot be deleted, none takes its place: the gateway would
// move both.
func TestFaultsARouteThatCannotMove(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	var broken atomic.Bool
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "DELETE" && broken.Load() {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		g.ServeHTTP(w, r)
	}))
	s := g.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{Now: c.Now})
	a, b, shop := desired("a", 1, "/"), desired("b", 1), desired("shop", 1, "/")
	b.Definitions = []engine.Definition{definition(b.Object, "b-", "a.example.com", "/", 1)}
	mustPush(t, x, a)
	broken.Store(true)
	r := push(t, x, b, shop)
	if r.Err != nil || len(r.Failed) != 2 || !strings.Contains(r.Failed[1].Err.Error(), "could not be deleted") || r.Created != 1 {
		t.Errorf("%+v", r)
	}
	g.expect(t, a, shop)
	broken.Store(false)
	settle(t, g, c, x, 4, []engine.Desired{b, shop})
}

// Latency alone is no fault.
func TestFaultsLatency(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	g.Faults().Set(func(f *embedded.FaultSettings) { f.Latency = 3 * time.Millisecond })
	mustPush(t, newTestTarget(t, g.settings(), Options{}), versions(10)[0]...)
	g.expect(t, versions(10)[0]...)
	s := g.settings()
	s.Timeout = time.Millisecond
	if r := push(t, newTestTarget(t, s, Options{}), versions(10)[1]...); r.Err == nil {
		t.Errorf("%+v", r)
	}
}

// The list of a gateway may be long, and an answer endless.
func TestFaultsEndlessAnswer(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/tyk/apis/cafe") && r.Method == "GET" {
			for chunk := make([]byte, 1<<16); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		g.ServeHTTP(w, r)
	}))
	s := g.settings()
	s.URL = proxy.URL
	r := push(t, newTestTarget(t, s, Options{}), desired("cafe", 1, "/tea"), desired("shop", 1, "/"))
	if r.Err != nil || r.Created != 1 || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Err.Error(), "too large") {
		t.Errorf("%+v", r)
	}
}
