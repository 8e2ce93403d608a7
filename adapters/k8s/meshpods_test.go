package k8s

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

// meshedPod is a pod of the namespace shop whose sidecar, an init container that goes on,
// has started. Its tags are as the injector writes them.
func meshedPod(name, ip string, tags ...string) *corev1.Pod {
	always, started := corev1.ContainerRestartPolicyAlways, true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name + ip),
		Labels: map[string]string{sidecarKey: "true", "app": "x"}, Annotations: map[string]string{"other": "x"}}}
	p.Spec.InitContainers = []corev1.Container{
		{Name: "tyk-mesh-init"},
		{Name: "tyk-mesh", RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "tyk-mesh", ContainerPort: 8080}, {Name: sidecarControlPort, ContainerPort: 9696, Protocol: corev1.ProtocolTCP}}},
	}
	p.Spec.Containers = []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}}
	p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: "tyk-mesh-init", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
		{Name: "tyk-mesh", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, Started: &started},
	}
	return tag(p, tags...)
}

func tag(p *corev1.Pod, tags ...string) *corev1.Pod {
	p.Annotations[injectedKey] = fmt.Sprintf(`{"bundle":"b","hash":"h","names":{"initContainers":["tyk-mesh"]},"tags":["%s"]}`, strings.Join(tags, `","`))
	return p
}

// found says what sidecars there are: "shop/a http://10.0.0.1:9696 mesh shop.a; ...".
func found(all []Sidecar) string {
	var texts []string
	for _, s := range all {
		texts = append(texts, strings.Join(append([]string{s.Name, s.URL}, s.Tags...), " "))
	}
	return strings.Join(texts, "; ")
}

func TestSidecarOfAPod(t *testing.T) {
	no := false
	for what, o := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"an init container that goes on": {func(*corev1.Pod) {}, "shop/a http://10.0.0.1:9696 mesh shop.a"},
		"a container": {func(p *corev1.Pod) {
			c := p.Spec.InitContainers[1]
			c.RestartPolicy = nil
			p.Spec.Containers, p.Spec.InitContainers = append(p.Spec.Containers, c), nil
			p.Status.ContainerStatuses, p.Status.InitContainerStatuses = p.Status.InitContainerStatuses[1:], nil
		}, "shop/a http://10.0.0.1:9696 mesh shop.a"},
		"one that is ready": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses[1].Ready, p.Status.InitContainerStatuses[1].Started = true, nil
		}, "shop/a http://10.0.0.1:9696 mesh shop.a"},
		"IPv6": {func(p *corev1.Pod) { p.Status.PodIP = "fd00::1" }, "shop/a http://[fd00::1]:9696 mesh shop.a"},
		"both": {func(p *corev1.Pod) { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "fd00::1"}) }, "shop/a http://10.0.0.1:9696 mesh shop.a"},
		"both, IPv6": {func(p *corev1.Pod) {
			p.Status.PodIP = "fd00::1"
			p.Status.PodIPs = []corev1.PodIP{{IP: "fd00::1"}, {IP: "10.0.0.1"}}
		}, "shop/a http://[fd00::1]:9696 mesh shop.a"},
		"a list only":  {func(p *corev1.Pod) { p.Status.PodIP = "" }, "shop/a http://10.0.0.1:9696 mesh shop.a"},
		"another port": {func(p *corev1.Pod) { p.Spec.InitContainers[1].Ports[1].ContainerPort = 7000 }, "shop/a http://10.0.0.1:7000 mesh shop.a"},

		"without the label":                   {func(p *corev1.Pod) { delete(p.Labels, sidecarKey) }, ""},
		"about to end":                        {func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, ""},
		"no address yet":                      {func(p *corev1.Pod) { p.Status.PodIP, p.Status.PodIPs = "", nil }, ""},
		"of the node":                         {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, ""},
		"an address of the controller itself": {func(p *corev1.Pod) { p.Status.PodIP = "127.0.0.1" }, ""},
		"an address of the node's metadata":   {func(p *corev1.Pod) { p.Status.PodIP = "169.254.169.254" }, ""},
		"no address at all":                   {func(p *corev1.Pod) { p.Status.PodIP = "evil.example.com" }, ""},
		"waits": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses[1].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
		}, ""},
		"has not started": {func(p *corev1.Pod) { p.Status.InitContainerStatuses[1].Started = &no }, ""},
		"has ended": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses[1].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		}, ""},
		"nobody knows":                {func(p *corev1.Pod) { p.Status.InitContainerStatuses = nil }, ""},
		"no such port":                {func(p *corev1.Pod) { p.Spec.InitContainers[1].Ports[1].Name = "control" }, ""},
		"a port of UDP":               {func(p *corev1.Pod) { p.Spec.InitContainers[1].Ports[1].Protocol = corev1.ProtocolUDP }, ""},
		"an init container that ends": {func(p *corev1.Pod) { p.Spec.InitContainers[1].RestartPolicy = nil }, ""},
		"no annotation":               {func(p *corev1.Pod) { p.Annotations = nil }, ""},
		"no JSON":                     {func(p *corev1.Pod) { p.Annotations[injectedKey] = "mesh" }, ""},
		"tags of other form":          {func(p *corev1.Pod) { p.Annotations[injectedKey] = `{"tags":"mesh"}` }, ""},
		"no tags":                     {func(p *corev1.Pod) { p.Annotations[injectedKey] = `{"names":{}}` }, ""},
	} {
		t.Run(what, func(t *testing.T) {
			p := meshedPod("a", "10.0.0.1", "shop.a", "mesh")
			o.change(p)
			kept, err := onlySidecar(p)
			must(t, err)
			got := ""
			if x := sidecarOf(kept); x != nil {
				got = found([]Sidecar{*x})
				if x.Namespace != "shop" {
					t.Error(x.Namespace)
				}
			}
			if got != o.want {
				t.Errorf("got %q, want %q", got, o.want)
			}
			if again, err := onlySidecar(kept); err != nil || again != kept {
				t.Errorf("it is not kept: %v, %v", again, err)
			}
		})
	}
}

// A pod may say what it likes: a tag that its namespace cannot have would bring it the
// private keys of others.
func TestSidecarTags(t *testing.T) {
	for _, o := range []struct{ namespace, tags, want string }{
		{"shop", "mesh shop.cart", "mesh shop.cart"},
		{"shop", "shop.cart mesh.shop.default shop.cart", "mesh.shop.default shop.cart"},
		{"shop", "mesh.shop.web mesh.shop.batch", "mesh.shop.batch mesh.shop.web"},

		{"shop", "bank.vault mesh.bank.default", ""},
		{"shop", "mesh bank.vault", "mesh"},
		{"shop", "shop mesh.shop shop.", ""},
		{"shop", "Mesh MESH.shop.web shop.Cart", ""},
		{"shop", "mesh.shop.web.more shop.cart.more shop..cart .shop.cart mesh.shop. mesh..web", ""},
		{"shop", "shop-2.cart mesh.shop-2.web shopping.cart sho.p", ""},
		{"shop", "* mesh.* shop.* mesh.shop.*", ""},
		{"shop", "shop.cart,bank.vault", ""},
		{"shop", "edge default", ""},
		// A group of shop is no workload of a namespace called mesh, and the other way.
		{"mesh", "mesh.shop.web", ""},
		{"mesh", "mesh.cart mesh.mesh.web mesh", "mesh mesh.cart mesh.mesh.web"},
		{"mesh", "mesh.mesh.web.more mesh.shop.web mesh.a.b", ""},
		{"web", "mesh.shop.web mesh.web", ""},
	} {
		p := tag(meshedPod("a", "10.0.0.1"), strings.Fields(o.tags)...)
		if got := strings.Join(trustedTags(o.namespace, p.Annotations[injectedKey]), " "); got != o.want {
			t.Errorf("%s says %q: got %q, want %q", o.namespace, o.tags, got, o.want)
		}
	}
}

// following is a cluster whose sidecars are followed.
type following struct {
	*Sidecars
	t      *testing.T
	client *fake.Clientset
}

func follow(t *testing.T, namespaces []string, pods ...*corev1.Pod) *following {
	t.Helper()
	f := &following{t: t, client: fake.NewClientset()}
	watching := make(chan struct{}, 10)
	f.client.PrependWatchReactor("pods", func(a clienttesting.Action) (bool, apiwatch.Interface, error) {
		w, err := f.client.Tracker().Watch(a.GetResource(), a.GetNamespace())
		watching <- struct{}{}
		return true, w, err
	})
	for _, p := range pods {
		must(t, f.client.Tracker().Add(p))
	}
	var err error
	f.Sidecars, err = NewSidecars(f.client, namespaces)
	must(t, err)
	if all, err := f.Found(t.Context()); err == nil {
		t.Errorf("before anything is known: %v", all)
	}
	f.Start(t.Context())
	for range f.informers {
		<-watching // what happened before that, the tracker tells nobody
	}
	return f
}

// is waits to be woken until these are found.
func (f *following) is(what, want string) {
	f.t.Helper()
	last := ""
	for deadline := time.After(10 * time.Second); ; {
		select {
		case <-f.Changed():
		case <-deadline:
			f.t.Fatalf("%s: never\n%s\nbut\n%s", what, want, last)
		}
		all, err := f.Found(f.t.Context())
		must(f.t, err)
		if last = found(all); last == want {
			return
		}
	}
}

func (f *following) update(p *corev1.Pod) {
	f.t.Helper()
	_, err := f.client.CoreV1().Pods(p.Namespace).Update(f.t.Context(), p, metav1.UpdateOptions{})
	must(f.t, err)
}

// A pod comes, starts, is replaced and goes, and whoever waits for that is woken.
func TestSidecarsFollow(t *testing.T) {
	stranger := meshedPod("stranger", "10.0.9.9", "mesh")
	delete(stranger.Labels, sidecarKey)
	f := follow(t, nil, meshedPod("a", "10.0.0.1", "mesh", "shop.a"), stranger)
	f.is("one is there", "shop/a http://10.0.0.1:9696 mesh shop.a")
	pods := f.client.CoreV1().Pods("shop")

	b := meshedPod("b", "", "mesh", "shop.b")
	b.Status = corev1.PodStatus{}
	_, err := pods.Create(t.Context(), b, metav1.CreateOptions{})
	must(t, err)
	f.update(meshedPod("b", "10.0.0.2", "mesh", "shop.b"))
	f.is("the second one has started", "shop/a http://10.0.0.1:9696 mesh shop.a; shop/b http://10.0.0.2:9696 mesh shop.b")

	must(t, pods.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	f.is("the first one is gone", "shop/b http://10.0.0.2:9696 mesh shop.b")
	_, err = pods.Create(t.Context(), meshedPod("a", "10.0.0.7", "mesh", "shop.a"), metav1.CreateOptions{})
	must(t, err)
	f.is("it is back at another address", "shop/a http://10.0.0.7:9696 mesh shop.a; shop/b http://10.0.0.2:9696 mesh shop.b")

	restarting := meshedPod("a", "10.0.0.7", "mesh", "shop.a")
	restarting.Status.InitContainerStatuses[1].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	f.update(restarting)
	f.is("its gateway has crashed", "shop/b http://10.0.0.2:9696 mesh shop.b")
	f.update(meshedPod("a", "10.0.0.7", "mesh", "shop.a"))
	f.is("it runs again", "shop/a http://10.0.0.7:9696 mesh shop.a; shop/b http://10.0.0.2:9696 mesh shop.b")

	ending := meshedPod("b", "10.0.0.2", "mesh", "shop.b")
	ending.DeletionTimestamp, ending.Finalizers = &metav1.Time{Time: time.Now()}, []string{"x"}
	f.update(ending)
	f.is("the second one is about to end", "shop/a http://10.0.0.7:9696 mesh shop.a")
	f.update(meshedPod("a", "10.0.0.7", "mesh.shop.web", "shop.a", "bank.vault"))
	f.is("it has other tags", "shop/a http://10.0.0.7:9696 mesh.shop.web shop.a")
}

// What does not matter wakes nobody: pods tell all the time how they are.
func TestSidecarsWakeNobodyForNothing(t *testing.T) {
	kept := func(change func(*corev1.Pod)) any {
		p := meshedPod("a", "10.0.0.1", "mesh", "shop.a")
		change(p)
		o, err := onlySidecar(p)
		must(t, err)
		return o
	}
	as := func(*corev1.Pod) {}
	pending := func(p *corev1.Pod) { p.Status = corev1.PodStatus{} }
	for what, o := range map[string]struct {
		old, now any
		wakes    bool
	}{
		"it is ready": {kept(as), kept(func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}), false},
		"somebody writes an annotation":      {kept(as), kept(func(p *corev1.Pod) { p.Annotations["other"] = "y" }), false},
		"it says a tag that it cannot have":  {kept(as), kept(func(p *corev1.Pod) { tag(p, "mesh", "shop.a", "bank.vault") }), false},
		"it comes, and does not run yet":     {nil, kept(pending), false},
		"it goes before it ran":              {kept(pending), nil, false},
		"it comes":                           {nil, kept(as), true},
		"it has started":                     {kept(pending), kept(as), true},
		"it has another address":             {kept(as), kept(func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.2" }), true},
		"it has other tags":                  {kept(as), kept(func(p *corev1.Pod) { tag(p, "mesh") }), true},
		"it goes":                            {kept(as), nil, true},
		"it is gone, and nobody saw it go":   {cache.DeletedFinalStateUnknown{Key: "shop/a", Obj: kept(as)}, nil, true},
		"nobody saw one go that did not run": {cache.DeletedFinalStateUnknown{Key: "shop/a", Obj: kept(pending)}, nil, false},
	} {
		s := &Sidecars{changed: make(chan struct{}, 1)}
		s.compare(o.old, o.now)
		if got := len(s.changed) == 1; got != o.wakes {
			t.Errorf("%s: woken: %t", what, got)
		}
	}
}

// With a list of namespaces the others are not asked for.
func TestSidecarsOfNamespaces(t *testing.T) {
	bank := meshedPod("v", "10.0.1.1", "mesh", "bank.v")
	bank.Namespace = "bank"
	other := meshedPod("o", "10.0.2.1", "mesh", "other.o")
	other.Namespace = "other"
	f := follow(t, []string{"shop", "bank", "shop"}, meshedPod("a", "10.0.0.1", "mesh", "shop.a"), bank, other)
	f.is("those of both", "bank/v http://10.0.1.1:9696 bank.v mesh; shop/a http://10.0.0.1:9696 mesh shop.a")
	for _, a := range f.client.Actions() {
		if ns := a.GetNamespace(); ns != "shop" && ns != "bank" {
			t.Errorf("%s of %q", a.GetVerb(), ns)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if all, err := f.Found(ctx); err == nil {
		t.Errorf("after the end: %v", all)
	}
}

// Thousands of pods are found at once: nobody is woken before all are known.
func TestSidecarsOfThousands(t *testing.T) {
	const n = 2000
	var pods []*corev1.Pod
	for i := range n {
		pods = append(pods, meshedPod(fmt.Sprintf("p%04d", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250+1), "mesh", fmt.Sprint("shop.w", i)))
	}
	f := follow(t, nil, pods...)
	<-f.Changed()
	all, err := f.Found(t.Context())
	must(t, err)
	if len(all) != n || all[0].Name != "shop/p0000" || all[n-1].URL != "http://10.1.7.250:9696" || all[n-1].Tags[1] != "shop.w1999" {
		t.Fatalf("%d: %+v", len(all), all[len(all)-1])
	}
	must(t, f.client.CoreV1().Pods("shop").Delete(t.Context(), "p0500", metav1.DeleteOptions{}))
	eventually(t, "one less", func() bool {
		all, err := f.Found(t.Context())
		return err == nil && len(all) == n-1
	})
}

// BenchmarkSidecars is what it costs to keep pods, and to ask for their sidecars.
func BenchmarkSidecars(b *testing.B) {
	pod := meshedPod("a", "10.0.0.1", "mesh.shop.web", "shop.a")
	for i := range 20 { // as pods are
		pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("NAME", i), Value: strings.Repeat("x", 40)})
		pod.ManagedFields = append(pod.ManagedFields, metav1.ManagedFieldsEntry{Manager: fmt.Sprint(i), FieldsV1: metav1.NewFieldsV1(strings.Repeat("y", 200))})
	}
	b.Run("keep", func(b *testing.B) {
		b.ReportAllocs()
		var before, after runtime.MemStats
		kept := make([]any, 0, 2000)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range cap(kept) {
			x, _ := onlySidecar(pod.DeepCopy())
			kept = append(kept, x)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		for b.Loop() {
			_, _ = onlySidecar(pod)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(kept)), "B/pod")
		runtime.KeepAlive(kept)
	})
	b.Run("found/2000", func(b *testing.B) {
		b.ReportAllocs()
		s, err := NewSidecars(fake.NewClientset(), nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Start(b.Context())
		<-s.Changed()
		for i := range 2000 {
			p := meshedPod(fmt.Sprintf("p%04d", i), fmt.Sprintf("10.1.%d.%d", i/250, i%250+1), "mesh.shop.web", "shop.a")
			x, _ := onlySidecar(p)
			if err := s.informers[0].GetStore().Add(x); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if all, err := s.Found(b.Context()); err != nil || len(all) != 2000 {
				b.Fatal(len(all), err)
			}
		}
	})
}
