package k8s

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

// keeps waits until the keeper was told so.
func (m *meshBox) keeps(identities, namespaces string) {
	m.t.Helper()
	until(m.t, "to keep "+identities+" in "+namespaces, func() bool {
		i, n := m.keeper.said()
		return i == identities && n == namespaces
	})
}

func TestKeeperIsTold(t *testing.T) {
	const web = "client shop/default, server Deployment/shop/web"
	m := startMesh(t, mutual, aNamespace(), aDeployment("web"), unasked("other"))
	m.keeps(web, "shop")
	until(t, "running", func() bool { m.keeper.mu.Lock(); defer m.keeper.mu.Unlock(); return m.keeper.running })
	m.keeper.mu.Lock()
	calls := m.keeper.calls
	if names := m.keeper.identities[1].Names; len(names) != 3 || names[0] != "web-mesh.shop" {
		t.Errorf("the names of a server are %v", names)
	}
	m.keeper.mu.Unlock()
	before := m.decisions(deployment("web"))
	m.loop.again()
	until(t, "decided again", func() bool { return m.decisions(deployment("web")) > before })
	m.deploy(aDeployment("site", "injector.tyk.io/group", "front"))
	m.keeps("client shop/default, client shop/front, server Deployment/shop/site, server Deployment/shop/web", "shop")
	m.keeper.mu.Lock()
	if m.keeper.calls != calls+1 {
		t.Errorf("told %d times", m.keeper.calls-calls)
	}
	m.keeper.mu.Unlock()
	m.remove("site")
	m.keeps(web, "shop")

	// What is refused keeps what it was given.
	m.deploy(aDeployment("web", "injector.tyk.io/port", "nowhere"))
	m.wants(deployment("web"), "is refused", func(d engine.Desired, there bool) bool {
		return isHeld(d, there) && d.Reasons[0].ID == "app-port-unknown"
	})
	m.deploy(aDeployment("site"))
	m.keeps("client shop/default, server Deployment/shop/site, server Deployment/shop/web", "shop")
	m.remove("site")
	m.remove("web")
	m.keeps("", "")
}

// As long as pods have a sidecar, their namespace is part of the mesh.
func TestKeeperIsToldOfWhatIsLeft(t *testing.T) {
	m := startMesh(t, builtin, aNamespace())
	m.keeps("", "")
	left := m.injected(aDeployment("web"))
	m.deploy(left)
	m.keeps("", "shop")
	left = left.DeepCopy()
	delete(left.Spec.Template.Annotations, injectKey)
	m.deploy(left) // no webhook saw that
	m.wants(deployment("web"), "is not served", isGone)
	m.keeps("", "shop")
	left = left.DeepCopy()
	left.Spec.Template.Annotations = nil // and the note of what was injected is gone too
	m.deploy(left)
	m.deploy(aDeployment("later", injectKey, "no"))
	until(t, "looked at", func() bool { _, known := m.loop.standing(deployment("later")); return known })
	m.keeps("", "shop")
	m.deploy(unasked("web"))
	m.keeps("", "")
}

func TestKeeperThatFails(t *testing.T) {
	m := newMeshBox(t, nil)
	m.keeper.fails = errors.New("no right to list")
	stop := m.begin(builtin)
	until(t, "ended", func() bool { return m.watch.dirty.ShuttingDown() })
	if err := stop(); !errors.Is(err, m.keeper.fails) {
		t.Errorf("it ended with %v", err)
	}
}

// Each author is told what became of a workload, by Events alone.
func TestWorkloadsAreToldOf(t *testing.T) {
	m := startMesh(t, builtin, aNamespace())
	m.deploy(aDeployment("web"))
	m.hears("Deployment/web Synced All 2 routes are served.")
	m.deploy(aDeployment("refused", "injector.tyk.io/port", "nowhere"))
	m.hears("Deployment/refused Refused app-port-unknown")
	host := aDeployment("host")
	host.Spec.Template.Spec.HostNetwork = true
	m.deploy(host)
	m.hears("Deployment/host Ignored host-network")
	for _, a := range m.client.Actions() {
		if a.GetResource().Group == "apps" && a.GetVerb() == "patch" {
			t.Errorf("a workload was written: %v", a)
		}
	}
}

// A certificate that is late is worth an Event, and one that comes soon is not.
func TestWorkloadThatWaits(t *testing.T) {
	d := newDesk(t)
	w := aDeployment("web")
	d.teller.o.Object = func(engine.Ref) (author, bool) { return w, true }
	d.teller.o.Old = func(engine.Ref) bool { return false }
	l := newLedger()
	l.pushed(Pushed{Target: "gateway"}, []Target{{Name: "gateway"}})
	decided := func(d engine.Desired) verdict {
		d.Object = deployment("web")
		l.decided(1, "sha256:b", d)
		v, _ := l.verdict(d.Object)
		return v
	}
	v := decided(engine.Desired{Outcome: engine.Held, Reasons: []engine.Reason{{ID: idCertificatePending, Msg: "Not yet."}}})
	if v.outcome != outcomePending {
		t.Fatalf("the verdict is %v", v)
	}
	d.teller.hiccup = time.Hour
	if writes, events := d.say(deployment("web"), v); writes != 0 || len(events) != 0 {
		t.Errorf("%d writes, Events %q", writes, events)
	}
	d.teller.hiccup = 0
	if _, events := d.say(deployment("web"), v); len(events) != 1 || !strings.HasPrefix(events[0], "Warning Waiting mesh-certificate-pending: Not yet.") {
		t.Errorf("Events %q", events)
	}
	if writes, events := d.say(deployment("web"), servedVerdict("h")); writes != 0 || len(events) != 1 || events[0] != "Normal Synced The route is served." {
		t.Errorf("%d writes, Events %q", writes, events)
	}
}

// Who begins to tell repeats what is wrong, and says nothing of what was well before.
func TestNextLeaderTellsOfWorkloads(t *testing.T) {
	m := newMeshBox(t, nil, aNamespace())
	stop := m.start(builtin)
	m.deploy(aDeployment("web"))
	m.deploy(aDeployment("refused", "injector.tyk.io/port", "nowhere"))
	m.hears("Deployment/web Synced")
	m.hears("Deployment/refused Refused")
	must(t, stop())
	events := m.client.CoreV1().Events("shop")
	all, err := events.List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, e := range all.Items {
		must(t, events.Delete(t.Context(), e.Name, metav1.DeleteOptions{}))
	}
	m.make(nil)
	m.start(builtin)
	m.hears("Deployment/refused Refused")
	m.deploy(aDeployment("later"))
	m.hears("Deployment/later Synced")
	if all := m.events(); len(all) != 2 {
		t.Errorf("Events %q", all)
	}
	m.deploy(aDeployment("web", "injector.tyk.io/route", "/moved"))
	m.hears("Deployment/web Synced")
}

// Only who leads looks after the mesh; the other takes over, and then writes nothing that
// is right.
func TestMeshFollowsTheLease(t *testing.T) {
	first := newMeshBox(t, func(o *Options) { e := election("first"); o.Election = &e }, aNamespace(), aDeployment("web"))
	stop := first.start(builtin)
	first.has("web-mesh", "is right", isRight)
	second := &meshBox{t: t, client: first.client, meta: first.meta, keeper: &notingKeeper{}}
	second.make(func(o *Options) { e := election("second"); o.Election = &e })
	second.start(builtin)
	second.keeps("", "shop")
	first.deploy(aDeployment("more"))
	first.has("more-mesh", "is right", isRight)
	second.keeper.mu.Lock()
	if second.keeper.running {
		t.Error("who does not lead keeps the certificates")
	}
	second.keeper.mu.Unlock()
	must(t, stop())
	first.client.ClearActions()
	until(t, "taken over", func() bool { second.keeper.mu.Lock(); defer second.keeper.mu.Unlock(); return second.keeper.running })
	second.deploy(aDeployment("last"))
	second.has("last-mesh", "is right", isRight)
	if n := second.writes(); n != 1 {
		t.Errorf("%d writes", n)
	}
	first.keeper.mu.Lock()
	defer first.keeper.mu.Unlock()
	if first.keeper.running {
		t.Error("who does not lead any more keeps the certificates")
	}
}

// Metrics of others are served with those of the controller.
func TestMetricsOfOthers(t *testing.T) {
	c := newController(t, Options{})
	more := prometheus.NewGauge(prometheus.GaugeOpts{Name: "cuegate_more", Help: "More."})
	must(t, c.Registerer().Register(more))
	if got := metricsText(t, c, "cuegate_more"); got != "cuegate_more 0" {
		t.Errorf("served is %q", got)
	}
}
