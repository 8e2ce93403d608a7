package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/adapters/k8s"
	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

// What one of two finders does not know now stays as it was, and the other's goes on; it
// is an error only when nothing is known.
func TestFindBoth(t *testing.T) {
	var gateways, sidecars []string // nil is not known
	finds := func(names *[]string) finder {
		return func(context.Context) ([]tyk.Settings, error) {
			if *names == nil {
				return nil, errors.New("not known yet")
			}
			var all []tyk.Settings
			for _, name := range *names {
				all = append(all, tyk.Settings{Name: name})
			}
			return all, nil
		}
	}
	var log strings.Builder
	find := findBoth(finds(&gateways), finds(&sidecars), slog.New(slog.NewTextHandler(&log, nil)))
	check := func(want ...string) {
		t.Helper()
		all, err := find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range all {
			got = append(got, s.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	}
	if _, err := find(t.Context()); err == nil {
		t.Error("nothing is known, and that is no error")
	}
	gateways = []string{"a", "b"}
	check("a", "b")
	sidecars = []string{"shop/x"}
	check("a", "b", "shop/x")
	gateways = nil
	check("a", "b", "shop/x")
	sidecars = []string{}
	check("a", "b")
	gateways = []string{"b"}
	check("b")
	if n := strings.Count(log.String(), "not known yet"); n != 3 {
		t.Errorf("it is told %d times that something is not known, want 3:\n%s", n, log.String())
	}
	if findBoth(nil, nil, slog.Default()) != nil {
		t.Error("where nobody finds there is no finder")
	}
}

// noPusher pushes nowhere, and says that it did.
type noPusher struct{ report func(k8s.Pushed) }

func (noPusher) Want([]engine.Desired) {}

func (p noPusher) Run(ctx context.Context) error {
	p.report(k8s.Pushed{Target: "none", Generation: 1})
	<-ctx.Done()
	return nil
}

func (noPusher) Targets() []k8s.Target { return []k8s.Target{{Name: "none"}} }

func (noPusher) Plan(context.Context, []engine.Desired) (any, error) { return nil, nil }

// fakeCluster is a controller with a mesh, of a cluster that holds the objects.
func fakeCluster(t *testing.T, client kubernetes.Interface) *k8s.Controller {
	t.Helper()
	kinds := metadatafake.NewTestScheme()
	for _, add := range []func() error{func() error { return metav1.AddMetaToScheme(kinds) }, func() error { return corev1.AddToScheme(kinds) }} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	c, err := k8s.New(k8s.Options{
		Client: client, Metadata: metadatafake.NewSimpleMetadataClient(kinds), Builtin: cuegate.Builtin(), Mesh: &k8s.MeshSettings{},
		Engine:    config{ClusterID: "default", OrgID: "default"}.engine(),
		NewPusher: func(report func(k8s.Pushed)) (k8s.Pusher, error) { return noPusher{report}, nil },
		Election:  &k8s.Election{Namespace: "cuegate", Name: "cuegate", Identity: "test", Duration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// freeAddress is one that nobody listens at now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it never %s", what)
}

// textAt gives status and body of a URL; status 0 where nobody answers.
func textAt(client *http.Client, url string) (int, string) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// The webhook decides as the controller does, and a replica is ready when its webhook can
// answer too.
func TestControllerWithWebhook(t *testing.T) {
	dir := t.TempDir()
	flags := meshFlags{on: true, webhook: freeAddress(t), certFile: filepath.Join(dir, "tls.crt"), keyFile: filepath.Join(dir, "tls.key")}
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	controller := fakeCluster(t, client)
	hook, err := flags.hook(client, "cuegate", controller, controller.Registerer(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	diagnostics := freeAddress(t)
	go func() { ended <- runBoth(ctx, controller, hook, diagnostics) }()

	ready := func() (int, string) { return textAt(http.DefaultClient, "http://"+diagnostics+"/readyz") }
	eventually(t, "waits for its certificate alone", func() bool {
		code, text := ready()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "[+] bundle loaded") && strings.Contains(text, "[-] not yet: webhook serves: there is no serving certificate yet")
	})
	certificate, key, err := selfSigned("localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{flags.certFile: certificate, flags.keyFile: key} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "is ready", func() bool {
		code, text := ready()
		return code == http.StatusOK && strings.Contains(text, "[+] webhook serves")
	})
	if code, text := textAt(http.DefaultClient, "http://"+diagnostics+"/metrics"); code != http.StatusOK || !strings.Contains(text, "cuegate_webhook_certificate_expiry_timestamp_seconds") {
		t.Errorf("the metrics of the webhook are not with those of the controller: %d", code)
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}}}
	defer secure.CloseIdleConnections()
	var answer struct {
		Response struct {
			Allowed bool
			Patch   []byte
		}
	}
	resp, err := secure.Post("https://"+flags.webhook+"/mutate", "application/json", strings.NewReader(reviewOf(t, block)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if !answer.Response.Allowed || !strings.Contains(string(answer.Response.Patch), "tyk-mesh") {
		t.Errorf("the webhook answers %+v with the patch %s", answer.Response.Allowed, answer.Response.Patch)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}

// reviewOf asks about a Deployment of the namespace shop that is to be created.
func reviewOf(t *testing.T, manifest string) string {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.Unmarshal([]byte(manifest), &d); err != nil {
		t.Fatal(err)
	}
	d.Namespace = "shop"
	d.Spec.Template.Labels = map[string]string{"app": "shop"}
	object, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1", "operation": "CREATE", "namespace": "shop", "name": %q,
		"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "object": %s}}`, d.Name, object)
}

// A webhook that cannot be served ends the controller: an API server that has no answer
// stores nothing, or stores it without its sidecar.
func TestWebhookThatCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	client := fake.NewClientset()
	controller := fakeCluster(t, client)
	for _, c := range []struct{ webhook, diagnostics string }{{taken.Addr().String(), ""}, {freeAddress(t), taken.Addr().String()}} {
		flags := meshFlags{on: true, webhook: c.webhook, certFile: "none", keyFile: "none"}
		hook, err := flags.hook(client, "cuegate", controller, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- runBoth(t.Context(), controller, hook, c.diagnostics) }()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "address already in use") {
				t.Errorf("it ends with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it goes on")
		}
	}
}

// A sidecar is a target with the secret of its namespace and the tags of its pod. Nothing
// is known before the secrets are, and that is not the same as that there are none.
func TestSidecarsAsTargets(t *testing.T) {
	started := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "echo-1", Labels: map[string]string{"cuegate.dev/sidecar": "true"}, Annotations: map[string]string{
			"injector.tyk.io/status": `{"tags": ["mesh", "shop.echo", "bank.ledger"]}`,
		}},
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "tyk-mesh", Ports: []corev1.ContainerPort{{Name: "tyk-control", ContainerPort: 9696}}}}},
		Status: corev1.PodStatus{PodIP: "10.0.0.7", ContainerStatuses: []corev1.ContainerStatus{{Name: "tyk-mesh", Started: &started, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
	}
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, pod)
	flags := meshFlags{on: true, push: true, lifetime: time.Hour, overlap: time.Minute, caLifetime: time.Hour, caOverlap: time.Minute}
	c := config{ClusterID: "default", OrgID: "acme"}
	keeper, err := flags.keeper(client, nil, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	find, changed, err := flags.sidecars(t.Context(), client, nil, c, keeper, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing says that there is a sidecar")
	}
	eventually(t, "says that the secrets are not known", func() bool {
		_, err := find(t.Context())
		return err != nil && strings.Contains(err.Error(), "the secrets of sidecars are not known yet")
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- keeper.Run(ctx) }()
	defer func() { stop(); <-ended }()
	keeper.Want(nil, []string{"shop"})
	var all []tyk.Settings
	eventually(t, "finds the sidecar", func() bool {
		all, err = find(t.Context())
		return err == nil
	})
	secret, _ := keeper.GatewaySecret("shop")
	if len(all) != 1 || all[0].Name != "shop/echo-1" || all[0].URL != "http://10.0.0.7:9696" || !all[0].Sidecar || all[0].OrgID != "acme" || all[0].Mode != tyk.Gateway ||
		!slices.Equal(all[0].Tags, []string{"mesh", "shop.echo"}) || !reflect.DeepEqual(all[0].Secret, tyk.NewSecret(secret)) || secret == "" {
		t.Errorf("found %+v", all)
	}
}

// Only /readyz is asked of both.
func TestReadyOfBoth(t *testing.T) {
	says := func(status int, text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text+r.URL.Path+"\n")
		})
	}
	for _, c := range []struct {
		controller, hook int
		path, want       string
		status           int
	}{
		{200, 200, "/readyz", "c/readyz\n[+] webhook serves\n", 200},
		{503, 200, "/readyz", "c/readyz\n[+] webhook serves\n", 503},
		{200, 503, "/readyz", "c/readyz\n[-] not yet: webhook serves: h/readyz\n", 503},
		{503, 503, "/readyz", "c/readyz\n[-] not yet: webhook serves: h/readyz\n", 503},
		{200, 503, "/healthz", "c/healthz\n", 200},
		{404, 200, "/debug/nothing", "c/debug/nothing\n", 404},
	} {
		w := httptest.NewRecorder()
		withHook(says(c.controller, "c"), says(c.hook, "h")).ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
		if w.Code != c.status || w.Body.String() != c.want || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%+v gives %d %q %v", c, w.Code, w.Body, w.Header())
		}
	}
}
