//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/test/apply"
	"github.com/cuegate/cuegate/test/box"
)

// The manifests that are rendered from the chart are taken by an API server as they are,
// their pods by a namespace that is restricted, and a controller with their arguments,
// names and rights serves an Ingress.
func TestInstall(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ce", "ce-sidecar", "mesh", "pro"} {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, box: box.Start(t, box.WithoutControllers()), gateway: newGateway(t)}
			config := w.config(w.box.Kubeconfig)
			w.client, w.objects = must(kubernetes.NewForConfig(config)), must(dynamic.NewForConfig(config))
			args := w.install(filepath.Join("../../deploy", "install-"+name+".yaml"))
			dashboard := dashboardtest.New(dashboardtest.Config{Key: w.gateway.secret, OrgID: "default"})
			if name == "pro" {
				server := httptest.NewServer(dashboard)
				t.Cleanup(server.Close)
				args = append(args, "--dashboard", server.URL)
			} else {
				w.patchStatus("cuegate", "cuegate-gateway", `{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}`)
			}
			w.service("shop", "web", 80)
			w.applyText(ingress("shop", "web", "web.example.com", "/", "web"))
			c := w.start(args...).ready()
			if name == "pro" {
				eventually(t, "on the Dashboard", func() bool {
					return slices.ContainsFunc(dashboard.APIs(), func(api json.RawMessage) bool { return gjson.GetBytes(api, "domain").String() == "web.example.com" })
				})
			} else {
				w.gateway.serves("web.example.com", "/", "http://web.shop:80")
				eventually(t, "published", func() bool {
					published := w.getIngress("shop", "web").Status.LoadBalancer.Ingress
					return len(published) == 1 && published[0].IP == "203.0.113.7"
				})
			}
			eventually(t, "told", func() bool { return w.status("shop", "web", "outcome") == "served" })
			if name == "mesh" {
				eventually(t, "the API server told the CA of the webhook", func() bool {
					hook, err := w.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "cuegate", metav1.GetOptions{})
					if err != nil {
						t.Fatal(err)
					}
					return len(hook.Webhooks) == 2 && !slices.ContainsFunc(hook.Webhooks, func(h admissionregistrationv1.MutatingWebhook) bool {
						return !bytes.Contains(h.ClientConfig.CABundle, []byte("BEGIN CERTIFICATE"))
					})
				})
			}
			c.stop()
			if strings.Contains(c.log.String(), "forbidden") {
				t.Errorf("the controller wants more than it may:\n%s", tail(c.log.String(), 6000))
			}
		})
	}
}

// install creates the objects of a file, and pods of its Deployments for a try. It gives
// the arguments of the controller, but for those that name a place.
func (w *world) install(file string) []string {
	w.t.Helper()
	ctx := w.t.Context()
	groups, err := restmapper.GetAPIGroupResources(w.client.Discovery())
	if err != nil {
		w.t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	var args []string
	for _, o := range must(apply.Files(file)) {
		var u unstructured.Unstructured
		if err := u.UnmarshalJSON(o.JSON); err != nil {
			w.t.Fatal(err)
		}
		mapping, err := mapper.RESTMapping(u.GroupVersionKind().GroupKind(), u.GroupVersionKind().Version)
		if err != nil {
			w.t.Fatal(err)
		}
		// With the namespace that it names, or none: that of its kind.
		if _, err := w.objects.Resource(mapping.Resource).Namespace(u.GetNamespace()).Create(ctx, &u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}); err != nil {
			w.t.Fatalf("%s: %v", o.Ref, err)
		}
		if o.Kind != "Deployment" {
			continue
		}
		d, err := w.client.AppsV1().Deployments(u.GetNamespace()).Get(ctx, u.GetName(), metav1.GetOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		args = append(args, w.pods(d)...)
	}
	if len(args) == 0 {
		w.t.Fatalf("%s has no controller", file)
	}
	return args
}

// pods has the API server look at a pod of a Deployment, and gives the arguments of the
// controller in it.
func (w *world) pods(d *appsv1.Deployment) []string {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: d.Spec.Template.Spec}
	pod.Name = d.Name
	if _, err := w.client.CoreV1().Pods(d.Namespace).Create(w.t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		w.t.Errorf("a pod of %s: %v", d.Name, err)
	}
	loose := pod.DeepCopy()
	loose.Spec.HostNetwork = true
	if _, err := w.client.CoreV1().Pods(d.Namespace).Create(w.t.Context(), loose, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsForbidden(err) {
		w.t.Errorf("the namespace takes pods in the network of their node: %v", err)
	}
	var args []string
	for _, container := range pod.Spec.Containers {
		for _, arg := range container.Args {
			name, _, _ := strings.Cut(arg, "=")
			switch {
			case container.Name != "cuegate", name == "run",
				slices.Contains([]string{"--source", "--config", "--secret-file", "--diagnostics", "--drift-interval", "--gateway", "--gateway-service", "--dashboard"}, name):
			case name == "--webhook":
				args = append(args, name+"="+freeAddress(w.t))
			default:
				args = append(args, arg)
			}
		}
	}
	return args
}

func (w *world) patchStatus(namespace, service, patch string) {
	w.t.Helper()
	if _, err := w.client.CoreV1().Services(namespace).Patch(w.t.Context(), service, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		w.t.Fatal(err)
	}
}
