//go:build e2e

package box_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/cuegate/cuegate/test/box"
)

func TestServerIsReal(t *testing.T) {
	api := admin(t, box.Start(t))
	if code, text := api.do("GET", "/readyz", nil); code != http.StatusOK || string(text) != "ok" {
		t.Errorf("/readyz says %d %q", code, text)
	}
	if got := field(api.must("GET", "/version", nil), "gitVersion"); got != "v1.37.2" {
		t.Errorf("the version is %v", got)
	}
	api.wants(http.StatusUnprocessableEntity, "POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", object{
		"metadata": object{"name": "wrong"},
		"spec":     object{"rules": []object{{"host": "not a host"}}},
	})
}

// TestDeploymentLives goes through all controllers and the node: a Deployment gets
// pods, the pods get addresses, a Service finds them, and all goes with its owner.
func TestDeploymentLives(t *testing.T) {
	api := admin(t, box.Start(t))
	ns := api.namespace("lives")
	apps, core := "/apis/apps/v1/namespaces/"+ns, "/api/v1/namespaces/"+ns
	api.must("POST", apps+"/deployments", deployment("web", 3))
	api.must("POST", core+"/services", object{
		"metadata": object{"name": "web"},
		"spec":     object{"selector": object{"app": "web"}, "ports": []object{{"port": 80}}},
	})

	addresses := map[any]bool{}
	api.eventually("three pods run", func() bool {
		clear(addresses)
		for _, pod := range api.items(core + "/pods") {
			if field(pod, "status", "phase") == "Running" {
				addresses[field(pod, "status", "podIP")] = true
			}
		}
		return len(addresses) == 3
	})
	api.eventually("the Deployment is available", func() bool {
		return field(api.must("GET", apps+"/deployments/web", nil), "status", "availableReplicas") == 3.0
	})
	api.eventually("the Service has three ready endpoints", func() bool {
		ready := 0
		for _, slice := range api.items("/apis/discovery.k8s.io/v1/namespaces/" + ns + "/endpointslices") {
			endpoints, _ := field(slice, "endpoints").([]any)
			for _, e := range endpoints {
				if field(e, "conditions", "ready") == true && addresses[field(e, "addresses").([]any)[0]] {
					ready++
				}
			}
		}
		return ready == 3
	})

	api.must("DELETE", apps+"/deployments/web", nil)
	api.eventually("the pods are collected", func() bool { return len(api.items(core+"/pods")) == 0 })
	api.must("DELETE", core, nil)
	api.eventually("the namespace is gone", func() bool {
		code, _ := api.do("GET", core, nil)
		return code == http.StatusNotFound
	})
}

func deployment(name string, replicas int) object {
	labels := object{"app": name}
	return object{
		"metadata": object{"name": name},
		"spec": object{
			"replicas": replicas,
			"selector": object{"matchLabels": labels},
			"template": object{
				"metadata": object{"labels": labels},
				"spec": object{"containers": []object{{
					"name": name, "image": "none", "securityContext": object{"privileged": true},
				}}},
			},
		},
	}
}

// TestRolesHold shows that a token and a certificate of one service account may do
// what its role allows, and no more.
func TestRolesHold(t *testing.T) {
	server := box.Start(t)
	api := admin(t, server)
	ns := api.namespace("roles")
	core, rbac := "/api/v1/namespaces/"+ns, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+ns
	api.must("POST", core+"/serviceaccounts", object{"metadata": object{"name": "reader"}})
	api.must("POST", rbac+"/roles", object{
		"metadata": object{"name": "reader"},
		"rules":    []object{{"apiGroups": []string{""}, "resources": []string{"configmaps"}, "verbs": []string{"list"}}},
	})
	api.must("POST", rbac+"/rolebindings", object{
		"metadata": object{"name": "reader"},
		"roleRef":  object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
		"subjects": []object{{"kind": "ServiceAccount", "name": "reader", "namespace": ns}},
	})

	token := field(api.must("POST", core+"/serviceaccounts/reader/token", object{"spec": object{}}), "status", "token")
	kubeconfig, err := server.KubeconfigFor("system:serviceaccount:" + ns + ":reader")
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []client{bearer(t, server, fmt.Sprint(token)), holder(t, kubeconfig)} {
		reader.eventually("the role is known", func() bool {
			code, _ := reader.do("GET", core+"/configmaps", nil)
			return code == http.StatusOK
		})
		reader.wants(http.StatusForbidden, "GET", core+"/secrets", nil)
		reader.wants(http.StatusForbidden, "GET", "/api/v1/namespaces/default/configmaps", nil)
	}
	bearer(t, server, "none").wants(http.StatusUnauthorized, "GET", core+"/configmaps", nil)
}

// TestWebhookChanges lets a webhook on loopback put a label on ConfigMaps.
func TestWebhookChanges(t *testing.T) {
	api := admin(t, box.Start(t))
	ns := api.namespace("webhook")
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(object{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
			"response": object{
				"uid": review.Request.UID, "allowed": true, "patchType": "JSONPatch",
				"patch": base64.StdEncoding.EncodeToString([]byte(`[{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}]`)),
			},
		})
	}))
	t.Cleanup(hook.Close)

	configurations := "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
	api.must("POST", configurations, object{
		"metadata": object{"name": ns},
		"webhooks": []object{{
			"name": "hook.example.com",
			"clientConfig": object{
				"url":      hook.URL,
				"caBundle": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw}),
			},
			"rules": []object{{
				"apiGroups": []string{""}, "apiVersions": []string{"v1"}, "operations": []string{"CREATE"}, "resources": []string{"configmaps"},
			}},
			"namespaceSelector":       object{"matchLabels": object{"kubernetes.io/metadata.name": ns}},
			"failurePolicy":           "Fail",
			"sideEffects":             "None",
			"admissionReviewVersions": []string{"v1"},
		}},
	})
	defer api.must("DELETE", configurations+"/"+ns, nil)
	api.eventually("the webhook puts its label", func() bool {
		made := api.must("POST", "/api/v1/namespaces/"+ns+"/configmaps", object{"metadata": object{"generateName": "a-"}})
		return field(made, "metadata", "labels", "seen") == "yes"
	})
}

// TestKillLosesNothing kills a server, and two that run side by side know nothing of
// each other.
func TestKillLosesNothing(t *testing.T) {
	one, other := box.Start(t, box.Own()), box.Start(t, box.Own())
	if one.URL == other.URL || one.Dir == other.Dir {
		t.Fatalf("two servers share %s or %s", one.URL, one.Dir)
	}
	api := admin(t, one)
	ns := api.namespace("kept")
	path := "/api/v1/namespaces/" + ns
	api.must("POST", "/apis/apps/v1/namespaces/"+ns+"/deployments", deployment("web", 1))
	api.must("POST", path+"/configmaps", object{"metadata": object{"name": "last"}})
	admin(t, other).wants(http.StatusNotFound, "GET", path, nil)

	before := read(t, one.Kubeconfig)
	address := one.URL
	kubeconfig, err := one.KubeconfigFor("somebody", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	one.Kill()
	if code, _ := api.do("GET", path, nil); code != 0 {
		t.Errorf("a killed server answers with %d", code)
	}
	if err := one.Restart(); err != nil {
		t.Fatal(err)
	}
	if one.URL != address || !bytes.Equal(read(t, one.Kubeconfig), before) {
		t.Errorf("after a restart the URL is %s, and was %s, or the kubeconfig changed", one.URL, address)
	}
	api.must("GET", path+"/configmaps/last", nil)
	holder(t, kubeconfig).must("GET", path+"/configmaps/last", nil)
	api.eventually("the pod runs", func() bool {
		pods := api.items(path + "/pods")
		return len(pods) == 1 && field(pods[0], "status", "phase") == "Running"
	})
}

func TestStopLeavesNothing(t *testing.T) {
	server := box.Start(t, box.WithoutControllers(), box.Flags("--max-requests-inflight=50"))
	api := admin(t, server)
	api.must("POST", "/api/v1/namespaces/default/pods", object{
		"metadata": object{"name": "alone"},
		"spec":     object{"containers": []object{{"name": "a", "image": "none"}}},
	})
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(server.Dir); !os.IsNotExist(err) {
		t.Errorf("of the folder remains %v", err)
	}
	if code, _ := api.do("GET", "/readyz", nil); code != 0 {
		t.Errorf("a stopped server answers with %d", code)
	}
}

// TestGivenFolderStays lets another server continue in it, at the same place.
func TestGivenFolderStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "given")
	first := box.Start(t, box.In(dir), box.WithoutControllers())
	admin(t, first).must("POST", "/api/v1/namespaces/default/configmaps", object{"metadata": object{"name": "kept"}})
	address, err := url.Parse(first.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	second := box.Start(t, box.In(dir), box.Port(port), box.WithoutControllers())
	if second.URL != first.URL || second.Dir != dir {
		t.Errorf("it continues at %s in %s, and not at %s in %s", second.URL, second.Dir, first.URL, dir)
	}
	admin(t, second).must("GET", "/api/v1/namespaces/default/configmaps/kept", nil)
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
