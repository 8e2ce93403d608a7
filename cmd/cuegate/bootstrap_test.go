package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
)

// ground is a Dashboard and a cluster to bootstrap.
type ground struct {
	dashboard *dashboardtest.Dashboard
	client    *fake.Clientset
	flags     bootstrapping

	// fail stops the n-th thing that is asked of either, after it was done or before;
	// asked counts.
	fail, asked int
	after       bool
	mu          sync.Mutex
}

func newGround(t *testing.T) *ground {
	t.Helper()
	g := &ground{dashboard: dashboardtest.New(dashboardtest.Config{AdminSecret: storySecret}), client: fake.NewClientset()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.hit() {
			g.dashboard.ServeHTTP(w, r)
			return
		}
		if g.after {
			g.dashboard.ServeHTTP(httptest.NewRecorder(), r)
		}
		// The connection stays, so that net/http does not ask again by itself.
		http.Error(w, "bad gateway", http.StatusBadGateway)
	}))
	t.Cleanup(server.Close)
	g.client.PrependReactor("*", "secrets", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if !g.hit() {
			return false, nil, nil
		}
		if g.after {
			switch a := a.(type) {
			case clienttesting.UpdateAction: // a creation too
				s := a.GetObject().(*corev1.Secret)
				if err := g.client.Tracker().Add(s); apierrors.IsAlreadyExists(err) {
					_ = g.client.Tracker().Update(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, s, s.Namespace)
				}
			}
		}
		return true, nil, errors.New("the connection broke")
	})
	g.flags = bootstrapping{dashboard: server.URL, timeout: 10 * time.Second, showSecrets: true, adminSecretFile: filepath.Join(t.TempDir(), "admin")}
	if err := os.WriteFile(g.flags.adminSecretFile, []byte(storySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *ground) hit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	return g.asked == g.fail
}

// run is one run of the command.
func (g *ground) run(t *testing.T) (stdout, stderr string, err error) {
	t.Helper()
	g.asked = 0
	var out, log bytes.Buffer
	k := &secretKeeper{client: g.client, namespace: "tyk", name: "dashboard"}
	err = g.flags.run(t.Context(), k, &out, &log)
	for _, secret := range g.secrets() {
		if strings.Contains(log.String(), secret) || err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) || strings.Contains(out.String(), storySecret) {
			t.Errorf("a secret is told:\n%s\n%s\n%v", out.String(), log.String(), err)
		}
	}
	return out.String(), log.String(), err
}

// secrets are all there are, or were.
func (g *ground) secrets() []string {
	all := []string{storySecret}
	for _, u := range g.dashboard.Users() {
		all = append(append(all, u.Key), u.Passwords...)
	}
	return all
}

func (g *ground) secret(t *testing.T) *corev1.Secret {
	t.Helper()
	s, err := g.client.CoreV1().Secrets("tyk").Get(context.Background(), "dashboard", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expectDone holds the Secret to the Dashboard.
func (g *ground) expectDone(t *testing.T) {
	t.Helper()
	g.fail = 0
	s, orgs, users := g.secret(t), g.dashboard.Organisations(), g.dashboard.Users()
	if len(orgs) != 1 || len(users) != 1 || len(users[0].Passwords) == 0 {
		t.Fatalf("there are %d organisations and %d users", len(orgs), len(users))
	}
	u := users[0]
	want := map[string]string{"organisation": "Cuegate", "orgID": orgs[0].ID, "email": u.Email, "userID": u.ID, "secret": u.Key, "password": u.Passwords[len(u.Passwords)-1]}
	got := map[string]string{}
	for name, value := range s.Data {
		got[name] = string(value)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || s.Labels[bootstrapLabel] != bootstrapValue || s.Type != corev1.SecretTypeOpaque {
		t.Errorf("the Secret has %v, want %v", got, want)
	}
}

// times counts how often a text has the secrets of the Dashboard's first user.
func (g *ground) times(text string) int {
	u := g.dashboard.Users()[0]
	return strings.Count(text, u.Key) + strings.Count(text, u.Passwords[len(u.Passwords)-1])
}

func TestBootstrapIntoSecret(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	out, _, err := g.run(t)
	if err != nil {
		t.Fatal(err)
	}
	g.expectDone(t)
	if g.times(out) != 2 || !strings.Contains(out, "All of it is in the Secret tyk/dashboard. Secrets are not shown again.") {
		t.Errorf("key and password are not shown once:\n%s", out)
	}
	if !strings.Contains(out, "CUEGATE_SECRET from the key \"secret\" of that Secret, and\nwith `orgID: "+g.dashboard.Organisations()[0].ID+"`") {
		t.Errorf("no word of what to do next:\n%s", out)
	}
	before := g.secret(t)
	out, log, err := g.run(t)
	if err != nil || log != "" {
		t.Errorf("%v\n%s", err, log)
	}
	if g.times(out) != 0 || !strings.Contains(out, "kubectl get secret -n tyk dashboard") {
		t.Errorf("the second run shows:\n%s", out)
	}
	if after := g.secret(t); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Error("the second run wrote the Secret")
	}
	g.expectDone(t)
}

// A failure of anything that is asked of the Dashboard or of the API server is mended by
// the next run, which then shows what was not shown.
func TestBootstrapIntoSecretResumes(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after=%t", after), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				g := newGround(t)
				g.fail, g.after = n, after
				out, log, err := g.run(t)
				if asked := g.asked; asked < n {
					if err != nil || n < 12 {
						t.Errorf("only %d things were asked: %v", asked, err)
					}
					return
				}
				g.fail = 0
				if err == nil {
					// A call that was made once more did not fail after all.
					if g.times(out) != 2 {
						t.Errorf("%d failed: nothing is shown:\n%s", n, out)
					}
					g.expectDone(t)
					continue
				}
				if out != "" {
					t.Errorf("%d failed: it prints\n%s", n, out)
				}
				if left := len(g.dashboard.Organisations()) > 0; left && !strings.Contains(log, "the same command goes on from there") {
					t.Errorf("%d failed: no word of going on:\n%s", n, log)
				}
				out, _, err = g.run(t)
				if err != nil {
					t.Errorf("after %d failed: %v", n, err)
					continue
				}
				g.expectDone(t)
				// Where all was done and only the word of it got lost, the Secret has it.
				if shown := g.times(out); shown != 2 && !(after && shown == 0 && strings.Contains(out, "kubectl get secret")) {
					t.Errorf("after %d failed, secrets are shown %d times:\n%s", n, shown, out)
				}
			}
		})
	}
}

func TestBootstrapLeavesForeignSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		labels map[string]string
		data   map[string][]byte
		want   string
	}{
		"somebody's": {nil, map[string][]byte{"secret": []byte("hands off")}, "is somebody else's (it has no label cuegate.dev/bootstrap: dashboard), and is left alone: name another with --secret-name"},
		"edited":     {map[string]string{bootstrapLabel: bootstrapValue}, map[string][]byte{"secret": []byte("hands off")}, "was changed by hand"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "tyk", Name: "dashboard", Labels: c.labels}, Data: c.data}
			if err := g.client.Tracker().Add(s); err != nil {
				t.Fatal(err)
			}
			_, _, err := g.run(t)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hands off") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(g.dashboard.Organisations()) != 0 || string(g.secret(t).Data["secret"]) != "hands off" {
				t.Error("something was written")
			}
		})
	}
}

// What somebody else put into the Secret stays.
func TestBootstrapKeepsOtherData(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	if _, _, err := g.run(t); err != nil {
		t.Fatal(err)
	}
	s := g.secret(t)
	s.Data["note"], s.Labels["team"] = []byte("ours"), "edge"
	if _, err := g.client.CoreV1().Secrets("tyk").Update(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.flags.rotateKey = true
	old := g.dashboard.Users()[0].Key
	out, _, err := g.run(t)
	if err != nil {
		t.Fatal(err)
	}
	s = g.secret(t)
	if string(s.Data["note"]) != "ours" || s.Labels["team"] != "edge" || string(s.Data["secret"]) == old || g.times(out) != 1 {
		t.Errorf("%v %v, shown %d times", len(s.Data), s.Labels, g.times(out))
	}
}

// The API server's refusals come before anything is made in the Dashboard, and say what
// to do.
func TestBootstrapWithoutRights(t *testing.T) {
	t.Parallel()
	secrets := schema.GroupResource{Resource: "secrets"}
	for name, c := range map[string]struct {
		verb string
		err  error
		want string
	}{
		"reading":      {"get", apierrors.NewForbidden(secrets, "dashboard", nil), "it takes the right to get, create and update Secrets in the namespace tyk"},
		"writing":      {"create", apierrors.NewForbidden(secrets, "dashboard", nil), "it takes the right to get, create and update Secrets in the namespace tyk"},
		"no namespace": {"create", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "tyk"), "make it first: kubectl create namespace tyk"},
		"another run":  {"create", apierrors.NewAlreadyExists(secrets, "dashboard"), "another bootstrap seems to be at work"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			g.client.PrependReactor(c.verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
			_, _, err := g.run(t)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(g.dashboard.Organisations()) != 0 || len(g.dashboard.Users()) != 0 {
				t.Error("something was made")
			}
		})
	}
}

// The whole command finds the API server, and a Secret goes over the wire as one.
func TestBootstrapCommand(t *testing.T) {
	g := newGround(t)
	var stored corev1.Secret
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodGet && stored.Name == "":
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "edge").Status())
			return
		case r.Method == http.MethodPost || r.Method == http.MethodPut:
			stored = corev1.Secret{}
			body, err := io.ReadAll(r.Body)
			if err == nil {
				_, _, err = scheme.Codecs.UniversalDeserializer().Decode(body, nil, &stored)
			}
			if err != nil {
				t.Error(err)
			}
		}
		if !strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/edge/secrets") {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		_ = json.NewEncoder(w).Encode(stored)
	}))
	defer api.Close()
	config := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: %q}}], contexts: [{name: x, context: {cluster: x, user: x, namespace: edge}}], users: [{name: x, user: {}}]}", api.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	code := run(t.Context(), []string{"bootstrap", "--dashboard", g.flags.dashboard, "--admin-secret-file", g.flags.adminSecretFile, "--kubeconfig", config, "--secret-name", "edge"}, nil, &out, &log)
	if code != exitOK {
		t.Fatalf("%d: %s", code, log.String())
	}
	u := g.dashboard.Users()[0]
	if stored.Name != "edge" || string(stored.Data["secret"]) != u.Key || string(stored.Data["password"]) != u.Passwords[0] {
		t.Errorf("the Secret %s has %d fields", stored.Name, len(stored.Data))
	}
	if !strings.Contains(out.String(), "the Secret edge/edge") {
		t.Error(out.String())
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(u.Key))
	if strings.Contains(log.String(), u.Key) || strings.Contains(log.String(), encoded) {
		t.Errorf("the log has the key: %s", log.String())
	}
}

func TestFileKeeper(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "it's.env")
	g := newGround(t)
	runs := func() (string, error) {
		var out bytes.Buffer
		err := g.flags.run(t.Context(), &fileKeeper{name: name}, &out, &bytes.Buffer{})
		return out.String(), err
	}
	// One that was only begun is gone on with, and one that others may read is closed.
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := runs()
	if err != nil || g.times(out) != 2 {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if !strings.Contains(out, `it'\''s.env'`) {
		t.Errorf("the name would not survive a shell:\n%s", out)
	}
	if out, err := runs(); err != nil || g.times(out) != 0 {
		t.Errorf("%v\n%s", err, out)
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	// Of two that begin at once, one stops.
	k := &fileKeeper{name: filepath.Join(t.TempDir(), "new.env")}
	if _, err := k.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := (&fileKeeper{name: name}).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.save(t.Context(), state); err == nil || !strings.Contains(err.Error(), "another bootstrap seems to be at work") {
		t.Error(err)
	}
}
