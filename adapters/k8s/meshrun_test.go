package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

// run runs a Mesh in a bubble, whose clock is that of the Mesh; stop ends it.
func (p *pki) run() (stop func()) {
	p.t.Helper()
	o := p.o
	o.Client, o.Namespace, o.Log = p.client, home, slog.New(slog.NewTextHandler(&p.log, nil))
	m, err := NewMesh(o)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.mesh != nil {
		m.wanted = p.mesh.wanted
	}
	p.mesh = m
	return p.again()
}

// again has the same Mesh run again.
func (p *pki) again() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.mesh.Run(ctx) }()
	sleep(time.Second) // until it knows what there is
	return func() {
		p.t.Helper()
		cancel()
		began := time.Now()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			p.t.Errorf("it ends after %s", took)
		}
	}
}

// sleep passes time, and lets all else in the bubble come to rest.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestMeshRun runs for several lives of certificates.
func TestMeshRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pki{cluster: newCluster(t), o: MeshOptions{Lifetime: 3 * day}}
		stop := p.run()
		if p.written() != 0 {
			t.Error("something is made before anything is wanted")
		}
		p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
		synctest.Wait()
		p.shown(echo)
		first, secret := p.shown(web)[0], p.secret("shop", "cuegate-mesh")
		if known, ok := p.mesh.GatewaySecret("shop"); !ok || known != string(secret.Data["gateway-secret"]) || len(p.bundle("shop")) != 1 {
			t.Error("the namespace does not have what is known of it")
		}

		p.remove(secretsResource, "shop", "cuegate-mesh")
		p.remove(configMapsResource, "shop", "cuegate-mesh-ca")
		p.remove(secretsResource, home, "cuegate-mesh-master")
		p.edit(home, identitySecret("server", echo.For), func(s *corev1.Secret) { s.Data["tls.key"] = []byte("x") })
		synctest.Wait()
		if s := p.secret("shop", "cuegate-mesh"); s == nil || string(s.Data["gateway-secret"]) != string(secret.Data["gateway-secret"]) || len(p.bundle("shop")) != 1 {
			t.Error("what is deleted is not there again")
		}
		p.shown(echo)

		sleep(time.Until(renewAt(first)) + 90*time.Minute)
		second := p.shown(web)[0]
		if second.Equal(first) || !validAt(second, time.Now()) || len(letIn(p.secret(home, identitySecret("client", web.For)))) != 2 {
			t.Error("it does not rotate by itself")
		}
		sleep(time.Hour)
		if len(letIn(p.secret(home, identitySecret("client", web.For)))) != 1 {
			t.Error("what was is let in for ever")
		}

		p.mesh.Want([]engine.Identity{echo}, nil)
		sleep(day + time.Second)
		if p.secret(home, identitySecret("client", web.For)) != nil || p.secret("shop", "cuegate-mesh") != nil {
			t.Error("what nobody wants is still there")
		}
		p.shown(echo)
		stop()
		version := p.written()
		sleep(30 * day)
		if p.written() != version {
			t.Error("something is written after the end")
		}
		stop = p.again()
		if leaf := p.shown(echo)[0]; !validAt(leaf, time.Now()) {
			t.Error("it does not go on")
		}
		stop()
	})
}

// TestMeshRunsTwice has two controllers that both think that they lead.
func TestMeshRunsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pki{cluster: newCluster(t), o: MeshOptions{Lifetime: 3 * day}}
		q := &pki{cluster: p.cluster, o: p.o}
		stopP, stopQ := p.run(), q.run()
		p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
		q.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
		sleep(time.Minute)
		version := p.written()
		a, _ := p.mesh.GatewaySecret("shop")
		b, _ := q.mesh.GatewaySecret("shop")
		if a == "" || a != b || verify(p.shown(echo), p.bundle("shop"), "echo-mesh.shop", time.Now()) != nil || len(p.bundle("shop")) != 1 {
			t.Error("they do not agree")
		}
		sleep(day)
		if p.written() != version {
			t.Errorf("%d objects are written although nothing is due", p.written()-version)
		}
		if n := len(p.mesh.Problems()) + len(q.mesh.Problems()); n != 0 {
			t.Errorf("%d problems", n)
		}
		stopP()
		stopQ()
	})
}

// TestMeshRunWaits tries again what fails, ever more rarely, and the rest at once.
func TestMeshRunWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pki{cluster: newCluster(t)}
		var tries atomic.Int64
		p.refuse(func(a clienttesting.Action) error {
			if a.GetNamespace() == "shop" && a.GetResource() == secretsResource {
				tries.Add(1)
				return errors.New("connection refused")
			}
			return nil
		})
		p.write(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "bar", Name: "cuegate-mesh-ca"}})
		stop := p.run()
		p.mesh.Want([]engine.Identity{echo}, []string{"shop", "bar"})
		sleep(time.Minute)
		if n := tries.Load(); n < 6 || n > 12 {
			t.Errorf("%d tries in a minute", n)
		}
		sleep(time.Hour)
		if n := tries.Load(); n < 12 || n > 30 {
			t.Errorf("%d tries in an hour", n)
		}
		p.shown(echo)
		if r := p.reasons(); !slices.Equal(r, []string{"mesh-secret-foreign ConfigMap/bar/cuegate-mesh-ca", "mesh-unreachable Namespace/shop"}) {
			t.Errorf("the problems are %v", r)
		}
		if n := strings.Count(p.log.String(), "level=WARN"); n != 2 {
			t.Errorf("it warns %d times:\n%s", n, p.log.String())
		}
		p.refuse(func(clienttesting.Action) error { return nil })
		p.remove(configMapsResource, "bar", "cuegate-mesh-ca")
		sleep(5 * time.Minute)
		if p.secret("shop", "cuegate-mesh") == nil || len(p.bundle("bar")) != 1 || len(p.mesh.Problems()) != 0 {
			t.Errorf("the problems are %v", p.reasons())
		}
		stop()
	})
}

// TestMeshRights holds all calls of a life against the rights that Mesh says it needs.
func TestMeshRights(t *testing.T) {
	for _, namespaces := range [][]string{nil, {"shop", "bar"}} {
		synctest.Test(t, func(t *testing.T) {
			p := &pki{cluster: newCluster(t), o: MeshOptions{Lifetime: 18 * time.Hour, CALifetime: 3 * day, CAOverlap: 6 * time.Hour, Namespaces: namespaces}}
			taken := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: identitySecret("client", "shop/taken")}}
			p.write(taken)
			stop := p.run()
			p.mesh.Want([]engine.Identity{echo, web, {Role: "client", For: "shop/taken"}}, []string{"shop", "bar"})
			sleep(3 * day)
			p.mesh.Want(nil, nil)
			sleep(2 * day)
			stop()
			used := map[string]bool{}
			for _, a := range p.client.Actions() {
				used[rightOf(a)] = true
			}
			in := namespaces
			if in == nil {
				in = []string{""}
			}
			want := []string{"create configmaps in the mesh", "create secrets in the mesh"}
			for _, verb := range []string{"create", "delete", "get", "list", "update", "watch"} {
				want = append(want, verb+" secrets at home")
			}
			for _, verb := range []string{"delete", "update"} {
				want = append(want, verb+" cuegate-mesh of secrets in the mesh", verb+" cuegate-mesh-ca of configmaps in the mesh")
			}
			for _, verb := range []string{"list", "watch"} {
				for _, namespace := range in {
					want = append(want, fmt.Sprintf("%s cuegate-mesh of secrets in %q", verb, namespace), fmt.Sprintf("%s cuegate-mesh-ca of configmaps in %q", verb, namespace))
				}
			}
			for right := range used {
				if !slices.Contains(want, right) {
					t.Errorf("it uses a right that it does not name: %s", right)
				}
			}
			for _, right := range want {
				if !used[right] && right != "update cuegate-mesh of secrets in the mesh" {
					t.Errorf("it names a right that it does not use: %s", right)
				}
			}
		})
	}
}

// rightOf says which right a call needs.
func rightOf(a clienttesting.Action) string {
	verb, kind, namespace, name := a.GetVerb(), a.GetResource().Resource, a.GetNamespace(), ""
	switch a := a.(type) {
	case clienttesting.ListActionImpl:
		name, _ = a.GetListRestrictions().Fields.RequiresExactMatch("metadata.name")
	case clienttesting.WatchActionImpl:
		name, _ = a.GetWatchRestrictions().Fields.RequiresExactMatch("metadata.name")
	case clienttesting.UpdateActionImpl:
		name = a.GetObject().(metav1.Object).GetName()
	case clienttesting.DeleteActionImpl:
		name = a.GetName()
	}
	switch {
	case namespace == home:
		return verb + " " + kind + " at home"
	case verb == "list" || verb == "watch":
		return fmt.Sprintf("%s %s of %s in %q", verb, name, kind, namespace)
	case name != "":
		return verb + " " + name + " of " + kind + " in the mesh"
	}
	return verb + " " + kind + " in the mesh"
}

func BenchmarkMeshWantSame(b *testing.B) {
	m, err := NewMesh(MeshOptions{Client: newCluster(b).client, Namespace: home})
	if err != nil {
		b.Fatal(err)
	}
	all := many(1000)
	m.Want(all, []string{"shop"})
	for b.Loop() {
		m.Want(all, []string{"shop"})
	}
}

func BenchmarkMeshNothingDue(b *testing.B) {
	c := newCluster(b)
	m, err := NewMesh(MeshOptions{Client: c.client, Namespace: home})
	if err != nil {
		b.Fatal(err)
	}
	m.Want(many(1000), []string{"shop"})
	look := func() {
		for _, key := range m.keys() {
			if _, err := m.look(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
	}
	m.stores = c.copies("cuegate-mesh-ca")
	look()
	m.stores = c.copies("cuegate-mesh-ca")
	for b.Loop() {
		look()
	}
}

// many gives identities of as many workloads, each with a group of its own.
func many(n int) []engine.Identity {
	var all []engine.Identity
	for i := range n / 2 {
		name := fmt.Sprint("app-", i)
		all = append(all, engine.Identity{Role: "server", For: "Deployment/shop/" + name, Names: []string{name + "-mesh.shop", name + "-mesh.shop.svc"}},
			engine.Identity{Role: "client", For: "shop/" + name})
	}
	return all
}
