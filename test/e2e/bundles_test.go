//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func write(t testing.TB, name string, x any) {
	t.Helper()
	data, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bundle puts a ConfigMap of the bundle.
func (w *world) bundle(name string, files map[string]string) {
	w.t.Helper()
	data, err := json.Marshal(files)
	if err != nil {
		w.t.Fatal(err)
	}
	w.applyText(fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q, "namespace": "cuegate", "labels": {"cuegate.dev/bundle": "true"}}, "data": %s}`, name, data))
}

// A bundle from ConfigMaps: a new one is taken over, a broken one refused and told, and
// the old one goes on.
func TestBundleFromConfigMaps(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	const locked = `package templates

import "github.com/cuegate/cuegate/cue/template"

templates: default: template.#Base & {
	in: _
	api: {use_keyless: false, use_standard_auth: true, auth: auth_header_name: "Authorization"}
}
`
	w.cafes(1)
	w.bundle("base", map[string]string{"module.cue": "module: \"example.com/bundle@v0\"\nlanguage: version: \"v0.17.0\"\n", "default.cue": locked})
	c := w.start("--bundle-configmaps", "cuegate.dev/bundle=true").ready()
	w.gateway.answers("cafe-0.example.com", "/", 401)
	w.bundle("base", map[string]string{"module.cue": "module: \"example.com/bundle@v0\"\nlanguage: version: \"v0.17.0\"\n", "default.cue": locked + "templates: broken: {\n"})
	eventually(t, "an Event about the broken bundle", func() bool {
		list, err := w.client.CoreV1().Events("cuegate").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=ConfigMap"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			if e.Reason == "BundleRefused" && strings.Contains(e.Message, "default.cue") {
				return true
			}
		}
		return false
	})
	if c.metric("cuegate_bundle_broken") != "1" {
		t.Error("the metric does not tell of the broken bundle")
	}
	w.cafe(1, "/")
	w.gateway.answers("cafe-1.example.com", "/", 401) // by the old bundle
	w.bundle("base", map[string]string{"module.cue": "module: \"example.com/bundle@v0\"\nlanguage: version: \"v0.17.0\"\n", "default.cue": strings.ReplaceAll(locked, "use_keyless: false, use_standard_auth: true", "use_keyless: true")})
	w.gateway.serves("cafe-0.example.com", "/", "http://web.shop:80")
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
}

// The pods behind a headless Service are gateways: each gets everything, and one that
// comes later too.
func TestGatewaysOfAService(t *testing.T) {
	w := newWorld(t, "rbac.yaml")
	w.cafes(2)
	other := newGatewayWith(t, w.gateway.secret)
	// Addresses of EndpointSlices may not be loopback: a proxy leads to the gateways.
	proxy := newProxy(t, map[string]*gateway{"10.99.0.1:9696": w.gateway, "10.99.0.2:9696": other})
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("NO_PROXY", "127.0.0.1,localhost")
	slice := func(ready bool) string {
		return fmt.Sprintf(`{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "gateways-1", "namespace": "cuegate", "labels": {"kubernetes.io/service-name": "gateways"}},
			"addressType": "IPv4", "ports": [{"name": "control", "port": 9696, "protocol": "TCP"}],
			"endpoints": [{"addresses": ["10.99.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.99.0.2"], "conditions": {"ready": %t}}]}`, ready)
	}
	w.applyText(slice(false))
	w.start("--gateway-service", "cuegate/gateways:control").ready()
	w.gateway.serves("cafe-1.example.com", "/", "http://web.shop:80")
	if n := len(other.stored(t)); n != 0 {
		t.Errorf("a pod that is not ready has %d definitions", n)
	}
	w.applyText(slice(true))
	other.serves("cafe-1.example.com", "/", "http://web.shop:80")
	w.cafe(2, "/")
	other.serves("cafe-2.example.com", "/", "http://web.shop:80")
	w.gateway.serves("cafe-2.example.com", "/", "http://web.shop:80")
}

// newProxy leads requests for addresses to gateways.
func newProxy(t testing.TB, to map[string]*gateway) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if g := to[r.In.Host]; g != nil {
			u, _ := url.Parse(g.URL())
			r.SetURL(u)
		}
	}}}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}
