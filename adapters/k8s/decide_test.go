package k8s

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func TestDecide(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace(meshLabel, "disabled"))
	ask := func(name string, annotations ...string) (engine.Desired, error) {
		o, err := object(aDeployment(name, annotations...))
		must(t, err)
		return m.Decide(t.Context(), o)
	}
	if d, err := ask("web"); err == nil || m.Ready() == nil || d.Outcome != engine.Held {
		t.Errorf("before anything is known: %v %v", d.Outcome, err)
	}
	m.start(builtin)
	must(t, m.Ready())
	if d, err := ask("web"); err != nil || d.Outcome != engine.Ignored || d.Reasons[0].ID != "namespace-opted-out" {
		t.Errorf("%v %v", d.Outcome, err)
	}
	_, err := m.client.CoreV1().Namespaces().Update(t.Context(), aNamespace(), metav1.UpdateOptions{})
	must(t, err)
	until(t, "opted in", func() bool {
		d, err := ask("web")
		return err == nil && d.Outcome == engine.Managed && d.Patch != nil
	})
	if d, err := ask("web", "injector.tyk.io/port", "nowhere"); err == nil || d.Outcome != engine.Held {
		t.Errorf("%v %v", d.Outcome, err)
	}
	o, err := object(aService("shop", "web", 80))
	must(t, err)
	if d, err := m.Decide(t.Context(), o); err != nil || d.Outcome != engine.Ignored {
		t.Errorf("a Service: %v %v", d.Outcome, err)
	}
	until(t, "nothing of it is wanted", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.pusher != nil
	})
	m.wants(deployment("web"), "was only asked about", isGone)
}

// Ready says what is missing, one after the other.
func TestReady(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace())
	says := func(want string) {
		t.Helper()
		if err := m.Ready(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, not %s", err, want)
		}
	}
	says("caches have not synced")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m.watch.start(ctx)
	until(t, "synced", m.watch.hasSynced)
	says("no bundle is loaded")
	b, err := builtin()
	must(t, err)
	m.loop.swap(b)
	says("not been looked at")
	var running sync.WaitGroup
	running.Go(func() { m.work(ctx) })
	until(t, "ready", func() bool { return m.Ready() == nil })
	stop()
	running.Wait()
}

// Admissions are decided while what they look at changes, and while bundles do.
func TestDecideBesideTheLoop(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("web"))
	o, err := object(aDeployment("other"))
	must(t, err)
	b, err := builtin()
	must(t, err)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			for range 25 {
				if d, err := m.Decide(context.Background(), o); err != nil || d.Outcome == engine.Held {
					t.Errorf("%v %v", d.Outcome, err)
				}
			}
		})
	}
	for i := range 25 {
		labels := []string{"number", fmt.Sprint(i)}
		if i%2 == 0 {
			labels = append(labels, meshLabel, "disabled")
		}
		_, err := m.client.CoreV1().Namespaces().Update(t.Context(), aNamespace(labels...), metav1.UpdateOptions{})
		must(t, err)
		if i%10 == 0 {
			m.loop.swap(b)
		}
	}
	asking.Wait()
}

// BenchmarkDecide is one admission of a workload, of many at a time: with nothing else to
// do, and beside a loop that takes changes over and decides all the time.
func BenchmarkDecide(b *testing.B) {
	for _, busy := range []bool{false, true} {
		b.Run(fmt.Sprintf("busy=%v", busy), func(b *testing.B) { benchmarkDecide(b, busy) })
	}
}

func benchmarkDecide(b *testing.B, busy bool) {
	kinds := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(kinds); err != nil {
		b.Fatal(err)
	}
	client := fake.NewClientset(aNamespace())
	for i := range 500 {
		d := aDeployment(fmt.Sprint("w", i))
		if _, err := client.AppsV1().Deployments("shop").Create(b.Context(), d, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	c, err := New(Options{Client: client, Metadata: metadatafake.NewSimpleMetadataClient(kinds), Builtin: cuegate.Builtin(), Mesh: &MeshSettings{},
		Engine: engine.Config{ClusterID: "test", OrgID: "org", MeshNamespace: meshHome}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	bundle, err := builtin()
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	c.loop.swap(bundle)
	c.watch.start(ctx)
	running.Go(func() { c.work(ctx) })
	for c.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	if busy {
		running.Go(func() {
			for ctx.Err() == nil {
				c.watch.each(kindDeployment, func(o any) {
					if w, ok := workloadOf(o); ok {
						c.watch.dirty.Add(engine.Ref{Kind: kindDeployment, Namespace: "shop", Name: w.meta.Name})
					}
				})
				c.watch.dirty.Add(engine.Ref{Kind: kindNamespace, Name: "shop"})
				for c.watch.dirty.Len() > 0 && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	d := aDeployment("asked")
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "b"}}
	o, err := object(d)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(100)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if d, err := c.Decide(ctx, o); err != nil || d.Patch == nil {
				b.Error(d.Outcome, err)
			}
		}
	})
}
