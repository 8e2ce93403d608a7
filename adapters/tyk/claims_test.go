package tyk

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// fleetOf are targets of one fleet that nobody runs.
func fleetOf(t testing.TB, o Options, all ...Settings) []*target {
	t.Helper()
	o = o.withDefaults()
	o.ClusterID = "test"
	var targets []*target
	for _, s := range all {
		x, err := newTarget(s.withDefaults(), o)
		if err != nil {
			t.Fatal(err)
		}
		o.claims.join(x, nil)
		targets = append(targets, x)
	}
	return targets
}

// gate lets a call wait.
type gate struct {
	once        sync.Once
	came, leave chan struct{}
}

func newGate() *gate { return &gate{came: make(chan struct{}), leave: make(chan struct{})} }

// pass waits the first time.
func (g *gate) pass() {
	g.once.Do(func() {
		close(g.came)
		<-g.leave
	})
}

// behind puts something before the calls to a double.
func behind(t testing.TB, s Settings, h http.Handler, before func(*http.Request)) Settings {
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before(r)
		h.ServeHTTP(w, r)
	}))
	s.URL = proxy.URL
	return s
}

// front is a workload that two sidecars call: it shows them a certificate.
func front(version int, server, shown pair) []engine.Desired {
	return []engine.Desired{member{"cart", version, server, []calling{{"web", shown, nil}}}.desired()}
}

// As long as it is not known of every target what it has, nothing is removed.
func TestClaimsOfUnknownTargets(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	a, b := redis.join(t), redis.join(t)
	server, old, young := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	for _, x := range fleetOf(t, Options{}, sidecar(a, "a", "web"), sidecar(b, "b", "web")) {
		if r := x.sync(t.Context(), newWants(front(1, server, old), 0)); !r.OK() {
			t.Fatalf("%+v", r)
		}
	}
	// Another process, which finds out about the second one late.
	g := newGate()
	free := sync.OnceFunc(func() { close(g.leave) })
	defer free()
	f := run(t, Options{DriftInterval: 20 * time.Millisecond, Targets: []Settings{sidecar(a, "a", "web"), behind(t, sidecar(b, "b", "web"), b.handler, func(r *http.Request) {
		if r.URL.Path == "/tyk/apis/" && r.Method == "GET" {
			g.pass()
		}
	})}})
	f.Want(front(2, server, young))
	<-g.came
	f.told("the first one has the new one, and was listed again", func(r Report) bool { return r.Target == "default/a" && r.Unchanged == 1 })
	if got := redis.redis.withKeys(t, old, young); got != "0 key, 1 key" {
		t.Error(got)
	}
	free()
	eventually(t, "the old one is gone", func() bool { return redis.redis.withKeys(t, old, young) == "1 key" })
}

// What one target of a push is done with is removed when all are, also where the others
// are late and know nothing of it.
func TestClaimsOfOneSync(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	a, b := redis.join(t), redis.join(t)
	server, old, young := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	for version, p := range []pair{old, young} {
		g := newGate()
		targets := []Settings{
			behind(t, sidecar(a, "a", "web"), a.handler, func(r *http.Request) {
				if r.URL.Path == "/tyk/apis/cart-mesh-web" && r.Method == "GET" {
					close(g.leave) // its last call, if nothing is to be removed
				}
			}),
			behind(t, sidecar(b, "b", "batch"), b.handler, func(r *http.Request) {
				if r.URL.Path == "/tyk/apis/" && r.Method == "GET" {
					g.pass()
				}
			}),
		}
		f, err := NewFleet(Options{ClusterID: "test", Targets: targets})
		if err != nil {
			t.Fatal(err)
		}
		reports, err := f.Sync(t.Context(), front(version, server, p))
		if err != nil || !reports[0].OK() || !reports[1].OK() {
			t.Fatalf("%+v, %v", reports, err)
		}
	}
	if got := redis.redis.withKeys(t, old, young); got != "1 key" {
		t.Error(got)
	}
}

// One that is claimed while it is being removed is there again after the next push.
func TestClaimWhileItIsRemoved(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	a, b := redis.join(t), redis.join(t)
	server, old, young := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	g := newGate()
	targets := fleetOf(t, Options{}, behind(t, sidecar(a, "a", "web"), a.handler, func(r *http.Request) {
		if r.Method == "DELETE" {
			g.pass()
		}
	}), sidecar(b, "b", "web"))
	sync := func(i, version int, p pair) Report {
		t.Helper()
		r := targets[i].sync(t.Context(), newWants(front(version, server, p), 0))
		if !r.OK() {
			t.Fatalf("%+v", r)
		}
		return r
	}
	var woken atomic.Int32
	targets[1].options.claims.targets[targets[1]].wake = func() { woken.Add(1) }
	sync(0, 1, old)
	sync(1, 1, old)
	sync(1, 2, young)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		targets[0].sync(context.Background(), newWants(front(2, server, young), 0))
	}()
	<-g.came
	// It is wanted again: a rollback.
	sync(1, 3, old)
	close(g.leave)
	<-ended
	if got := redis.redis.withKeys(t, old); got != "" || woken.Load() != 1 {
		t.Fatalf("%q, woken %d times", got, woken.Load())
	}
	if r := sync(1, 3, old); len(r.CertificatesAdded) != 1 || redis.redis.withKeys(t, old) != "0 key" {
		t.Errorf("%+v", r)
	}
}

// Only one at a time puts the certificate with the key in the place of the one without.
func TestClaimsReplaceOneAtATime(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	a, b := redis.join(t), redis.join(t)
	server, web := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	redis.redis.mustCall(t, "POST", "/tyk/certs?org_id=default", string(web.cert))
	redis.redis.ResetCalls()
	g, second := newGate(), newGate()
	close(second.leave)
	targets := fleetOf(t, Options{},
		behind(t, sidecar(a, "a", "web"), a.handler, func(r *http.Request) {
			if r.Method == "DELETE" {
				g.pass()
			}
		}),
		behind(t, sidecar(b, "b", "web"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.handler.ServeHTTP(w, r)
			if r.URL.Path == "/tyk/certs/"+web.id {
				second.pass() // it has seen the one without a key
			}
		}), func(*http.Request) {}))
	var running sync.WaitGroup
	push := func(x *target) {
		running.Go(func() {
			if r := x.sync(context.Background(), newWants(front(1, server, web), 0)); !r.OK() {
				t.Errorf("%+v", r)
			}
		})
	}
	push(targets[0])
	<-g.came
	push(targets[1])
	<-second.came
	close(g.leave)
	running.Wait()
	if calls := redis.redis.Calls(); calls["DELETE /tyk/certs/{id}"] != 1 || calls["POST /tyk/certs"] != 1 || redis.redis.withKeys(t, web) != "0 key" {
		t.Errorf("%v, %s", calls, redis.redis.withKeys(t, web))
	}
}

// One that hangs in the middle of that delays the next one for a moment only.
func TestClaimsWaitForNobodyForLong(t *testing.T) {
	t.Parallel()
	c := newClaims()
	over := c.alone(t.Context(), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.alone(ctx, "x")()
	begun := time.Now()
	c.alone(t.Context(), "x")()
	if time.Since(begun) < patience/2 {
		t.Error("it did not wait")
	}
	c.alone(t.Context(), "y")()
	over()
	if len(c.replaced) > 0 {
		t.Error(c.replaced)
	}
}
