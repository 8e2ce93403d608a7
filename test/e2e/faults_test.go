//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/test/box"
)

// cafes makes n Ingresses with one route each.
func (w *world) cafes(n int) {
	w.t.Helper()
	w.service("shop", "web", 80)
	for i := range n {
		w.cafe(i, "/")
	}
}

func (w *world) cafe(i int, path string) {
	w.t.Helper()
	w.applyText(ingress("shop", fmt.Sprintf("cafe-%d", i), fmt.Sprintf("cafe-%d.example.com", i), path, "web"))
}

// A controller that starts again, or that takes over, and finds everything as it
// should be writes nothing: not to the gateway and not to the API server.
func TestRestartWritesNothing(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(20)
	w.applyText(ingress("shop", "bad", "bad.example.com", "/", "web", "bool.service.tyk.io/use-keyles", "false"))
	c := w.start("--publish-address", "192.0.2.7").ready()
	eventually(t, "all told", func() bool {
		for i := range 20 {
			if w.status("shop", fmt.Sprintf("cafe-%d", i), "outcome") != "served" {
				return false
			}
		}
		return w.status("shop", "bad", "outcome") == "refused" && len(w.events("shop", "bad")) > 0
	})
	c.stop()
	w.gateway.ResetCalls()
	before := w.versions()
	events := w.countEvents()
	c = w.start("--publish-address", "192.0.2.7").ready()
	// What is told comes in order: the others have been looked at when a new one is told.
	w.cafe(20, "/")
	eventually(t, "the new one told", func() bool {
		return w.status("shop", "cafe-20", "outcome") == "served" && len(w.events("shop", "cafe-20")) == 1
	})
	c.stop()
	if n := w.gateway.writes(); n != 1 {
		t.Errorf("%d writes to the gateway, and not the one that is new: %v", n, w.gateway.Calls())
	}
	w.deleteIngress("shop", "cafe-20")
	if after := w.versions(); after != before {
		t.Errorf("objects were written: their versions were %s and are %s", before, after)
	}
	if n := w.countEvents(); n != events+1 {
		t.Errorf("there were %d Events and are %d, with that of the new one", events, n)
	}
}

// versions are the resource versions of all Ingresses.
func (w *world) versions() string {
	w.t.Helper()
	list, err := w.client.NetworkingV1().Ingresses("").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	text := ""
	for _, i := range list.Items {
		text += i.Name + "=" + i.ResourceVersion + " "
	}
	return text
}

func (w *world) countEvents() int {
	w.t.Helper()
	list, err := w.client.CoreV1().Events("").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list.Items)
}

// What happened while the controller was down is made up for.
func TestChangesWhileDown(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(3)
	c := w.start().ready()
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
	c.kill()
	w.deleteIngress("shop", "cafe-0")
	w.cafe(1, "/moved")
	w.cafe(3, "/")
	w.start().ready()
	w.gateway.answers("cafe-0.example.com", "/", 404)
	w.gateway.answers("cafe-1.example.com", "/", 404)
	w.gateway.serves("cafe-1.example.com", "/moved", "http://web.shop:80")
	w.gateway.serves("cafe-3.example.com", "/", "http://web.shop:80")
}

// The leader is killed; the standby takes over within the time of the lease, and
// writes nothing that is there already.
func TestLeaderFailover(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(3)
	first := w.start()
	eventually(t, "the first leads", func() bool { return first.metric("cuegate_leader") == "1" })
	first.ready()
	second := w.start().ready()
	if second.metric("cuegate_leader") != "0" {
		t.Fatal("both lead")
	}
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
	eventually(t, "told", func() bool { return w.status("shop", "cafe-2", "outcome") == "served" })
	w.gateway.ResetCalls()
	first.kill()
	killed := time.Now()
	within(t, 3*3*time.Second, "the second leads", func() bool { return second.metric("cuegate_leader") == "1" })
	t.Logf("the standby took over after %s of a lease of 3s", time.Since(killed).Round(100*time.Millisecond))
	w.cafe(3, "/")
	w.gateway.serves("cafe-3.example.com", "/", "http://web.shop:80")
	if n := w.gateway.writes(); n != 1 {
		t.Errorf("%d writes, and not the one that is new: %v", n, w.gateway.Calls())
	}
	// One that is stopped in order lets the lease go at once.
	third := w.start().ready()
	second.stop()
	within(t, 3*time.Second, "the third leads", func() bool { return third.metric("cuegate_leader") == "1" })
}

// The gateway is away, comes back empty, or loses what it had.
func TestGatewayFaults(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(3)
	c := w.start().ready()
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
	w.gateway.kill()
	w.cafe(3, "/")
	eventually(t, "down", func() bool { return c.metric(`cuegate_target_up{target="`+w.gateway.URL()+`"}`) == "0" })
	w.gateway.open()
	w.gateway.serves("cafe-3.example.com", "/", "http://web.shop:80")
	w.gateway.store.LoseFiles()
	w.gateway.Restart()
	w.gateway.serves("cafe-0.example.com", "/", "http://web.shop:80")
	w.gateway.Faults().Set(func(f *embedded.FaultSettings) { f.ErrorShare, f.DropShare, f.LostWriteShare = 0.2, 0.1, 0.1 })
	for i := range 10 {
		w.cafe(i, "/new")
	}
	for i := range 10 {
		w.gateway.serves(fmt.Sprintf("cafe-%d.example.com", i), "/new", "http://web.shop:80")
	}
}

// The API server is killed and comes back; what changed then is seen.
func TestAPIServerRestarts(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(2)
	c := w.start().ready()
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
	w.box.Kill()
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
	if err := w.box.Restart(); err != nil {
		t.Fatal(err)
	}
	w.cafe(2, "/")
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
	eventually(t, "leads again", func() bool { return c.metric("cuegate_leader") == "1" })
}

// Watches that end after a second or two, and a server that answers 429 to whoever
// comes while it is busy.
func TestWeakAPIServer(t *testing.T) {
	w := newWorld(t, "rbac.yaml", box.WithoutControllers(), box.Flags("--min-request-timeout=1", "--etcd-compaction-interval=1s",
		"--max-requests-inflight=3", "--max-mutating-requests-inflight=2", "--enable-priority-and-fairness=false"))
	w.cafes(2)
	w.start().ready()
	for i := range 20 {
		w.cafe(i, "/")
		w.gateway.serves(fmt.Sprintf("cafe-%d.example.com", i), "/", "http://web.shop:80")
	}
}

// The controller sleeps while its watches end, history is compacted and the API server
// starts anew: the version from which it would go on is known no more (410), and it
// lists again.
func TestExpiredWatch(t *testing.T) {
	w := newWorld(t, "rbac.yaml", box.WithoutControllers(), box.Flags("--etcd-compaction-interval=1s"))
	w.cafes(3)
	c := w.start("--leader-elect=false").ready()
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
	old := w.getIngress("shop", "cafe-2").ResourceVersion
	c.signal(syscall.SIGSTOP)
	w.deleteIngress("shop", "cafe-0")
	w.cafe(1, "/moved")
	w.cafe(3, "/")
	eventually(t, "history compacted", func() bool {
		w.cafe(4, "/") // there has to be something newer
		_, err := w.client.NetworkingV1().Ingresses("").List(t.Context(),
			metav1.ListOptions{ResourceVersion: old, ResourceVersionMatch: metav1.ResourceVersionMatchExact, Limit: 1})
		return apierrors.IsResourceExpired(err)
	})
	if err := w.box.Restart(); err != nil {
		t.Fatal(err)
	}
	c.signal(syscall.SIGCONT)
	w.gateway.answers("cafe-0.example.com", "/", 404)
	w.gateway.serves("cafe-1.example.com", "/moved", "http://web.shop:80")
	w.gateway.serves("cafe-3.example.com", "/", "http://web.shop:80")
}

// kills is how often TestKilled kills the controller.
const kills = 50

// The controller is killed at random moments while objects change: in the end what is
// served is what is wanted.
func TestKilled(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(10)
	random := rand.New(rand.NewPCG(1, 2))
	paths := map[int]string{}
	for range kills {
		c := w.start("--leader-elect=false")
		begin, life := time.Now(), time.Duration(random.IntN(1200))*time.Millisecond
		for time.Since(begin) < life {
			i := random.IntN(10)
			if paths[i] == "-" || random.IntN(4) > 0 {
				paths[i] = fmt.Sprintf("/p%d", random.IntN(1000))
				w.cafe(i, paths[i])
			} else {
				paths[i] = "-"
				if err := w.client.NetworkingV1().Ingresses("shop").Delete(t.Context(), fmt.Sprintf("cafe-%d", i), metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.kill()
	}
	w.start("--leader-elect=false").ready()
	want := w.wanted()
	eventually(t, "what is wanted served", func() bool { return equal(w.gateway.stored(t), want) })
	for i := range 10 {
		host := fmt.Sprintf("cafe-%d.example.com", i)
		if path := paths[i]; path == "-" {
			w.gateway.answers(host, "/", 404)
		} else if path != "" {
			w.gateway.serves(host, path, "http://web.shop:80")
		}
	}
}

// wanted is what the Ingresses of the cluster ask for, by render.
func (w *world) wanted() map[string]string {
	w.t.Helper()
	list, err := w.client.NetworkingV1().Ingresses("").List(w.t.Context(), metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	for _, i := range list.Items {
		i.APIVersion, i.Kind = "networking.k8s.io/v1", "Ingress"
		write(w.t, filepath.Join(dir, i.Name+".json"), i)
	}
	write(w.t, filepath.Join(dir, "class.json"), map[string]any{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
		"metadata": map[string]any{"name": "tyk"}, "spec": map[string]any{"controller": "cuegate.dev/ingress-controller"}})
	byID, _ := rendered(w.t, "-f", dir)
	return byID
}

// With the rights on one namespace, that one is served.
func TestNamespacedRights(t *testing.T) {
	w := newWorld(t, "rbac-namespaced.yaml")
	w.cafes(1)
	w.service("other", "web", 80)
	w.applyText(ingress("other", "web", "other.example.com", "/", "web"))
	c := w.start("--watch-namespace", "shop").ready()
	w.gateway.serves("cafe-0.example.com", "/", "http://web.shop:80")
	eventually(t, "told", func() bool { return w.status("shop", "cafe-0", "outcome") == "served" })
	w.label("shop", `{"cuegate.dev/template": "tokenAuth"}`)
	w.gateway.answers("cafe-0.example.com", "/", 401)
	if status, _ := w.gateway.get("other.example.com", "/"); status != 404 {
		t.Errorf("a namespace that is not watched is answered with %d", status)
	}
	if text := c.log.String(); strings.Contains(text, "forbidden") {
		t.Errorf("something is forbidden:\n%s", tail(text, 2000))
	}
}
