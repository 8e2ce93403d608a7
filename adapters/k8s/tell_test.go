package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

var (
	oursIP = networkingv1.IngressLoadBalancerIngress{IP: "192.0.2.7"}
	theirs = networkingv1.IngressLoadBalancerIngress{Hostname: "lb.example.org"}
)

// desk is a teller, and the cluster and the verdicts that it tells of.
type desk struct {
	t      *testing.T
	client *fake.Clientset
	teller *teller
	events *record.FakeRecorder

	mu       sync.Mutex
	verdicts map[engine.Ref]verdict
	ours     []networkingv1.IngressLoadBalancerIngress
}

func newDesk(t *testing.T, ingresses ...*networkingv1.Ingress) *desk {
	var objects []runtime.Object
	for _, ing := range ingresses {
		objects = append(objects, ing)
	}
	d := &desk{t: t, client: fake.NewClientset(objects...), verdicts: map[engine.Ref]verdict{}, ours: []networkingv1.IngressLoadBalancerIngress{oursIP}}
	d.restart()
	return d
}

// restart gives the desk a teller that was told nothing, and counts from 0.
func (d *desk) restart() {
	d.events = record.NewFakeRecorder(100)
	d.client.ClearActions()
	d.teller = newTeller(tellerOptions{
		Client: d.client, Recorder: d.events,
		Object: func(ref engine.Ref) (author, bool) {
			o, err := d.client.Tracker().Get(networkingv1.SchemeGroupVersion.WithResource("ingresses"), ref.Namespace, ref.Name)
			if err != nil {
				return nil, false
			}
			return o.(author), true
		},
		Verdict: func(ref engine.Ref) (verdict, bool) {
			d.mu.Lock()
			defer d.mu.Unlock()
			v, ok := d.verdicts[ref]
			return v, ok
		},
		Publish: func() []networkingv1.IngressLoadBalancerIngress { return d.ours },
	})
	d.teller.hiccup = 0
}

// say tells a verdict, and gives how many writes that took, and the Events.
func (d *desk) say(ref engine.Ref, v verdict) (writes int, events []string) {
	d.t.Helper()
	d.mu.Lock()
	d.verdicts[ref] = v
	d.mu.Unlock()
	d.client.ClearActions()
	if err := d.teller.one(d.t.Context(), ref); err != nil {
		d.t.Fatal(err)
	}
	return d.writes(), d.drain()
}

func (d *desk) writes() (n int) {
	for _, a := range d.client.Actions() {
		if a.GetVerb() == "patch" {
			n++
			if a.GetSubresource() != "status" {
				d.t.Errorf("a write of %q, and not of the status", a.GetSubresource())
			}
			if a.(clienttesting.PatchAction).GetPatchType() != "application/merge-patch+json" {
				d.t.Error("no merge patch")
			}
		} else {
			d.t.Errorf("the teller asks for %s", a.GetVerb())
		}
	}
	return n
}

func (d *desk) drain() (events []string) {
	for {
		select {
		case e := <-d.events.Events:
			events = append(events, e)
		default:
			return events
		}
	}
}

func (d *desk) get(ref engine.Ref) *networkingv1.Ingress {
	d.t.Helper()
	o, ok := d.teller.o.Object(ref)
	if !ok {
		d.t.Fatalf("there is no %s", ref)
	}
	return o.(*networkingv1.Ingress)
}

func newIngress(name string, addresses ...networkingv1.IngressLoadBalancerIngress) *networkingv1.Ingress {
	ing := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u1", ResourceVersion: "7", Annotations: map[string]string{"team": "a"}}}
	ing.Status.LoadBalancer.Ingress = addresses
	return ing
}

func servedVerdict(hash string) verdict {
	return verdict{outcome: outcomeServed, bundle: "sha256:b", hash: hash, wanted: hash, routes: 1, served: 1}
}

func refusedVerdict(hash string, ids ...string) verdict {
	v := verdict{outcome: outcomeRefused, bundle: "sha256:b", hash: hash}
	for _, id := range ids {
		v.reasons = append(v.reasons, engine.Reason{ID: id, Msg: "It is wrong.", Fix: "Mend it."})
	}
	return v
}

func pendingVerdict(hash, wanted string, ids ...string) verdict {
	v := refusedVerdict(hash, ids...)
	v.outcome, v.wanted = outcomePending, wanted
	return v
}

func TestStoryOfAnObject(t *testing.T) {
	a := shopRef("a")
	d := newDesk(t, newIngress("a"))
	for _, step := range []struct {
		name       string
		verdict    verdict
		writes     int
		events     string // joined by "|"
		annotation string
		address    bool
	}{
		{"waits", pendingVerdict("", "h1"), 0, "", "", false},
		{"an outage", pendingVerdict("", "h1", idUnreachable), 0, "Warning Unreachable target-unreachable: It is wrong. Mend it.", "", false},
		{"it goes on", pendingVerdict("", "h1", idUnreachable, idPlanHeld), 0, "", "", false},
		{"served", servedVerdict("h1"), 1, "Normal Synced The route is served.", `{"outcome":"served","bundle":"sha256:b","hash":"h1"}`, true},
		{"again", servedVerdict("h1"), 0, "", `{"outcome":"served","bundle":"sha256:b","hash":"h1"}`, true},
		{"an outage that delays nothing", pendingVerdict("h1", "h1", idUnreachable), 0, "", `{"outcome":"served","bundle":"sha256:b","hash":"h1"}`, true},
		{"refused", refusedVerdict("h1", "y", "x"), 1, "Warning Refused y: It is wrong. Mend it.|Warning Refused x: It is wrong. Mend it.",
			`{"outcome":"refused","bundle":"sha256:b","hash":"h1","reasons":["x","y"]}`, true},
		{"refused for less", refusedVerdict("h1", "x"), 1, "Warning Refused x: It is wrong. Mend it.",
			`{"outcome":"refused","bundle":"sha256:b","hash":"h1","reasons":["x"]}`, true},
		{"served anew", servedVerdict("h2"), 1, "Normal Synced The route is served.", `{"outcome":"served","bundle":"sha256:b","hash":"h2"}`, true},
		{"another outage", pendingVerdict("h2", "h3", idUnreachable), 0, "Warning Unreachable target-unreachable: It is wrong. Mend it.",
			`{"outcome":"served","bundle":"sha256:b","hash":"h2"}`, true},
		{"in conflict", verdict{outcome: outcomeConflict, bundle: "sha256:b", reasons: []engine.Reason{{ID: "route-taken", Msg: "Taken."}}}, 1,
			"Warning Conflict route-taken: Taken.", `{"outcome":"conflict","bundle":"sha256:b","reasons":["route-taken"]}`, false},
		{"failed", verdict{outcome: outcomeFailed, bundle: "sha256:b", reasons: []engine.Reason{{ID: idDefinition, Msg: "No."}}}, 1,
			"Warning Failed definition-failed: No.", `{"outcome":"failed","bundle":"sha256:b","reasons":["definition-failed"]}`, false},
		{"served at last", servedVerdict("h3"), 1, "Normal Synced The route is served.", `{"outcome":"served","bundle":"sha256:b","hash":"h3"}`, true},
		{"another bundle", func() verdict { v := servedVerdict("h3"); v.bundle = "sha256:c"; return v }(), 1, "", `{"outcome":"served","bundle":"sha256:c","hash":"h3"}`, true},
		{"not ours any more", verdict{outcome: outcomeIgnored}, 1, "", "", false},
		{"nor the next time", verdict{outcome: outcomeIgnored}, 0, "", "", false},
	} {
		writes, events := d.say(a, step.verdict)
		ing := d.get(a)
		if writes != step.writes || strings.Join(events, "|") != step.events {
			t.Errorf("%s: %d writes and Events %q", step.name, writes, events)
		}
		if got := ing.Annotations[engine.StatusAnnotation]; got != step.annotation {
			t.Errorf("%s: the annotation is %s", step.name, got)
		}
		if got := len(ing.Status.LoadBalancer.Ingress) == 1; got != step.address {
			t.Errorf("%s: the status has %v", step.name, ing.Status.LoadBalancer.Ingress)
		}
		if ing.Annotations["team"] != "a" {
			t.Errorf("%s: another annotation is gone", step.name)
		}
	}
}

func TestRestartWritesNothing(t *testing.T) {
	verdicts := map[string]verdict{
		"served":   servedVerdict("h1"),
		"refused":  refusedVerdict("h1", "x"),
		"never":    refusedVerdict("", "x"),
		"conflict": {outcome: outcomeConflict, bundle: "sha256:b", hash: "h2", reasons: []engine.Reason{{ID: "route-taken"}}},
		"failed":   {outcome: outcomeFailed, bundle: "sha256:b", hash: "h1", reasons: []engine.Reason{{ID: idDefinition}}},
		"ignored":  {outcome: outcomeIgnored},
	}
	var all []*networkingv1.Ingress
	for name := range verdicts {
		all = append(all, newIngress(name))
	}
	d := newDesk(t, all...)
	for name, v := range verdicts {
		d.say(shopRef(name), v)
	}
	d.restart()
	quiet := func(name string, v verdict) {
		t.Helper()
		if writes, events := d.say(shopRef(name), v); writes != 0 || len(events) != 0 {
			t.Errorf("%s: %d writes, Events %q", name, writes, events)
		}
	}
	for name, v := range verdicts {
		// Whoever starts does not know what was served before.
		if v.outcome == outcomeRefused || v.outcome == outcomeFailed {
			v.hash = ""
		}
		if v.outcome == outcomeServed {
			quiet(name, pendingVerdict("", v.hash, idUnreachable))
		}
		quiet(name, v)
	}
	// Nor does it know anything before it has decided.
	d.restart()
	clear(d.verdicts)
	for name := range verdicts {
		if err := d.teller.one(t.Context(), shopRef(name)); err != nil {
			t.Error(err)
		}
	}
	if d.writes() != 0 {
		t.Error("something is written about what is not known yet")
	}
}

func TestAddressesOfOthersStay(t *testing.T) {
	a, b, c := shopRef("a"), shopRef("b"), shopRef("c")
	carries := newIngress("b", theirs, oursIP)
	carries.Annotations[engine.StatusAnnotation] = `{"outcome":"served","bundle":"x"}`
	d := newDesk(t, newIngress("a", theirs), carries, newIngress("c", oursIP))
	d.say(a, refusedVerdict("", "x"))
	d.say(b, verdict{outcome: outcomeIgnored})
	d.say(c, verdict{outcome: outcomeIgnored})
	for ref, want := range map[engine.Ref]networkingv1.IngressLoadBalancerIngress{a: theirs, b: theirs, c: oursIP} {
		if got := d.get(ref).Status.LoadBalancer.Ingress; len(got) != 1 || !sameAddress(got[0], want) {
			t.Errorf("%s has %v", ref, got)
		}
	}
	d.ours = nil
	d.say(a, servedVerdict("h"))
	if got := d.get(a).Status.LoadBalancer.Ingress; len(got) != 1 {
		t.Errorf("with nothing to publish the status is %v", got)
	}
}

func TestPatchIsOneAndGuarded(t *testing.T) {
	d := newDesk(t, newIngress("a"))
	d.say(shopRef("a"), servedVerdict("h"))
	patch := d.client.Actions()[0].(clienttesting.PatchAction).GetPatch()
	want := `{"metadata":{"annotations":{"cuegate.dev/status":"{\"outcome\":\"served\",\"bundle\":\"sha256:b\",\"hash\":\"h\"}"},"resourceVersion":"7","uid":"u1"},` +
		`"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}`
	if string(patch) != want {
		t.Errorf("the patch is %s", patch)
	}
	if !json.Valid(patch) {
		t.Error("the patch is no JSON")
	}
}

func TestManyReasons(t *testing.T) {
	d := newDesk(t, newIngress("a"))
	v := refusedVerdict("")
	for i := range 20 {
		v.reasons = append(v.reasons, engine.Reason{ID: fmt.Sprint("id-", i), Msg: strings.Repeat("é\n", 2000)})
	}
	_, events := d.say(shopRef("a"), v)
	if len(events) != maxEvents || !strings.Contains(events[maxEvents-1], "13 more reasons") {
		t.Errorf("%d Events, the last %q", len(events), events[len(events)-1])
	}
	for _, e := range events {
		message := strings.TrimPrefix(e, "Warning Refused ")
		if len(message) > maxMessage || !utf8.ValidString(message) || strings.Contains(message, "\n") {
			t.Errorf("a message of %d bytes: %q", len(message), message[:40])
		}
	}
}

func TestFailedWritesAreTriedAgain(t *testing.T) {
	group := schema.GroupResource{Group: "networking.k8s.io", Resource: "ingresses"}
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"conflict":    {apierrors.NewConflict(group, "a", errors.New("newer")), true},
		"busy":        {apierrors.NewTooManyRequests("busy", 0), true},
		"broken":      {apierrors.NewInternalError(errors.New("x")), true},
		"unavailable": {apierrors.NewServiceUnavailable("x"), true},
		"no answer":   {errors.New("connection refused"), true},
		"gone":        {apierrors.NewNotFound(group, "a"), false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, newIngress("a"), newIngress("b"))
			var mu sync.Mutex
			failures := 0
			d.client.PrependReactor("patch", "ingresses", func(a clienttesting.Action) (bool, runtime.Object, error) {
				mu.Lock()
				defer mu.Unlock()
				if a.(clienttesting.PatchAction).GetName() == "a" && failures < 2 {
					failures++
					return true, nil, c.err
				}
				return false, nil, nil
			})
			d.verdicts[shopRef("a")], d.verdicts[shopRef("b")] = servedVerdict("h"), servedVerdict("h")
			ctx, stop := context.WithCancel(t.Context())
			over := make(chan struct{})
			go func() { d.teller.run(ctx); close(over) }()
			d.teller.tell(shopRef("a"), shopRef("b"), shopRef("none"))
			told := func(name string) func() bool {
				return func() bool { return d.get(shopRef(name)).Annotations[engine.StatusAnnotation] != "" }
			}
			tellerEventually(t, told("b"))
			if c.again {
				tellerEventually(t, told("a"))
				tellerEventually(t, func() bool { return len(d.events.Events) == 2 })
			} else {
				tellerEventually(t, func() bool { return d.teller.queue.Len() == 0 && d.teller.queue.NumRequeues(shopRef("a")) == 0 })
			}
			stop()
			<-over
			mu.Lock()
			defer mu.Unlock()
			if !c.again && failures > 1 {
				t.Error("what is gone was tried again")
			}
			if events := d.drain(); c.again && len(events) != 2 {
				t.Errorf("Events %q", events)
			}
		})
	}
}

func tellerEventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never comes to this")
		}
	}
}

func TestRecorderWrites(t *testing.T) {
	client := fake.NewClientset()
	r, stop := newRecorder(client)
	defer stop()
	r.Event(newIngress("a"), corev1.EventTypeNormal, eventSynced, "All is well.")
	tellerEventually(t, func() bool {
		list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Kind == kindIngress && e.InvolvedObject.Name == "a" && e.Reason == eventSynced && e.Source.Component == "cuegate"
		})
	})
}

func TestSameForUs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*networkingv1.Ingress)
		same   bool
	}{
		"nothing":         {func(*networkingv1.Ingress) {}, true},
		"status":          {func(x *networkingv1.Ingress) { x.Status.LoadBalancer.Ingress = nil }, true},
		"version":         {func(x *networkingv1.Ingress) { x.ResourceVersion, x.Generation, x.ManagedFields = "8", 2, nil }, true},
		"our annotation":  {func(x *networkingv1.Ingress) { x.Annotations[engine.StatusAnnotation] = "b" }, true},
		"ours gone":       {func(x *networkingv1.Ingress) { delete(x.Annotations, engine.StatusAnnotation) }, true},
		"an annotation":   {func(x *networkingv1.Ingress) { x.Annotations["team"] = "b" }, false},
		"one more":        {func(x *networkingv1.Ingress) { x.Annotations["more"] = "" }, false},
		"one for another": {func(x *networkingv1.Ingress) { delete(x.Annotations, "team"); x.Annotations["more"] = "a" }, false},
		"for ours": {func(x *networkingv1.Ingress) {
			delete(x.Annotations, engine.StatusAnnotation)
			x.Annotations["more"] = "a"
		}, false},
		"annotations gone": {func(x *networkingv1.Ingress) { x.Annotations = nil }, false},
		"labels":           {func(x *networkingv1.Ingress) { x.Labels = map[string]string{"a": "b"} }, false},
		"uid":              {func(x *networkingv1.Ingress) { x.UID = "u2" }, false},
		"deleted":          {func(x *networkingv1.Ingress) { now := metav1.Now(); x.DeletionTimestamp = &now }, false},
		"spec":             {func(x *networkingv1.Ingress) { x.Spec.Rules = []networkingv1.IngressRule{{Host: "a"}} }, false},
	} {
		old := newIngress("a", oursIP)
		old.Annotations[engine.StatusAnnotation] = "a"
		now := old.DeepCopy()
		c.change(now)
		if sameForUs(old, now) != c.same || sameForUs(now, old) != c.same {
			t.Errorf("%s: not %v", name, c.same)
		}
	}
}
