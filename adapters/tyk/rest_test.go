package tyk

import (
	"testing"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// resting is a sidecar of its own gateway, after a push.
func resting(t *testing.T, want ...engine.Desired) (*double, *clock, *target) {
	t.Helper()
	g, c := newDouble(t), newClock()
	c.now = time.Now()
	x := fleetOf(t, Options{Now: c.Now}, sidecar(g, "front", "web"))[0]
	mustPush(t, x, want...)
	if x.rest == nil {
		t.Fatal("there is more to do")
	}
	g.ResetCalls()
	return g, c, x
}

// What is nothing to a sidecar costs no call, and its report is that of a push.
func TestRest(t *testing.T) {
	t.Parallel()
	p := newPair(t, "x", 24*time.Hour)
	cart := member{"cart", 1, p, []calling{{"web", p, nil}}}.desired()
	rival := cart
	rival.Object.Name = "rival"
	rival.Definitions = []engine.Definition{scoped(rival.Object, "rival", "mesh.default.web", "mesh", "/cart", 1)}
	g, _, x := resting(t, cart, rival)
	for version := range 3 {
		other := member{"tax", version, p, []calling{{"batch", p, nil}}}.desired()
		r := mustPush(t, x, desired("cafe", version, "/tea"), other, rival, cart)
		if r.Unchanged != 1 || len(r.Conflicts) != 1 || r.Conflicts[0].ID != "rival" {
			t.Errorf("%+v", r)
		}
	}
	expectCalls(t, g.Calls(), map[string]int{})
}

// It does not rest when there is something to do.
func TestRestEnds(t *testing.T) {
	t.Parallel()
	p := newPair(t, "x", 24*time.Hour)
	cart := member{"cart", 1, p, []calling{{"web", p, nil}}}.desired()
	for name, o := range map[string]struct {
		disturb func(*double, *clock, *target) []engine.Desired
		has     string
	}{
		"a change": {func(*double, *clock, *target) []engine.Desired {
			return []engine.Desired{member{"cart", 2, p, []calling{{"web", p, nil}}}.desired()}
		}, "cart-mesh-web"},
		"nothing is wanted": {func(*double, *clock, *target) []engine.Desired { return nil }, ""},
		"the list is old": {func(g *double, c *clock, _ *target) []engine.Desired {
			g.store.LoseFiles()
			g.Restart()
			c.add(6 * time.Minute)
			return []engine.Desired{cart}
		}, "cart-mesh-web"},
		"the gateway was wiped": {func(g *double, _ *clock, x *target) []engine.Desired {
			g.store.LoseFiles()
			g.Restart()
			x.check(t.Context())
			return []engine.Desired{cart}
		}, "cart-mesh-web"},
		"Redis was wiped": {func(g *double, _ *clock, x *target) []engine.Desired {
			g.store.LoseRedis()
			x.check(t.Context())
			return []engine.Desired{cart}
		}, "cart-mesh-web"},
		"another target removed a certificate": {func(g *double, _ *clock, x *target) []engine.Desired {
			g.store.LoseRedis()
			x.options.claims.removed(nil, p.id)
			return []engine.Desired{cart}
		}, "cart-mesh-web"},
		"another one left something": {func(g *double, _ *clock, x *target) []engine.Desired {
			old := newPair(t, "x", time.Hour)
			g.mustCall(t, "POST", "/tyk/certs?org_id=default", string(old.cert))
			x.options.claims.leave(otherOf(x), map[string]bool{old.id: true})
			return []engine.Desired{cart}
		}, "cart-mesh-web"},
	} {
		g, c, x := resting(t, cart)
		want := o.disturb(g, c, x)
		mustPush(t, x, want...)
		if got := loadedIDs(g.loaded(t)); got != o.has {
			t.Errorf("%s: it has %q", name, got)
		}
		wanted := `{"certs":null}`
		if len(want) > 0 {
			if problem := wrong(g.loaded(t), x.mine(newWants(want, 0))); problem != "" {
				t.Errorf("%s: %s", name, problem)
			}
			wanted = `{"certs":["` + p.id + `"]}`
		}
		if got := g.stored(t); got != wanted {
			t.Errorf("%s: it stores %s", name, got)
		}
		// It comes to rest again.
		mustPush(t, x, want...)
		g.ResetCalls()
		mustPush(t, x, want...)
		expectCalls(t, g.Calls(), map[string]int{})
		if x.rest == nil {
			t.Errorf("%s: there is more to do", name)
		}
	}
}

// otherOf is another target of the same fleet.
func otherOf(x *target) *target {
	other := &target{settings: x.settings, options: x.options}
	x.options.claims.join(other, nil)
	return other
}
