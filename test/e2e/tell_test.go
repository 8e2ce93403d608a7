//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// What became of an object stands on it, and in Events, and on the diagnostics port.
func TestAuthorsAreTold(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.service("shop", "web", 80)
	w.applyText(ingress("shop", "good", "good.example.com", "/", "web"))
	w.applyText(ingress("shop", "bad", "bad.example.com", "/", "web", "bool.service.tyk.io/use-keyles", "false"))
	c := w.start("--publish-address", "192.0.2.7", "--clear-status-on-shutdown").ready()
	w.gateway.serves("good.example.com", "/", "http://web.shop:80")
	eventually(t, "told", func() bool {
		return w.status("shop", "good", "outcome") == "served" && w.status("shop", "bad", "outcome") == "refused"
	})
	good := w.getIngress("shop", "good")
	if lb := good.Status.LoadBalancer.Ingress; len(lb) != 1 || lb[0].IP != "192.0.2.7" {
		t.Errorf("the status has %v", lb)
	}
	if lb := w.getIngress("shop", "bad").Status.LoadBalancer.Ingress; len(lb) != 0 {
		t.Errorf("what was never served has the addresses %v", lb)
	}
	has := func(name, reason, text string) bool {
		return slices.ContainsFunc(w.events("shop", name), func(e string) bool {
			return strings.HasPrefix(e, reason+": ") && strings.Contains(e, text)
		})
	}
	eventually(t, "Events", func() bool {
		return has("good", "Synced", "") && has("bad", "Refused", "use_keyless")
	})
	if status, body := c.get("/debug/explain?object=Ingress/shop/bad"); status != 200 || gjson.Get(body, "outcome").String() != "refused" {
		t.Errorf("explain gives %d: %s", status, body)
	}
	if status, body := c.get("/debug/plan"); status != 200 || gjson.Get(body, "targets.0.unchanged").Int() != 1 {
		t.Errorf("the plan is %d: %s", status, body)
	}
	if live := c.metric(`cuegate_definitions_live{target="` + w.gateway.URL() + `"}`); live != "1" {
		t.Errorf("%s definitions are live", live)
	}
	if digest := w.status("shop", "good", "bundle"); !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("the bundle is %q", digest)
	}
	// A conflict within the namespace: the older is served, the other told.
	eventually(t, "a second older", func() bool { return w.older("shop", "good") })
	w.applyText(ingress("shop", "twin", "good.example.com", "/", "web"))
	eventually(t, "a conflict", func() bool {
		return w.status("shop", "twin", "outcome") == "conflict" && has("twin", "Conflict", "Ingress/shop/good")
	})
	c.stop()
	eventually(t, "the addresses taken back", func() bool { return len(w.getIngress("shop", "good").Status.LoadBalancer.Ingress) == 0 })
}
