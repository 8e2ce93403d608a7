package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

// kennel is a watchdog, and what it looks at.
type kennel struct {
	*watchdog
	t       *testing.T
	meta    *metadatafake.FakeMetadataClient
	events  *record.FakeRecorder
	metrics *metrics
	now     time.Time
	managed map[engine.Ref]managedWorkload
}

type managedWorkload struct {
	desired engine.Desired
	stored  *appsv1.Deployment
}

func newKennel(t *testing.T) *kennel {
	kinds := metadatafake.NewTestScheme()
	must(t, metav1.AddMetaToScheme(kinds))
	k := &kennel{t: t, meta: metadatafake.NewSimpleMetadataClient(kinds), events: record.NewFakeRecorder(100), metrics: newMetrics("", ""),
		now: time.Unix(1000, 0), managed: map[engine.Ref]managedWorkload{}}
	k.watchdog = newWatchdog(watchdogOptions{
		Metadata: k.meta, Recorder: k.events, Metrics: newWatchdogMetrics(k.metrics.registry), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return k.now },
		Managed: func(visit func(engine.Desired, workload)) {
			for _, m := range k.managed {
				w, _ := workloadOf(m.stored)
				visit(m.desired, w)
			}
		},
	})
	return k
}

// stored puts a workload: with a sidecar or without, as it should be or not, with so many
// pods of its present template, and so many in all.
func (k *kennel) stored(name string, injected, right bool, updated, all int32) {
	d := aDeployment(name)
	if injected {
		d.Spec.Template.Annotations[injectedKey] = "{}"
	}
	d.Status.UpdatedReplicas, d.Status.Replicas = updated, all
	desired := engine.Desired{Object: deployment(name), Outcome: engine.Managed}
	if !right {
		desired.Patch = []byte("[]")
	}
	k.managed[deployment(name)] = managedWorkload{desired, d}
}

// pod starts a pod of the workload; sidecar is the value of its label, or "".
func (k *kennel) pod(of string, number int, sidecar string) {
	k.t.Helper()
	p := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("%s-%d", of, number), Labels: map[string]string{"app": of}}}
	if sidecar != "" {
		p.Labels[sidecarKey] = sidecar
	}
	must(k.t, k.meta.Tracker().Create(corev1.SchemeGroupVersion.WithResource("pods"), p, "shop"))
}

// after looks when some time is over, and gives the Events.
func (k *kennel) after(d time.Duration) (events []string) {
	k.now = k.now.Add(d)
	k.look(k.t.Context())
	for {
		select {
		case e := <-k.events.Events:
			events = append(events, e)
		default:
			return events
		}
	}
}

func TestWatchdogFindsPods(t *testing.T) {
	k := newKennel(t)
	k.stored("web", false, false, 5, 5)
	k.stored("right", true, true, 1, 1)
	k.stored("old", true, false, 1, 1)
	for i := range 4 {
		k.pod("web", i, "")
	}
	k.pod("web", 4, "true")
	k.pod("right", 0, "")
	k.pod("old", 0, "")
	events := k.after(0)
	if len(events) != 1 || !strings.HasPrefix(events[0], "Warning SidecarMissing 4 pods have no sidecar: web-0, web-1, web-2, .... The workload was stored without it.") ||
		!strings.Contains(events[0], "kubectl rollout restart deployment/web") {
		t.Errorf("Events %q", events)
	}
	count := "mesh_pods_without_sidecar kind=Deployment,name=web,namespace=shop 4\nmesh_workloads_outdated  1"
	expect(t, k.metrics, count, "mesh_pods_without_sidecar", "mesh_workloads_outdated")
	if events := k.after(time.Minute); len(events) != 0 {
		t.Errorf("it is told again: %q", events)
	}
	if events := k.after(sidecarAgain); len(events) != 1 {
		t.Errorf("it is not told again when Events are forgotten: %q", events)
	}
	for i := range 3 {
		must(t, k.meta.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "shop", fmt.Sprintf("web-%d", i)))
	}
	if events := k.after(time.Minute); len(events) != 1 || !strings.Contains(events[0], "One pod has no sidecar: web-3.") {
		t.Errorf("Events %q", events)
	}
	k.stored("web", true, true, 5, 5)
	if events := k.after(time.Minute); len(events) != 0 {
		t.Errorf("Events %q", events)
	}
	expect(t, k.metrics, "mesh_workloads_outdated  1", "mesh_pods_without_sidecar", "mesh_workloads_outdated")
}

// A rollout takes a while; only one that does not end is worth an Event.
func TestWatchdogWaitsForRollouts(t *testing.T) {
	k := newKennel(t)
	k.stored("web", true, true, 1, 2)
	k.pod("web", 0, "")
	if events := k.after(0); len(events) != 0 || len(k.meta.Actions()) != 0 {
		t.Errorf("a rollout that has just begun: %q", events)
	}
	if events := k.after(watchdogEvery); len(events) != 1 || !strings.Contains(events[0], "its rollout has not come to its end") {
		t.Errorf("Events %q", events)
	}
	// It ends, and another begins.
	k.stored("web", true, true, 2, 2)
	k.after(time.Minute)
	k.stored("web", true, true, 1, 2)
	k.meta.ClearActions()
	if events := k.after(time.Minute); len(events) != 0 || len(k.meta.Actions()) != 0 {
		t.Errorf("another rollout: %q", events)
	}
}

// manyPods is an API server with more pods than fit into an answer.
type manyPods struct {
	metadata.Getter
	asked []metav1.ListOptions
}

func (p *manyPods) Resource(schema.GroupVersionResource) metadata.Getter { return p }
func (p *manyPods) Namespace(string) metadata.ResourceInterface          { return p }

func (p *manyPods) List(_ context.Context, o metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	p.asked = append(p.asked, o)
	if len(p.asked) == 1 {
		return nil, errors.New("the server is away")
	}
	return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{Continue: "more"}, Items: []metav1.PartialObjectMetadata{
		{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, {ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "ends", DeletionTimestamp: &metav1.Time{}}},
	}}, nil
}

// What it asks for is bounded: of each workload so many pods, and of many workloads some
// at a time.
func TestWatchdogAsksForLittle(t *testing.T) {
	k := newKennel(t)
	pods := &manyPods{}
	k.o.Metadata = pods
	for i := range maxSuspects + 20 {
		k.stored(fmt.Sprint("w", i), false, false, 1, 1)
	}
	events := k.after(0)
	if len(pods.asked) != maxSuspects || len(events) != maxSuspects-1 || !strings.Contains(events[0], "More than 2 pods have no sidecar: a, b.") {
		t.Errorf("asked %d times; Events %q", len(pods.asked), events)
	}
	k.after(time.Minute)
	var selectors []string
	for _, o := range pods.asked {
		if o.Limit != maxPods || !strings.Contains(o.FieldSelector, "status.phase!=Succeeded") {
			t.Errorf("asked for %v", o)
		}
		selectors = append(selectors, o.LabelSelector)
	}
	slices.Sort(selectors)
	if all := slices.Compact(selectors); len(all) != maxSuspects+20 || all[0] != "app=w0,!cuegate.dev/sidecar" {
		t.Errorf("after two looks %d workloads were looked at", len(all))
	}
}

// It looks soon after the beginning and then once a minute, and leaves no series behind.
func TestWatchdogRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKennel(t)
		k.o.Now = time.Now
		k.stored("web", false, false, 1, 1)
		k.pod("web", 0, "")
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { k.run(ctx); close(over) }()
		time.Sleep(watchdogFirst + time.Second)
		synctest.Wait()
		if len(k.events.Events) != 1 {
			t.Errorf("%d Events after the first look", len(k.events.Events))
		}
		time.Sleep(3 * watchdogEvery)
		synctest.Wait()
		if n := len(k.meta.Actions()); n != 4 {
			t.Errorf("it asked %d times", n)
		}
		stop()
		<-over
		expect(t, k.metrics, "mesh_workloads_outdated  0", "mesh_pods_without_sidecar", "mesh_workloads_outdated")
	})
}

// The controller tells the watchdog of workloads as they are stored.
func TestWatchdogSeesWhatIsStored(t *testing.T) {
	m := startMesh(t, builtin, aNamespace(), aDeployment("without"))
	m.deploy(m.injected(aDeployment("with")))
	older := m.injected(aDeployment("older"))
	older.Spec.Template.Spec.InitContainers[0].Image = "sidecar:old"
	m.deploy(older)
	m.wants(deployment("with"), "is served", isServed)
	m.wants(deployment("older"), "is served", isServed)
	found := map[string]string{}
	m.loop.managed(func(d engine.Desired, w workload) {
		found[w.meta.Name] = fmt.Sprint(d.Patch != nil, w.isInjected())
	})
	for name, want := range map[string]string{"without": "true false", "with": "false true", "older": "true true"} {
		if found[name] != want {
			t.Errorf("%s: to be patched, injected: %s, want %s", name, found[name], want)
		}
	}
}

func TestMeshMetricsLint(t *testing.T) {
	m := newMeshBox(t, nil)
	m.mesh.metrics.without(deployment("web"), 2)
	problems, err := testutil.GatherAndLint(m.Controller.metrics.registry)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
