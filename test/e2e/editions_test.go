//go:build e2e

package e2e

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
)

// Beside each gateway a controller that pushes to it without an election; one of them
// tells.
func TestSidecars(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(2)
	other := newGatewayWith(t, w.gateway.secret)
	first := w.start("--sidecar").ready()
	eventually(t, "the first tells", func() bool { return first.metric("cuegate_leader") == "1" })
	second := w.start("--sidecar", "--gateway", other.URL()).ready()
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
	other.serves("cafe-1.example.com", "/", "http://web.shop:80")
	eventually(t, "told", func() bool { return w.status("shop", "cafe-1", "outcome") == "served" })
	if n := len(w.events("shop", "cafe-1")); n != 1 {
		t.Errorf("%d Events of two controllers: %v", n, w.events("shop", "cafe-1"))
	}
	first.kill()
	w.cafe(2, "/")
	other.serves("cafe-2.example.com", "/", "http://web.shop:80")
	within(t, 9*time.Second, "the second tells", func() bool { return second.metric("cuegate_leader") == "1" })
	eventually(t, "told by the second", func() bool { return w.status("shop", "cafe-2", "outcome") == "served" })
}

// One controller pushes to a Dashboard.
func TestDashboard(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(2)
	d := dashboardtest.New(dashboardtest.Config{Key: w.gateway.secret, OrgID: "default"})
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	w.start("--dashboard", server.URL).ready()
	has := func(host string) func() bool {
		return func() bool {
			for _, api := range d.APIs() {
				if gjson.GetBytes(api, "domain").String() == host {
					return true
				}
			}
			return false
		}
	}
	eventually(t, "on the Dashboard", has("cafe-1.example.com"))
	w.cafe(2, "/")
	eventually(t, "on the Dashboard", has("cafe-2.example.com"))
	w.deleteIngress("shop", "cafe-1")
	eventually(t, "gone from the Dashboard", func() bool { return !has("cafe-1.example.com")() })
	eventually(t, "told", func() bool { return w.status("shop", "cafe-2", "outcome") == "served" })
}

// A bundle that is tried beside the active one: what it would change is counted and
// listed, and not done.
func TestShadowBundle(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(2)
	dir := t.TempDir()
	writeBundle(t, dir, map[string]string{"templates/default.cue": `package templates

import "github.com/cuegate/cuegate/cue/template"

templates: default: template.#Base & {
	in: _
	api: use_keyless: false
}
`})
	c := w.start("--shadow-bundle", dir).ready()
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
	eventually(t, "the differences counted", func() bool { return c.metric(`cuegate_shadow_differences{kind="definitions"}`) == "2" })
	if _, body := c.get("/debug/shadow"); !strings.Contains(body, "Ingress/shop/cafe-0") || !strings.Contains(body, "use_keyless") {
		t.Errorf("the differences are listed as %s", body)
	}
	if status, _ := w.gateway.get("cafe-1.example.com", "/"); status != 200 {
		t.Errorf("the shadow is served: %d", status)
	}
}

// With a Dashboard each sidecar asks that for the definitions of its tags: the Dashboard
// has those, and no others, as long as the workload is there.
func TestMeshDashboard(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	d := dashboardtest.New(dashboardtest.Config{Key: m.gateway.secret, OrgID: "default"})
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	writeBundle(t, dir, map[string]string{"templates/sidecar.cue": `package templates

import "github.com/cuegate/cuegate/cue/sidecar"

inject: sidecar.#Sidecar & {config: edition: "dashboard"}
`})
	m.runWith([]string{"--dashboard", server.URL}, "--bundle", dir)
	m.applyText(injected("Deployment", "shop", "echo"))
	tags := func() []string {
		var all []string
		for _, api := range d.APIs() {
			all = append(all, gjson.GetBytes(api, "tags.0").String())
		}
		slices.Sort(all)
		return all
	}
	eventually(t, "both definitions on the Dashboard", func() bool { return slices.Equal(tags(), []string{"mesh", "shop.echo"}) })
	env := map[string]string{}
	for _, e := range m.deployment("echo").Spec.Template.Spec.InitContainers[0].Env {
		env[e.Name] = e.Value
	}
	if env["TYK_GW_USEDBAPPCONFIGS"] != "true" || env["TYK_GW_DBAPPCONFOPTIONS_TAGS"] != "mesh,shop.echo" {
		t.Errorf("the sidecar is set up with %v", env)
	}
	m.deleteWorkload("Deployment", "shop", "echo")
	eventually(t, "gone from the Dashboard", func() bool { return len(tags()) == 0 })
}

// writeBundle writes the files of a bundle into a folder.
func writeBundle(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	files["cue.mod/module.cue"] = "module: \"example.com/bundle@v0\"\nlanguage: version: \"v0.17.0\"\n"
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
