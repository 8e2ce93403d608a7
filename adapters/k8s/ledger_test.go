package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

func shopRef(name string) engine.Ref {
	return engine.Ref{Kind: kindIngress, Namespace: "shop", Name: name}
}

func asking(ref engine.Ref, ids ...string) engine.Desired {
	d := engine.Desired{Object: ref, Outcome: engine.Managed, Template: "public"}
	for _, id := range ids {
		d.Definitions = append(d.Definitions, engine.Definition{ID: id, Hash: "h-" + id})
	}
	return d
}

func hashOfIDs(ids ...string) string {
	var list []fingerprinted
	for _, id := range ids {
		list = append(list, fingerprinted{id, "h-" + id})
	}
	return hashOf(list)
}

func gateways(names ...string) []Target {
	var all []Target
	for _, name := range names {
		all = append(all, Target{Name: name})
	}
	return all
}

// ledgerStep is one thing that a ledger is told.
type ledgerStep struct {
	decide  *engine.Desired
	at      uint64
	push    *Pushed
	targets []string
}

func TestVerdicts(t *testing.T) {
	a := shopRef("a")
	both := []string{"x", "y"}
	down := errors.New("connection refused")
	want := func(g uint64, d engine.Desired) ledgerStep { return ledgerStep{decide: &d, at: g} }
	push := func(p Pushed, targets ...string) ledgerStep { return ledgerStep{push: &p, targets: targets} }
	withSecret := asking(a, "1")
	withSecret.Certificates = []engine.Certificate{{ID: "c", Secret: "shop/tls"}}
	held := engine.Desired{Object: a, Outcome: engine.Held, Reasons: []engine.Reason{{ID: "no", Msg: "No."}}}
	lose := func(ids ...string) (list []engine.Conflict) {
		for _, id := range ids {
			list = append(list, engine.Conflict{Object: a, ID: id, Reason: engine.Reason{ID: "route-taken", Msg: id}})
		}
		return list
	}
	for name, c := range map[string]struct {
		steps   []ledgerStep
		outcome outcome
		reasons []string
		hash    string
	}{
		"decided": {
			[]ledgerStep{want(1, asking(a, "1"))}, outcomePending, []string{idNoTarget}, "",
		},
		"on one of two": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, both...)}, outcomePending, nil, "",
		},
		"on both": {
			[]ledgerStep{want(1, asking(a, "2", "1")), push(Pushed{Target: "x", Generation: 1}, both...), push(Pushed{Target: "y", Generation: 3}, both...)},
			outcomeServed, nil, hashOfIDs("1", "2"),
		},
		"one has left": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, both...), push(Pushed{Target: "x", Generation: 1}, "x")},
			outcomeServed, nil, hashOfIDs("1"),
		},
		"one has joined": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x"), push(Pushed{Target: "x", Generation: 1}, both...)},
			outcomePending, nil, hashOfIDs("1"),
		},
		"a target that is not there any more": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "y", Generation: 1}, "x")}, outcomePending, nil, "",
		},
		"all have left": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x"), push(Pushed{Err: down})},
			outcomePending, []string{idUnreachable}, hashOfIDs("1"),
		},
		"one is down": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, both...), push(Pushed{Target: "y", Generation: 1, Err: down}, both...)},
			outcomePending, []string{idUnreachable}, "",
		},
		"down after it was served": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x"), push(Pushed{Target: "x", Generation: 2, Err: down}, "x")},
			outcomeServed, nil, hashOfIDs("1"),
		},
		"up again": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Err: down}, "x"), push(Pushed{Target: "x", Generation: 1}, "x")},
			outcomeServed, nil, hashOfIDs("1"),
		},
		"a plan that waits": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Held: "too much"}, "x")},
			outcomePending, []string{idPlanHeld}, "",
		},
		"an older generation": {
			[]ledgerStep{want(2, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x")}, outcomePending, nil, "",
		},
		"changed": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x"), want(2, asking(a, "2"))},
			outcomePending, nil, hashOfIDs("1"),
		},
		"a definition refused": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Failed: []PushFailure{{a, "1", down}}}, both...)},
			outcomeFailed, []string{idDefinition}, "",
		},
		"of a decision before": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Failed: []PushFailure{{a, "1", down}}}, "x"), want(2, asking(a, "2"))},
			outcomePending, nil, "",
		},
		"mended": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Failed: []PushFailure{{a, "1", down}}}, "x"), push(Pushed{Target: "x", Generation: 1}, "x")},
			outcomeServed, nil, hashOfIDs("1"),
		},
		"failed, and then down": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1, Failed: []PushFailure{{a, "1", down}}}, "x"), push(Pushed{Target: "x", Generation: 1, Err: down}, "x")},
			outcomeFailed, []string{idDefinition}, "",
		},
		"a certificate": {
			[]ledgerStep{want(1, withSecret), push(Pushed{Target: "x", Generation: 1, Certificates: []CertificateFailure{{"shop/tls", down}}}, "x")},
			outcomeFailed, []string{idCertificate}, "",
		},
		"a certificate of another": {
			[]ledgerStep{want(1, withSecret), push(Pushed{Target: "x", Generation: 1, Certificates: []CertificateFailure{{"shop/other", down}, {"", down}}}, "x")},
			outcomeServed, nil, hashOfIDs("1"),
		},
		"one of two routes": {
			[]ledgerStep{want(1, asking(a, "1", "2")), push(Pushed{Target: "x", Generation: 1, Conflicts: lose("2")}, "x")},
			outcomeConflict, []string{"route-taken"}, hashOfIDs("1"),
		},
		"both routes": {
			[]ledgerStep{want(1, asking(a, "1", "2")), push(Pushed{Target: "x", Generation: 1, Conflicts: lose("1", "2")}, "x")},
			outcomeConflict, []string{"route-taken"}, "",
		},
		"refused": {[]ledgerStep{want(1, held)}, outcomeRefused, []string{"no"}, ""},
		"refused after it was served": {
			[]ledgerStep{want(1, asking(a, "1")), push(Pushed{Target: "x", Generation: 1}, "x"), want(2, held)},
			outcomeRefused, []string{"no"}, hashOfIDs("1"),
		},
		"ignored": {[]ledgerStep{want(1, engine.Desired{Object: a, Outcome: engine.Ignored})}, outcomeIgnored, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			for _, s := range c.steps {
				if s.decide != nil {
					l.decided(s.at, "sha256:b", *s.decide)
				} else {
					l.pushed(*s.push, gateways(s.targets...))
				}
			}
			v, ok := l.verdict(a)
			if !ok || v.outcome != c.outcome || !slices.Equal(reasonIDs(v.reasons), c.reasons) || v.hash != c.hash {
				t.Errorf("got %+v, want %s %v %s", v, c.outcome, c.reasons, c.hash)
			}
		})
	}
}

func TestLedgerTellsOnlyOfWhatChanged(t *testing.T) {
	l := newLedger()
	const n = 5000
	for i := range n {
		l.decided(1, "b", asking(shopRef(fmt.Sprint(i)), fmt.Sprint(i)))
	}
	if got := l.pushed(Pushed{Target: "x", Generation: 1}, gateways("x")); len(got) != n {
		t.Fatalf("%d verdicts changed, not %d", len(got), n)
	}
	if got := l.pushed(Pushed{Target: "x", Generation: 2}, gateways("x")); len(got) != 0 {
		t.Errorf("%d verdicts changed by nothing", len(got))
	}
	one := shopRef("7")
	if got := l.decided(3, "b", asking(one, "new")); !slices.Equal(got, []engine.Ref{one}) {
		t.Errorf("the decision changed %v", got)
	}
	if got := l.pushed(Pushed{Target: "x", Generation: 3}, gateways("x")); !slices.Equal(got, []engine.Ref{one}) {
		t.Errorf("the push changed %v", got)
	}
	for i := range 3 {
		l.decided(4, "b", asking(one, "newer"))
		changed := l.pushed(Pushed{Target: "x", Generation: 4, Err: fmt.Errorf("attempt %d", i)}, gateways("x"))
		if (len(changed) == 1) != (i == 0) {
			t.Errorf("attempt %d changed %v", i, changed)
		}
	}
	l.gone(one)
	if _, ok := l.verdict(one); ok {
		t.Error("there is a verdict about what is gone")
	}
	if got := l.pushed(Pushed{Target: "x", Generation: 4, Failed: []PushFailure{{Object: one, ID: "newer"}}}, gateways("x")); len(got) != 0 {
		t.Errorf("what is gone changed: %v", got)
	}
}

// model says what the ledger should, the slow way: from all that it was ever told.
type model struct {
	generation map[engine.Ref]uint64
	decision   map[engine.Ref]engine.Desired
	done       map[string]Pushed // the last that came to its end, of present targets
	down       map[string]bool   // the last push ended in an error, of present targets
	present    []string
}

// targets are those that are present. What begins with "s" is the sidecar of a Deployment.
func (m *model) targets() []Target {
	all := gateways(m.present...)
	for i, name := range m.present {
		if name[0] == 's' {
			all[i].Scopes = []string{"mesh", deployment(name[1:]).Scope()}
		}
	}
	return all
}

// waits tells whether an object waits for a target.
func (m *model) waits(ref engine.Ref, target string) bool {
	switch reached := m.done[target].Generation > 0; {
	case target[0] != 's':
		return true
	case ref.Kind == kindIngress:
		return false
	case target[1:] == ref.Name:
		return true
	default:
		return reached && !m.down[target]
	}
}

func (m *model) outcome(ref engine.Ref) outcome {
	d := m.decision[ref]
	switch d.Outcome {
	case engine.Ignored:
		return outcomeIgnored
	case engine.Held:
		return outcomeRefused
	}
	// There has to be a target, and for an Ingress one that is no sidecar.
	all, conflict := slices.ContainsFunc(m.present, func(name string) bool { return ref.Kind != kindIngress || name[0] != 's' }), false
	for _, name := range m.present {
		p, ok := m.done[name]
		if !ok || p.Generation < m.generation[ref] {
			all = all && !m.waits(ref, name)
			continue
		}
		for _, f := range p.Failed {
			if f.Object == ref {
				return outcomeFailed
			}
		}
		for _, f := range p.Certificates {
			if len(d.Certificates) > 0 && d.Certificates[0].Secret == f.Secret {
				return outcomeFailed
			}
		}
		for _, c := range p.Conflicts {
			conflict = conflict || c.Object == ref
		}
	}
	switch {
	case conflict:
		return outcomeConflict
	case all:
		return outcomeServed
	}
	return outcomePending
}

func TestLedgerAgreesWithModel(t *testing.T) {
	for seed := range uint64(300) {
		ledgerRun(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

func ledgerRun(t *testing.T, r *rand.Rand, seed uint64) {
	l := newLedger()
	m := &model{map[engine.Ref]uint64{}, map[engine.Ref]engine.Desired{}, map[string]Pushed{}, map[string]bool{}, nil}
	names := []string{"t0", "s1", "t2", "s3"}
	known := map[engine.Ref]verdict{} // as of the last time that the ledger told of it
	some := func() engine.Ref {
		ref := shopRef(fmt.Sprint(r.IntN(6)))
		if n := r.IntN(6); n%2 == 1 {
			ref = deployment(fmt.Sprint(n))
		}
		return ref
	}
	generation := uint64(1)
	for step := range 120 {
		var changed []engine.Ref
		switch k := r.IntN(10); {
		case k < 4:
			ref := some()
			d := asking(ref, ref.Name+fmt.Sprint(r.IntN(3)), ref.Name+"z")
			switch r.IntN(6) {
			case 0:
				d = engine.Desired{Object: ref, Outcome: engine.Held}
			case 1:
				d = engine.Desired{Object: ref, Outcome: engine.Ignored}
			case 2:
				d.Certificates = []engine.Certificate{{Secret: fmt.Sprint(r.IntN(2))}}
			}
			if r.IntN(2) == 0 {
				generation++
			}
			m.generation[ref], m.decision[ref] = generation, d
			changed = l.decided(generation, "b", d)
		case k == 4:
			ref := some()
			delete(m.decision, ref)
			delete(known, ref)
			l.gone(ref)
		default:
			p := Pushed{Target: names[r.IntN(4)], Generation: uint64(r.IntN(int(generation) + 1))}
			if r.IntN(2) == 0 {
				p.Generation = generation
			}
			switch r.IntN(6) {
			case 0:
				p.Err = errors.New("down")
			case 1:
				p.Held = "too much"
			case 2:
				p.Failed = []PushFailure{{some(), "1", errors.New("bad")}}
			case 3:
				ref := some()
				p.Conflicts = []engine.Conflict{{Object: ref, ID: ref.Name + "z"}}
			case 4:
				p.Certificates = []CertificateFailure{{Secret: "1"}}
			}
			if len(m.present) == 0 || r.IntN(8) == 0 {
				m.present = names[r.IntN(3):][:r.IntN(3)]
			}
			gone := func(name string) bool { return !slices.Contains(m.present, name) }
			maps.DeleteFunc(m.done, func(name string, _ Pushed) bool { return gone(name) })
			m.down[p.Target] = p.Err != nil
			maps.DeleteFunc(m.down, func(name string, _ bool) bool { return gone(name) })
			if last := m.done[p.Target]; slices.Contains(m.present, p.Target) && p.Err == nil && p.Held == "" && p.Generation >= last.Generation {
				m.done[p.Target] = p
			}
			changed = l.pushed(p, m.targets())
		}
		for _, ref := range changed {
			known[ref], _ = l.verdict(ref)
		}
		for ref := range m.decision {
			v, ok := l.verdict(ref)
			if want := m.outcome(ref); !ok || v.outcome != want {
				t.Fatalf("seed %d, step %d: %s is %s, want %s", seed, step, ref, v.outcome, want)
			}
			if !known[ref].same(v) {
				t.Fatalf("seed %d, step %d: %s changed to %+v, and the ledger told %+v", seed, step, ref, v, known[ref])
			}
		}
	}
}

func TestLedgerIsSafe(t *testing.T) {
	l := newLedger()
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range uint64(200) {
				ref := shopRef(fmt.Sprint(i % 7))
				l.decided(i, "b", asking(ref, fmt.Sprint(n, i)))
				l.pushed(Pushed{Target: "x", Generation: i}, gateways("x"))
				l.verdict(ref)
				if i%5 == 0 {
					l.gone(ref)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkLedgerOneOf5000(b *testing.B) {
	l := newLedger()
	for i := range 5000 {
		l.decided(1, "b", asking(shopRef(fmt.Sprint(i)), fmt.Sprint(i)))
	}
	l.pushed(Pushed{Target: "x", Generation: 1}, gateways("x"))
	one, generation := shopRef("7"), uint64(1)
	for b.Loop() {
		generation++
		l.decided(generation, "b", asking(one, "1"))
		l.pushed(Pushed{Target: "x", Generation: generation}, gateways("x"))
	}
}

func TestCancelledPushIsNoOutage(t *testing.T) {
	l := newLedger()
	ref := shopRef("a")
	l.decided(1, "b", engine.Desired{Object: ref, Outcome: engine.Managed, Definitions: []engine.Definition{{ID: "d", Hash: "h"}}})
	l.pushed(Pushed{Target: "g", Generation: 1, Err: fmt.Errorf("pushing: %w", context.Canceled)}, gateways("g"))
	if v, _ := l.verdict(ref); v.outcome != outcomePending || len(v.reasons) != 0 {
		t.Errorf("it is %s, %v", v.outcome, v.reasons)
	}
}
