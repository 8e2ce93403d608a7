package tyk

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

// benchMesh is a fleet of sidecars that runs, beside as many Ingresses as there may be.
type benchMesh struct {
	fleet    *Fleet
	targets  []Settings
	gateways []*embedded.Gateway
	want     []engine.Desired
	// calls counts those to all gateways, and synced the reports.
	calls, synced atomic.Int64
}

// newBenchMesh runs a mesh of sidecars, two of each workload. Each has three definitions,
// or with all of them, as where TLS is off, one way in and the ways to everybody.
func newBenchMesh(b *testing.B, sidecars int, all bool) *benchMesh {
	b.Helper()
	m := &benchMesh{}
	p := newPair(b, "x", time.Hour)
	for i := range sidecars {
		name, group := fmt.Sprint("w", i/2), fmt.Sprint("g", i/4)
		g := embedded.New(embedded.Config{Secret: testSecret, CustomDomains: true, StrictRoutes: true, ReloadTick: 50 * time.Millisecond})
		b.Cleanup(g.Close)
		server := newPort(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.calls.Add(1); g.ServeHTTP(w, r) }))
		s := Settings{Name: fmt.Sprint("default/", name, "-", i), URL: server.URL, Secret: NewSecret(testSecret), OrgID: "default", Sidecar: true,
			Tags: []string{"default." + name, "mesh.default." + group}}
		if all {
			s.Tags[1] = "mesh"
		}
		m.gateways, m.targets = append(m.gateways, g), append(m.targets, s)
		if i%2 == 0 {
			m.want = append(m.want, benchMember(name, group, 1, all, p))
		}
	}
	m.want = append(m.want, many(5000, 1)...)
	fleet, err := NewFleet(Options{ClusterID: "test", Targets: m.targets, Report: func(r Report) {
		if !r.OK() {
			b.Errorf("%+v", r)
		}
		m.synced.Add(1)
	}})
	if err != nil {
		b.Fatal(err)
	}
	m.fleet = fleet
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = fleet.Run(ctx) }()
	b.Cleanup(func() { stop(); <-ended })
	for len(fleet.Targets()) < sidecars {
		time.Sleep(time.Millisecond)
	}
	m.push(b)
	return m
}

func benchMember(name, group string, version int, all bool, p pair) engine.Desired {
	d := member{name, version, p, []calling{{group, p, nil}}}.desired()
	if all {
		d.Definitions[1] = scoped(d.Object, name+"-mesh", "mesh", "mesh", "/"+name, version)
	}
	return d
}

// push waits until all sidecars have what is wanted.
func (m *benchMesh) push(b *testing.B) {
	b.Helper()
	m.synced.Store(0)
	m.fleet.Want(m.want)
	for deadline := time.Now().Add(5 * time.Minute); m.synced.Load() < int64(len(m.targets)); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatal("never: ", m.synced.Load())
		}
	}
}

// BenchmarkSidecars keeps a mesh at what is wanted: when something else of the cluster
// changes, when a workload does, when nothing does, for a minute of the clock, and when
// it is asked which sidecars there are.
func BenchmarkSidecars(b *testing.B) {
	for _, o := range []struct {
		name     string
		sidecars int
		all      bool
	}{{"of-groups/500", 500, false}, {"of-all/100", 100, true}} {
		b.Run(o.name, func(b *testing.B) {
			m := newBenchMesh(b, o.sidecars, o.all)
			b.Run("nothing", func(b *testing.B) { m.benchWant(b, 0, func(int) {}) })
			b.Run("one-workload", func(b *testing.B) {
				p, concerned := newPair(b, "x", time.Hour), 4
				if o.all {
					concerned = o.sidecars
				}
				m.benchWant(b, concerned, func(version int) { m.want[7] = benchMember("w7", "g3", version, o.all, p) })
			})
			b.Run("minute", func(b *testing.B) { m.benchMinute(b) })
			b.Run("discovery", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := m.fleet.reconcile(b.Context(), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// benchWant changes something, and counts the sidecars that get any call for that.
func (m *benchMesh) benchWant(b *testing.B, concerned int, change func(version int)) {
	b.ReportAllocs()
	version, calls := 1, int64(0)
	for b.Loop() {
		version++
		for _, g := range m.gateways {
			g.ResetCalls()
		}
		before := m.calls.Load()
		change(version)
		m.push(b)
		calls += m.calls.Load() - before
		n := 0
		for _, g := range m.gateways {
			if writes(g.Calls()) > 0 {
				n++
			}
		}
		if n != concerned {
			b.Fatalf("%d sidecars were written to", n)
		}
	}
	b.ReportMetric(float64(calls)/float64(version-1), "calls/op")
}

// benchMinute does for each sidecar what is done in a minute in which nothing changes,
// without waiting: the looks, and its share of the lists.
func (m *benchMesh) benchMinute(b *testing.B) {
	b.ReportAllocs()
	o := m.fleet.options
	looks := float64(time.Minute) / float64(max(o.CheckInterval, time.Duration(len(m.targets))*time.Second/maxChecks))
	lists := float64(time.Minute) / (float64(o.DriftInterval) * 7 / 8)
	want := newWants(m.want, 1)
	targets := fleetOf(b, Options{}, m.targets...)
	for _, x := range targets {
		if r := x.sync(b.Context(), want); !r.OK() || r.Changed() {
			b.Fatalf("%+v", r)
		}
	}
	before := m.calls.Load()
	var dueLooks, dueLists float64
	for b.Loop() {
		for _, x := range targets {
			for dueLooks += looks; dueLooks >= 1; dueLooks-- {
				if !x.check(b.Context()) {
					b.Fatal("something is wrong")
				}
			}
			if dueLists += lists; dueLists >= 1 {
				dueLists--
				x.interval = 0
				if r := x.sync(b.Context(), want); !r.OK() || r.Changed() {
					b.Fatalf("%+v", r)
				}
			}
		}
	}
	b.ReportMetric(float64(m.calls.Load()-before)/float64(b.N), "calls/op")
	for _, x := range targets {
		x.close()
	}
}
