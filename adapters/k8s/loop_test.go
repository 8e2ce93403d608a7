package k8s

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// builtin is the built-in bundle, loaded once.
var builtin = sync.OnceValues(func() (*engine.Bundle, error) {
	return engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
})

// looped is a loop over a fake cluster, which notes how often each object is decided.
type looped struct {
	*loop
	t      *testing.T
	client *fake.Clientset
	meta   *metadatafake.FakeMetadataClient
	mu     sync.Mutex
	count  map[engine.Ref]int
}

func startLoop(t *testing.T, objects ...runtime.Object) *looped {
	t.Helper()
	l := &looped{t: t, count: map[engine.Ref]int{}}
	var secrets []runtime.Object
	for _, o := range objects {
		if s, ok := o.(*corev1.Secret); ok {
			secrets = append(secrets, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: s.ObjectMeta})
		}
	}
	l.client = fake.NewClientset(objects...)
	kinds := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(kinds); err != nil {
		t.Fatal(err)
	}
	l.meta = metadatafake.NewSimpleMetadataClient(kinds, secrets...)
	w, err := newWatch(l.client, l.meta, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.loop = newLoop(w, newSecrets(l.client), engine.Config{ClusterID: "test", OrgID: "org"}, slog.New(slog.DiscardHandler))
	l.decided = func(d engine.Desired, _ string, _ time.Duration, _ bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.count[d.Object]++
	}
	l.gone, l.changed = func(engine.Ref) {}, func() {}
	b, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	l.swap(b)
	ctx, stop := context.WithCancel(context.Background())
	w.start(ctx)
	until(t, "synced", w.hasSynced)
	ended := make(chan struct{})
	go func() { defer close(ended); l.run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	until(t, "started", func() bool { l.loop.mu.RLock(); defer l.loop.mu.RUnlock(); return l.started })
	return l
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s", what)
		}
	}
}

// has waits until the decision about an Ingress is as it should be.
func (l *looped) has(namespace, name, what string, ok func(engine.Desired) bool) {
	l.t.Helper()
	ref := engine.Ref{Kind: kindIngress, Namespace: namespace, Name: name}
	until(l.t, name+" "+what, func() bool {
		l.loop.mu.RLock()
		defer l.loop.mu.RUnlock()
		d, there := l.desired[ref]
		return there && ok(d.Desired)
	})
}

func isManaged(d engine.Desired) bool { return d.Outcome == engine.Managed }
func isRefused(d engine.Desired) bool { return d.Outcome == engine.Held }

func aService(namespace, name string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}}
}

func aClass(controller string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "tyk"}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
}

func anIngress(namespace, name, host, secret string) *networkingv1.Ingress {
	class, prefix := "tyk", networkingv1.PathTypePrefix
	ing := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
				Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80},
			}}}},
		}}}}},
	}
	if secret != "" {
		ing.Spec.TLS = []networkingv1.IngressTLS{{SecretName: secret}}
	}
	return ing
}

const ourController = "cuegate.dev/ingress-controller"

// What an object depends on changes, and it is decided again; others are not.
func TestLoopFollowsDependencies(t *testing.T) {
	l := startLoop(t, aClass(ourController), aService("shop", "web", 80), aService("other", "web", 80),
		anIngress("shop", "a", "a.example.com", ""), anIngress("other", "b", "b.example.com", ""))
	l.has("shop", "a", "managed", isManaged)
	l.has("other", "b", "managed", isManaged)
	b := engine.Ref{Kind: kindIngress, Namespace: "other", Name: "b"}
	before := l.times(b)
	ctx := t.Context()
	if err := l.client.CoreV1().Services("shop").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("shop", "a", "refused without its Service", isRefused)
	if _, err := l.client.CoreV1().Services("shop").Create(ctx, aService("shop", "web", 80), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("shop", "a", "managed again", isManaged)
	if now := l.times(b); now != before {
		t.Errorf("an Ingress that the Service does not matter to was decided %d times more", now-before)
	}
	if _, err := l.client.NetworkingV1().IngressClasses().Update(ctx, aClass("example.com/other"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("shop", "a", "ignored", func(d engine.Desired) bool { return d.Outcome == engine.Ignored })
	l.has("other", "b", "ignored", func(d engine.Desired) bool { return d.Outcome == engine.Ignored })
}

func (l *looped) times(ref engine.Ref) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count[ref]
}

// A rival in another namespace comes and goes.
func TestLoopFollowsRivals(t *testing.T) {
	older := anIngress("first", "a", "x.example.com", "")
	older.CreationTimestamp = metav1.NewTime(time.Unix(1000, 0))
	younger := anIngress("second", "b", "x.example.com", "")
	younger.CreationTimestamp = metav1.NewTime(time.Unix(2000, 0))
	l := startLoop(t, aClass(ourController), aService("first", "web", 80), aService("second", "web", 80), younger)
	l.has("second", "b", "managed", isManaged)
	if _, err := l.client.NetworkingV1().Ingresses("first").Create(t.Context(), older, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("second", "b", "refused", isRefused)
	if err := l.client.NetworkingV1().Ingresses("first").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("second", "b", "managed again", isManaged)
}

// Only Secrets that Ingresses of ourController name are read.
func TestLoopReadsFewSecrets(t *testing.T) {
	secret := func(name string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: "1"}, Type: corev1.SecretTypeTLS}
	}
	foreign := anIngress("shop", "foreign", "f.example.com", "theirs")
	nginx := "nginx"
	foreign.Spec.IngressClassName = &nginx
	l := startLoop(t, aClass(ourController), aService("shop", "web", 80), secret("mine"), secret("theirs"), secret("nobodys"),
		anIngress("shop", "a", "a.example.com", "mine"), foreign)
	l.has("shop", "a", "decided", func(engine.Desired) bool { return true })
	for _, a := range l.client.Actions() {
		if a.GetResource().Resource != "secrets" {
			continue
		}
		if g, ok := a.(clienttesting.GetAction); !ok || g.GetName() != "mine" {
			t.Errorf("%s %v", a.GetVerb(), a)
		}
	}
}

// An object whose Secret cannot be read has to wait: nothing that was served for it goes.
func TestLoopWaitsForSecrets(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "mine", ResourceVersion: "1"}, Type: corev1.SecretTypeTLS}
	l := startLoop(t, aClass(ourController), aService("shop", "web", 80))
	var mu sync.Mutex
	broken := true
	l.client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		return broken, nil, errors.New("the server is away")
	})
	if _, err := l.client.CoreV1().Secrets("shop").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	if err := l.meta.Tracker().Create(gvr, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: secret.ObjectMeta}, "shop"); err != nil {
		t.Fatal(err)
	}
	until(t, "the Secret seen", func() bool {
		_, there := l.watch.get(engine.Ref{Kind: kindSecret, Namespace: "shop", Name: "mine"})
		return there
	})
	if _, err := l.client.NetworkingV1().Ingresses("shop").Create(t.Context(), anIngress("shop", "a", "a.example.com", "mine"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.has("shop", "a", "waiting", func(d engine.Desired) bool { return d.Outcome == engine.Held && d.Reasons[0].ID == "secret-unread" })
	mu.Lock()
	broken = false
	mu.Unlock()
	l.has("shop", "a", "decided", func(d engine.Desired) bool { return len(d.Reasons) == 0 || d.Reasons[0].ID != "secret-unread" })
}
