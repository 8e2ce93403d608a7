//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Service of its author that asks for it leads to the sidecars, by those of its ports
// that speak HTTP; the others, and all of them later, lead where they led.
func TestMeshService(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run()
	manifest := injected("Deployment", "shop", "echo", "cuegate.dev/inbound-template", "tokenAuth")
	m.applyText(manifest)
	m.patch("shop", "echo", types.StrategicMergePatchType, `{"spec": {"template": {"spec": {"containers": [{"name": "app", "ports": [{"name": "metrics", "containerPort": 9090}]}]}}}}`)
	m.applyText(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "shop"}, "spec": {"selector": {"app": "echo"},
		"ports": [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9090, "targetPort": 9090}]}}`)
	m.call(200, "", "http://echo.shop/x")
	m.call(200, "", "http://echo.shop:9090/x")
	annotate := func(value string) {
		t.Helper()
		patch := fmt.Sprintf(`{"metadata": {"annotations": {"injector.tyk.io/inject": %s}}}`, value)
		if _, err := m.client.CoreV1().Services("shop").Patch(t.Context(), "echo", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	annotate(`"true"`)
	m.call(401, "", "http://echo.shop/x")
	if a := m.call(200, "", "http://echo.shop/x", "Authorization", m.key); a.Header.Get("X-Forwarded-For") == "" {
		t.Error("the request did not pass through the sidecar")
	}
	if a := m.call(200, "", "http://echo.shop:9090/x"); a.Header.Get("X-Forwarded-For") != "" {
		t.Error("requests for metrics pass through the sidecar")
	}
	annotate("null")
	if a := m.call(200, "", "http://echo.shop/x"); a.Header.Get("X-Forwarded-For") != "" {
		t.Error("requests pass through the sidecar still")
	}
	s, err := m.client.CoreV1().Services("shop").Get(t.Context(), "echo", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Spec.Ports; len(p) != 2 || p[0].TargetPort.String() != "http" || p[1].TargetPort.String() != "9090" {
		t.Errorf("the ports are %+v", p)
	}
}
