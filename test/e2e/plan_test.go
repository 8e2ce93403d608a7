//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// cuegate runs the program once, and gives what it prints.
func cuegate(t testing.TB, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("cuegate %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(output)
}

// What a snapshot of a cluster gives is what its controller pushes, no key is in it, and
// what plan says of another bundle is what happens when a controller takes it.
func TestPlan(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	cert, key := newPair(t, "tls.example.com")
	w.cafes(3)
	w.secret("shop", "web-tls", cert, key)
	w.secret("shop", "unused-tls", cert, key)
	w.applyText(strings.Replace(ingress("shop", "tls", "tls.example.com", "/", "web"), `"rules"`, `"tls": [{"secretName": "web-tls"}], "rules"`, 1))
	w.applyText(ingress("shop", "far", "far.example.com", "/", "web", "string.service.tyk.io/proxy.target-url", "https://far.example.org/"))
	w.applyText(injected("Deployment", "shop", "echo"))
	c := w.start().ready()
	for _, host := range []string{"cafe-2.example.com", "tls.example.com"} {
		w.gateway.serves(host, "/", "http://web.shop:80")
	}
	eventually(t, "five definitions", func() bool { return len(w.gateway.stored(t)) == 5 })

	own, err := w.box.KubeconfigFor(identity, "system:serviceaccounts", "system:serviceaccounts:cuegate", "system:authenticated")
	if err != nil {
		t.Fatal(err)
	}
	// The rights of the controller do; without a mesh it has none on workloads.
	text := cuegate(t, "snapshot", "--kubeconfig", own, "--mesh=false")
	if again := cuegate(t, "snapshot", "--kubeconfig", own, "--mesh=false"); again != text {
		t.Error("a second snapshot of the same cluster is another one")
	}
	whole := cuegate(t, "snapshot", "--kubeconfig", w.box.Kubeconfig)
	for _, want := range []string{"whole: true", "version: v1.", "kind: CertificateFacts", "name: web-tls", "name: echo"} {
		if !strings.Contains(whole, want) {
			t.Errorf("the snapshot does not hold %q", want)
		}
	}
	for _, never := range []string{string(key), "PRIVATE KEY", base64.StdEncoding.EncodeToString(key)[:60], base64.StdEncoding.EncodeToString(cert)[:60], "kind: Secret", "unused-tls", "managedFields", "last-applied"} {
		if strings.Contains(whole, never) {
			t.Errorf("the snapshot holds %.40q", never)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "snapshot.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rendered := map[string]string{}
	for _, api := range gjson.Get(cuegate(t, "render", "-f", file, "-o", "json"), "apis.#.definition").Array() {
		rendered[api.Get("api_id").String()] = api.Get("config_data.cuegate.hash").String()
	}
	before := w.gateway.stored(t)
	if !maps.Equal(rendered, before) {
		t.Errorf("the snapshot gives %v, and the controller pushed %v", rendered, before)
	}

	bundle := filepath.Join(dir, "bundle")
	for name, content := range map[string]string{
		"policies/data.yaml": "settings:\n  template: tokenAuth\n",
		"policies/guard/far.rego": `package cuegate.guard

deny contains reason if {
	input.object.name == "far"
	reason := {"id": "too-far", "msg": "It is too far."}
}
`,
		"policies/own/first.rego": `package cuegate.own

ignore contains reason if {
	input.object.name == "cafe-0"
	reason := {"id": "closed", "msg": "It is closed."}
}
`,
	} {
		name = filepath.Join(bundle, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan := cuegate(t, "plan", "--bundle", bundle, "--snapshot", file, "-o", "json")
	if live := cuegate(t, "plan", "--bundle", bundle, "--kubeconfig", own, "--mesh=false", "-o", "json"); live != plan {
		t.Errorf("from the cluster: %s\nfrom its snapshot: %s", live, plan)
	}
	if back := cuegate(t, "plan", "--against", bundle, "--snapshot", file); !strings.Contains(back, "auth-removed  Ingress/shop/tls") {
		t.Errorf("the way back opens nothing: %s", back)
	}
	c.stop()
	w.start("--bundle", bundle).ready()
	w.gateway.answers("cafe-0.example.com", "/", 404)
	w.gateway.answers("tls.example.com", "/", 401)
	w.gateway.serves("far.example.com", "/", "https://far.example.org") // refused: it stays
	said := map[string]string{}
	for _, o := range gjson.Get(plan, "objects").Array() {
		for _, d := range o.Get("definitions").Array() {
			said[d.Get("id").String()] = d.Get("action").String()
		}
	}
	eventually(t, "what plan said", func() bool { return maps.Equal(said, difference(before, w.gateway.stored(t))) })
	if got := slices.Sorted(maps.Values(said)); fmt.Sprint(got) != "[delete update update update]" {
		t.Errorf("plan says %v", got)
	}
	for path, want := range map[string]int64{"summary.unchanged": 1, "summary.refused": 1, "summary.exposure": 0} {
		if got := gjson.Get(plan, path).Int(); got != want {
			t.Errorf("%s is %d", path, got)
		}
	}
}

// difference tells by ids what became of definitions between two times.
func difference(before, after map[string]string) map[string]string {
	d := map[string]string{}
	for id, hash := range before {
		if now, there := after[id]; !there {
			d[id] = "delete"
		} else if now != hash {
			d[id] = "update"
		}
	}
	for id := range after {
		if _, was := before[id]; !was {
			d[id] = "create"
		}
	}
	return d
}
