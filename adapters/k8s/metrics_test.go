package k8s

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cuegate/cuegate/engine"
)

func withSecrets(name string, secrets ...string) engine.Desired {
	d := engine.Desired{Object: ingressRef(name), Outcome: engine.Managed, Definitions: make([]engine.Definition, 2)}
	for i, s := range secrets {
		d.Certificates = append(d.Certificates, engine.Certificate{Secret: s, NotAfter: time.Unix(int64(1000+i), 0)})
	}
	return d
}

func ingressRef(name string) engine.Ref {
	return engine.Ref{Kind: kindIngress, Namespace: "cafe", Name: name}
}

// expect compares the series of some metrics, without help and types.
func expect(t *testing.T, m *metrics, want string, names ...string) {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, name := range names {
			if f.GetName() != "cuegate_"+name {
				continue
			}
			for _, s := range f.GetMetric() {
				var labels []string
				for _, l := range s.GetLabel() {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
				value := s.GetGauge().GetValue() + s.GetCounter().GetValue() + float64(s.GetHistogram().GetSampleCount())
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %g", name, strings.Join(labels, ","), value)))
			}
		}
	}
	if got := strings.Join(got, "\n"); got != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMetricsLint(t *testing.T) {
	m := newMetrics("v1.2.3", "abc")
	m.queue(func() int { return 7 })
	m.decided(withSecrets("tea", "cafe/tls"), time.Millisecond)
	m.pushed(Pushed{Target: "a", Reloads: 1}, []string{"a"})
	m.bundleLoaded("sha256:1", 1)
	m.shadowDifferences.WithLabelValues("outcome").Set(0)
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	expect(t, m, "build_info revision=abc,version=v1.2.3 1\nqueue_depth  7", "build_info", "queue_depth")
	n, err := testutil.GatherAndCount(m.registry, "go_goroutines")
	if err != nil || n != 1 {
		t.Errorf("%d go_goroutines, %v", n, err)
	}
	// Two controllers in one process have nothing in common.
	newMetrics("v1.2.3", "abc")
}

func TestMetricsOfDecisions(t *testing.T) {
	m := newMetrics("", "")
	m.decided(withSecrets("tea"), time.Millisecond)
	m.decided(withSecrets("tea"), time.Millisecond)
	m.decided(withSecrets("cake"), time.Millisecond)
	m.decided(held(ingressRef("cake"), "service-unknown", ""), time.Millisecond)
	m.decided(engine.Desired{Object: ingressRef("other"), Outcome: engine.Ignored, Reasons: []engine.Reason{{ID: "not-ours"}, {ID: "second"}}}, 0)
	m.wanted([]engine.Desired{withSecrets("tea"), withSecrets("cake")})
	expect(t, m, `
decide_duration_seconds  5
decisions_total kind=Ingress,outcome=ignored,reason=not-ours 1
decisions_total kind=Ingress,outcome=managed,reason= 3
decisions_total kind=Ingress,outcome=refused,reason=service-unknown 1
definitions_wanted  4
objects outcome=ignored 1
objects outcome=managed 1
objects outcome=refused 1`, "decisions_total", "decide_duration_seconds", "objects", "definitions_wanted")
	for _, name := range []string{"tea", "cake", "other", "never-seen"} {
		m.gone(ingressRef(name))
	}
	expect(t, m, "objects outcome=ignored 0\nobjects outcome=managed 0\nobjects outcome=refused 0", "objects")
}

func TestMetricsBoundReasons(t *testing.T) {
	m := newMetrics("", "")
	for i := range maxReasons + 50 {
		m.decided(held(ingressRef("tea"), fmt.Sprintf("made-up-%d", i), ""), 0)
	}
	n, err := testutil.GatherAndCount(m.registry, "cuegate_decisions_total")
	if err != nil || n != maxReasons+1 {
		t.Errorf("%d series, %v", n, err)
	}
	if got := testutil.ToFloat64(m.decisions.WithLabelValues(kindIngress, "refused", otherReason)); got != 50 {
		t.Errorf("%g others", got)
	}
}

func TestMetricsOfCertificates(t *testing.T) {
	m := newMetrics("", "")
	const name = "certificate_expiry_timestamp_seconds"
	m.decided(withSecrets("tea", "cafe/a", "cafe/b"), 0)
	m.decided(withSecrets("cake", "cafe/a"), 0)
	both := name + " namespace=cafe,secret=a 1000\n" + name + " namespace=cafe,secret=b 1001"
	expect(t, m, both, name)
	// Decided again, and held: what is served stays.
	m.decided(withSecrets("tea", "cafe/a", "cafe/b"), 0)
	m.decided(held(ingressRef("tea"), "broken", ""), 0)
	expect(t, m, both, name)
	m.decided(withSecrets("tea", "cafe/a"), 0)
	m.gone(ingressRef("cake"))
	expect(t, m, name+" namespace=cafe,secret=a 1000", name)
	m.decided(engine.Desired{Object: ingressRef("tea"), Outcome: engine.Ignored}, 0)
	expect(t, m, "", name)
	if len(m.named)+len(m.secrets) > 0 {
		t.Errorf("kept %v %v", m.named, m.secrets)
	}
}

func TestMetricsOfPushes(t *testing.T) {
	m := newMetrics("", "")
	all := []string{"definitions_live", "drift_repairs_total", "push_duration_seconds", "push_failures_total", "push_held", "reloads_total", "target_up"}
	both := []string{"a", "b"}
	m.pushed(Pushed{Target: "a", Created: 2, Updated: 1, Deleted: 5, Unchanged: 3, Drift: 1, Reloads: 3, ReloadsFailed: 1, Took: time.Second}, both)
	m.pushed(Pushed{Target: "a", Held: "too much", Drift: 1}, both)
	m.pushed(Pushed{Target: "b", Err: errors.New("down")}, both)
	m.pushed(Pushed{Target: "b", Err: context.Canceled}, both)
	const a = `
definitions_live target=a 6
drift_repairs_total target=a 2
push_duration_seconds target=a 2
push_failures_total target=a 0
push_held target=a 1
reloads_total result=failed,target=a 1
reloads_total result=ok,target=a 2
target_up target=a 1`
	expect(t, m, `
definitions_live target=a 6
drift_repairs_total target=a 2
drift_repairs_total target=b 0
push_duration_seconds target=a 2
push_duration_seconds target=b 1
push_failures_total target=a 0
push_failures_total target=b 1
push_held target=a 1
reloads_total result=failed,target=a 1
reloads_total result=failed,target=b 0
reloads_total result=ok,target=a 2
reloads_total result=ok,target=b 0
target_up target=a 1
target_up target=b 0`, all...)
	// A late report of a target that is gone brings nothing back.
	m.pushed(Pushed{Target: "b"}, []string{"a"})
	expect(t, m, a, all...)
	m.pushEnded()
	expect(t, m, "", all...)
}

func TestMetricsOfBundles(t *testing.T) {
	m := newMetrics("", "")
	names := []string{"bundle_broken", "bundle_generation", "bundle_info", "bundle_load_failures_total", "leader"}
	m.bundleRefused()
	m.bundleLoaded("sha256:1", 1)
	m.bundleLoaded("sha256:2", 2)
	m.bundleRefused()
	m.leading(true)
	expect(t, m, "bundle_broken  1\nbundle_generation  2\nbundle_info digest=sha256:2 1\nbundle_load_failures_total  2\nleader  1", names...)
	m.bundleLoaded("sha256:2", 2)
	m.leading(false)
	expect(t, m, "bundle_broken  0\nbundle_generation  2\nbundle_info digest=sha256:2 1\nbundle_load_failures_total  2\nleader  0", names...)
}

func TestMetricsTogether(t *testing.T) {
	m := newMetrics("", "")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				name := fmt.Sprint("tea", i)
				m.decided(withSecrets(name, "cafe/a"), 0)
				m.pushed(Pushed{Target: name}, []string{name})
				m.gone(ingressRef(name))
				if _, err := m.registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	expect(t, m, "", "certificate_expiry_timestamp_seconds")
}
