//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/test/box"
)

// BenchmarkWebhook makes Deployments, as dry runs and one at a time: those that no webhook
// is asked about, those of an empty webhook, those of one that answers with a patch that it
// knows, and those that ours gives a sidecar, in turn. It reports the latencies, and what
// ours adds to each of the others. The one that knows the patch is the floor: what the API
// server needs to apply it.
func BenchmarkWebhook(b *testing.B) {
	w := newWorld(b, "rbac.yaml", box.WithoutControllers())
	w.apply("../../deploy/rbac-mesh.yaml")
	address := freeAddress(b)
	ours := "https://" + address + "/mutate"
	empty, replaying := serving(b, allow), serving(b, replay(ours))
	cert, key := keyFiles(b, empty)
	w.start("--mesh", "--webhook", address, "--webhook-cert", cert, "--webhook-key", key).ready()
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: empty.Certificate().Raw}))
	for name, url := range map[string]string{"empty": empty.URL, "replayed": replaying.URL, "ours": ours} {
		w.applyText(fmt.Sprintf(`{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": %q}, "webhooks": [{
			"name": "%s.example.com", "clientConfig": {"url": %q, "caBundle": %q}, "objectSelector": {"matchLabels": {"webhook": %q}},
			"rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}],
			"failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"]}]}`, name, name, url, authority, name))
	}
	kinds := []string{"none", "empty", "replayed", "ours"}
	manifests := map[string]*appsv1.Deployment{}
	for _, kind := range kinds {
		d := &appsv1.Deployment{}
		if err := json.Unmarshal([]byte(injected("Deployment", "default", kind)), d); err != nil {
			b.Fatal(err)
		}
		d.Labels = map[string]string{"webhook": kind}
		manifests[kind] = d
	}
	create := func(kind string) (*appsv1.Deployment, error) {
		return w.client.AppsV1().Deployments("default").Create(b.Context(), manifests[kind], metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	has := func(d *appsv1.Deployment) bool {
		return slices.Contains(namesOf(d.Spec.Template.Spec.InitContainers), "tyk-mesh")
	}
	eventually(b, "the webhooks called", func() bool {
		made, err := create("ours")
		if err != nil || !has(made) {
			return false
		}
		made, err = create("replayed")
		return err == nil && has(made)
	})
	latencies := map[string][]time.Duration{}
	for range b.N {
		for i := range 1200 {
			for _, kind := range kinds {
				begin := time.Now()
				made, err := create(kind)
				took := time.Since(begin)
				if err != nil || has(made) != (kind == "ours" || kind == "replayed") {
					b.Fatal(kind, err)
				}
				if i >= 200 { // before, caches and connections get warm
					latencies[kind] = append(latencies[kind], took)
				}
			}
		}
	}
	for _, p := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		ms := map[string]float64{}
		for kind, all := range latencies {
			slices.Sort(all)
			ms[kind] = float64(all[int(p.at*float64(len(all)-1))].Microseconds()) / 1000
			b.ReportMetric(ms[kind], kind+"-"+p.name+"-ms")
		}
		for _, kind := range kinds[:3] {
			b.ReportMetric(ms["ours"]-ms[kind], "added-to-"+kind+"-"+p.name+"-ms")
		}
	}
	b.ReportMetric(0, "ns/op") // says nothing
}

// allow is a webhook that does nothing.
func allow(w http.ResponseWriter, r *http.Request) {
	var review struct{ Request struct{ UID string } }
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"response": map[string]any{"uid": review.Request.UID, "allowed": true}})
}

// replay is a webhook that asks another one the first time, and answers with its patch from
// then on.
func replay(url string) http.HandlerFunc {
	var once sync.Once
	var known map[string]any
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var review struct{ Request struct{ UID string } }
		if err == nil {
			err = json.Unmarshal(body, &review)
		}
		once.Do(func() {
			var answer *http.Response
			if answer, err = insecure.Post(url, "application/json", bytes.NewReader(body)); err == nil {
				defer answer.Body.Close()
				var whole struct{ Response map[string]any }
				err = json.NewDecoder(answer.Body).Decode(&whole)
				known = whole.Response
			}
		})
		if err != nil || known == nil {
			http.Error(w, fmt.Sprint("no patch is known: ", err), http.StatusBadGateway)
			return
		}
		response := maps.Clone(known)
		response["uid"] = review.Request.UID
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
	}
}

// insecure asks servers whose certificates this benchmark made.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// serving starts a server with TLS and HTTP/2, as ours has.
func serving(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// keyFiles writes the certificate of a test's server, which is one for 127.0.0.1, and its
// key into files.
func keyFiles(t testing.TB, s *httptest.Server) (cert, key string) {
	t.Helper()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
