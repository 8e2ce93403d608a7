package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

// somePatch is one that a Decide may give.
const somePatch = `[{"op":"add","path":"/spec/template/metadata/annotations/injector.tyk.io~1status","value":"x"}]`

// sent gives a body of testdata, which a real API server sent, with some values set:
// path, value, path, value; a nil value deletes.
func sent(t testing.TB, name string, set ...any) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	body = bytes.TrimSpace(body)
	for i := 0; i < len(set) && err == nil; i += 2 {
		if path := set[i].(string); set[i+1] == nil {
			body, err = sjson.DeleteBytes(body, path)
		} else {
			body, err = sjson.SetBytes(body, path, set[i+1])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// newServer gives one that is not started.
func newServer(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deciding is a Decide that always answers the same, for an object of the outcome.
func deciding(d engine.Desired, err error) func(context.Context, engine.Object) (engine.Desired, error) {
	return func(context.Context, engine.Object) (engine.Desired, error) { return d, err }
}

// post sends a body as the API server does.
func post(h http.Handler, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/mutate?timeout=3s", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answered reads an answer as the API server does, and more strictly: fields that it
// does not know are an error. It holds it to the version that was sent.
func answered(t testing.TB, body []byte, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	strict := func(v any) {
		t.Helper()
		d := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Fatal(err)
		}
	}
	var v1 admissionv1.AdmissionReview
	var beta admissionv1beta1.AdmissionReview
	strict(&v1)
	strict(&beta)
	version := gjson.GetBytes(body, "apiVersion").String()
	if v1.Kind != "AdmissionReview" || v1.APIVersion != version || v1.Response == nil {
		t.Fatalf("a review of %s was answered with %s", version, w.Body)
	}
	if uid := gjson.GetBytes(body, "request.uid").String(); string(v1.Response.UID) != uid {
		t.Fatalf("the uid is %q, not %q", v1.Response.UID, uid)
	}
	if (len(v1.Response.Patch) > 0) != (v1.Response.PatchType != nil) {
		t.Fatalf("patch and patchType do not go together: %s", w.Body)
	}
	return v1.Response
}

func TestAnswers(t *testing.T) {
	ref := engine.Ref{Kind: "Deployment", Namespace: "shop", Name: "tea"}
	port := engine.Reason{ID: "port-unknown", Msg: "No container names a TCP port.", Field: "spec.template.spec.containers", Fix: "Name one."}
	refused := &engine.Refused{Object: ref, Reasons: []engine.Reason{port, {ID: "other", Msg: "It is wrong as a whole."}}}
	held := engine.Desired{Outcome: engine.Held, Reasons: refused.Reasons}
	injected := engine.Desired{Outcome: engine.Managed, Patch: []byte(somePatch)}
	const template = "request.object.spec.template."
	changed := []any{template + "spec.containers.0.image", "other:1"}

	stories := []struct {
		name    string
		body    []byte
		desired engine.Desired
		err     error

		undecided bool // Decide is not asked
		denied    bool
		patched   bool
		warnings  []string
		result    string
	}{
		{name: "patched, v1", body: sent(t, "create-v1"), desired: injected, patched: true, result: "Deployment patched"},
		{name: "patched, v1beta1", body: sent(t, "create-v1beta1"), desired: injected, patched: true, result: "Deployment patched"},
		{name: "an update is patched", body: sent(t, "update-v1"), desired: injected, patched: true, result: "Deployment patched"},
		{name: "an update that changes nothing of ours is patched too", body: sent(t, "update-v1", template+"spec.containers.0.image", "registry.example/tea:1.4"), desired: injected, patched: true, result: "Deployment patched"},
		{name: "only tried", body: sent(t, "update-v1", "request.dryRun", true), desired: injected, patched: true, result: "Deployment patched"},
		{name: "as it should be", body: sent(t, "update-v1beta1"), desired: engine.Desired{Outcome: engine.Managed}, result: "Deployment allowed"},
		{name: "an empty patch is none", body: sent(t, "create-v1"), desired: engine.Desired{Outcome: engine.Managed, Patch: []byte{}}, result: "Deployment allowed"},
		{
			name: "warned of", body: sent(t, "create-v1"), patched: true, result: "Deployment patched",
			desired:  engine.Desired{Outcome: engine.Managed, Patch: []byte(somePatch), Warnings: []engine.Reason{{ID: "old", Msg: "The annotation is old.", Fix: "Use another."}}},
			warnings: []string{"cuegate: The annotation is old. Use another. (old)"},
		},
		{name: "not asked", body: sent(t, "create-v1"), desired: engine.Desired{Outcome: engine.Ignored, Reasons: []engine.Reason{{ID: "not-asked", Msg: "No annotation."}}}, result: "Deployment allowed"},
		{
			name: "no longer asked: taken out again", body: sent(t, "create-v1"), patched: true, result: "Deployment patched",
			desired: engine.Desired{Outcome: engine.Ignored, Patch: []byte(somePatch), Reasons: []engine.Reason{{ID: "not-asked", Msg: "No annotation."}}},
		},
		{
			name: "ignored for another reason", body: sent(t, "create-v1"), result: "Deployment allowed",
			desired:  engine.Desired{Outcome: engine.Ignored, Reasons: []engine.Reason{{ID: "host-network", Msg: "The pod shares the network of its node."}}},
			warnings: []string{"cuegate: The pod shares the network of its node. (host-network)"},
		},
		{
			name: "held, without an error: its certificate is on its way", body: sent(t, "create-v1"), patched: true, result: "Deployment patched",
			desired: engine.Desired{Outcome: engine.Held, Patch: []byte(somePatch), Reasons: []engine.Reason{{ID: "identity-missing", Msg: "No certificate yet."}}},
		},

		{name: "refused at once", body: sent(t, "create-v1"), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{name: "refused, v1beta1", body: sent(t, "create-v1beta1"), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{name: "refused, wrapped", body: sent(t, "create-v1"), desired: held, err: fmt.Errorf("deciding: %w", refused), denied: true, result: "Deployment denied"},
		{name: "refused when the template changes", body: sent(t, "update-v1", changed...), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{name: "refused when an annotation comes", body: sent(t, "update-v1", template+"spec.containers.0.image", "registry.example/tea:1.4", `request.object.metadata.annotations.x\.y/z`, "1"), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{name: "refused when an annotation goes", body: sent(t, "update-v1", template+"spec.containers.0.image", "registry.example/tea:1.4", "request.object.metadata.annotations", nil), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{name: "refused when a label comes", body: sent(t, "update-v1", template+"spec.containers.0.image", "registry.example/tea:1.4", "request.object.metadata.labels.a", "1"), desired: held, err: refused, denied: true, result: "Deployment denied"},
		{
			name: "a refused one may still be scaled", body: sent(t, "update-v1", template+"spec.containers.0.image", "registry.example/tea:1.4", "request.object.spec.replicas", 9),
			desired: held, err: refused, result: "Deployment allowed",
			warnings: []string{"cuegate: No container names a TCP port. Name one. (port-unknown)", "cuegate: It is wrong as a whole. (other)"},
		},
		{
			name: "a refused one may lose a finalizer", body: sent(t, "update-v1", append([]any{"request.object.metadata.deletionTimestamp", "2026-01-02T03:04:05Z"}, changed...)...),
			desired: held, err: refused, result: "Deployment allowed",
			warnings: []string{"cuegate: No container names a TCP port. Name one. (port-unknown)", "cuegate: It is wrong as a whole. (other)"},
		},
		{name: "what is being deleted gets no sidecar", body: sent(t, "update-v1", "request.object.metadata.deletionTimestamp", "2026-01-02T03:04:05Z"), desired: injected, result: "Deployment allowed"},
		{
			name: "what is being deleted may lose a finalizer even if rules are broken", body: sent(t, "update-v1", "request.object.metadata.deletionTimestamp", "2026-01-02T03:04:05Z"),
			err: &engine.Broken{Object: ref, Reasons: []engine.Reason{port}}, result: "Deployment allowed",
		},
		{
			name: "the spec of a Service counts", desired: held, err: refused, denied: true, result: "Service denied",
			body: sent(t, "update-v1", "request.kind.kind", "Service", "request.object", map[string]any{"kind": "Service", "spec": map[string]any{"port": 1}}, "request.oldObject", map[string]any{"kind": "Service", "spec": map[string]any{"port": 2}}),
		},
		{
			name: "the status of a Service does not", desired: held, err: refused, result: "Service allowed",
			body: sent(t, "update-v1", "request.kind.kind", "Service", "request.object", map[string]any{"kind": "Service", "spec": map[string]any{"a": 1, "b": 2}, "status": 1},
				"request.oldObject", json.RawMessage(`{"kind":"Service","metadata":{"labels":{}},"spec":{"b": 2, "a": 1}}`)),
			warnings: []string{"cuegate: No container names a TCP port. Name one. (port-unknown)", "cuegate: It is wrong as a whole. (other)"},
		},

		{name: "deleted", body: sent(t, "delete-v1"), undecided: true, result: "Deployment allowed"},
		{name: "scaled", body: sent(t, "scale-v1"), undecided: true, result: "Scale allowed"},
		{name: "status", body: sent(t, "status-v1"), undecided: true, result: "Deployment allowed"},
		{name: "connected to", body: sent(t, "create-v1", "request.operation", "CONNECT", "request.object", nil), undecided: true, result: "Deployment allowed"},
		{
			name: "without a name", body: sent(t, "generate-name-v1"), desired: injected, result: "Deployment allowed",
			warnings: []string{"cuegate: Nothing can be injected into an object that has a metadata.generateName and no metadata.name. Give it a metadata.name. (name-missing)"},
		},
		{
			name: "without a name, and wrong", body: sent(t, "generate-name-v1"), desired: held, err: refused, result: "Deployment allowed",
			warnings: []string{"cuegate: Nothing can be injected into an object that has a metadata.generateName and no metadata.name. Give it a metadata.name. (name-missing)"},
		},
		{name: "without a name, and not asked", body: sent(t, "generate-name-v1"), desired: engine.Desired{Outcome: engine.Ignored, Reasons: []engine.Reason{{ID: "not-asked", Msg: "No annotation."}}}, result: "Deployment allowed"},

		{name: "fields that nobody knows", body: sent(t, "create-v1", "new", true, "request.new.er", []int{1}, "request.object.spec.newest", "x"), desired: injected, patched: true, result: "Deployment patched"},
		{name: "no uid", body: sent(t, "create-v1", "request.uid", nil), desired: injected, patched: true, result: "Deployment patched"},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			var asked []engine.Object
			server := newServer(t, Options{Metrics: registry, Decide: func(_ context.Context, o engine.Object) (engine.Desired, error) {
				asked = append(asked, o)
				return s.desired, s.err
			}})
			a := answered(t, s.body, post(server.Handler(), s.body))
			if a.Allowed == s.denied {
				t.Errorf("allowed: %t", a.Allowed)
			}
			if s.denied {
				want := &metav1.Status{
					Status: "Failure", Code: 422, Reason: metav1.StatusReasonInvalid,
					Message: "cuegate refuses " + asked[0].String() + ": spec.template.spec.containers: No container names a TCP port. Name one. (port-unknown); It is wrong as a whole. (other)",
					Details: &metav1.StatusDetails{Name: asked[0].Name, Group: "apps", Kind: asked[0].Kind, Causes: []metav1.StatusCause{
						{Type: "port-unknown", Message: "cuegate: No container names a TCP port. Name one. (port-unknown)", Field: "spec.template.spec.containers"},
						{Type: "other", Message: "cuegate: It is wrong as a whole. (other)", Field: "(the object)"},
					}},
				}
				if d := cmp.Diff(want, a.Result); d != "" {
					t.Errorf("the refusal is another one (-want +got):\n%s", d)
				}
			}
			want := ""
			if s.patched {
				want = somePatch
			}
			if string(a.Patch) != want {
				t.Errorf("patched with %q, want %q", a.Patch, want)
			}
			if s.patched && *a.PatchType != admissionv1.PatchTypeJSONPatch {
				t.Errorf("the patch is a %s", *a.PatchType)
			}
			if d := cmp.Diff(s.warnings, a.Warnings); d != "" {
				t.Errorf("other warnings (-want +got):\n%s", d)
			}
			if s.undecided != (len(asked) == 0) {
				t.Errorf("decided %d times", len(asked))
			}
			if got := counted(t, registry); got != s.result+" 1" {
				t.Errorf("counted as %q, want %q", got, s.result+" 1")
			}
		})
	}
}

// counted gives how many requests there were: "kind result number", in lines.
func counted(t testing.TB, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		if f.GetName() != "cuegate_webhook_request_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			var words []string
			for _, l := range m.GetLabel() { // sorted by their names
				words = append(words, l.GetValue())
			}
			lines = append(lines, fmt.Sprintf("%s %d", strings.Join(words, " "), m.GetHistogram().GetSampleCount()))
		}
	}
	return strings.Join(lines, "\n")
}

// TestAsked holds what is decided about to what was sent, byte for byte.
func TestAsked(t *testing.T) {
	stories := []struct {
		name string
		set  []any
		want engine.Object
	}{
		{name: "the object says it", want: engine.Object{Ref: engine.Ref{Kind: "Deployment", Namespace: "shop", Name: "tea"}, APIVersion: "apps/v1"}},
		{
			name: "the request fills in",
			set:  []any{"request.object.metadata.name", nil, "request.object.metadata.namespace", nil, "request.object.kind", nil, "request.object.apiVersion", nil, "request.name", "coffee", "request.namespace", "bar"},
			want: engine.Object{Ref: engine.Ref{Kind: "Deployment", Namespace: "bar", Name: "coffee"}, APIVersion: "apps/v1"},
		},
		{
			name: "the core group",
			set:  []any{"request.object", map[string]any{"spec": "x"}, "request.kind", map[string]any{"group": "", "version": "v1", "kind": "Service"}, "request.name", "tea"},
			want: engine.Object{Ref: engine.Ref{Kind: "Service", Namespace: "shop", Name: "tea"}, APIVersion: "v1"},
		},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			body := sent(t, "create-v1", s.set...)
			s.want.JSON = []byte(gjson.GetBytes(body, "request.object").Raw)
			var got engine.Object
			server := newServer(t, Options{Decide: func(_ context.Context, o engine.Object) (engine.Desired, error) {
				got = o
				return engine.Desired{}, nil
			}})
			answered(t, body, post(server.Handler(), body))
			if d := cmp.Diff(s.want, got); d != "" {
				t.Errorf("another object was decided about (-want +got):\n%s", d)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	ok := string(sent(t, "create-v1"))
	with := func(set ...any) string { return string(sent(t, "create-v1", set...)) }
	stories := []struct {
		name, method, path, contentType, body string
		status                                int
		text                                  string
	}{
		{name: "wrong method", method: http.MethodGet, status: 405, text: "Method Not Allowed"},
		{name: "wrong path", path: "/validate", status: 404, text: "not found"},
		{name: "YAML", contentType: "application/yaml", body: ok, status: 415, text: "application/json"},
		{name: "no content type", contentType: "-", body: ok, status: 415, text: "application/json"},
		{name: "empty", status: 400, text: "the body is empty"},
		{name: "too large", body: ok + strings.Repeat(" ", 8192), status: 413, text: "more than 8192 bytes"},
		{name: "cut off", body: ok[:len(ok)-1], status: 400, text: "not JSON"},
		{name: "two documents", body: ok + ok, status: 400, text: "not JSON"},
		{name: "a list", body: "[" + ok + "]", status: 400, text: "not a JSON object"},
		{name: "null", body: "null", status: 400, text: "not a JSON object"},
		{name: "another kind", body: with("kind", "TokenReview"), status: 400, text: `kind "TokenReview"`},
		{name: "no kind", body: with("kind", nil), status: 400, text: `kind ""`},
		{name: "another version", body: with("apiVersion", "admission.k8s.io/v2"), status: 400, text: `version "admission.k8s.io/v2"; known are admission.k8s.io/v1 and admission.k8s.io/v1beta1`},
		{name: "a version that is no text", body: with("apiVersion", 1), status: 400, text: `version ""`},
		{name: "an answer", body: with("request", nil, "response.allowed", true), status: 400, text: "no request"},
		{name: "a request that is none", body: with("request", "please"), status: 400, text: "no request"},
		{name: "no object", body: with("request.object", nil), status: 400, text: "the request to CREATE has no object"},
		{name: "an object that is none", body: with("request.object", []int{1}), status: 400, text: "the request to CREATE has no object"},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			server := newServer(t, Options{Metrics: registry, MaxBody: 8192, Decide: func(context.Context, engine.Object) (engine.Desired, error) {
				t.Error("something was decided")
				return engine.Desired{}, nil
			}})
			r := httptest.NewRequest(orElse(s.method, http.MethodPost), orElse(s.path, "/mutate"), strings.NewReader(s.body))
			if s.contentType != "-" {
				r.Header.Set("Content-Type", orElse(s.contentType, "application/json; charset=utf-8"))
			}
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, r)
			if w.Code != s.status || !strings.Contains(w.Body.String(), s.text) {
				t.Errorf("%d %q, want %d and %q", w.Code, w.Body, s.status, s.text)
			}
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("the text is %s", w.Header().Get("Content-Type"))
			}
			if s.method == "" && s.path == "" && counted(t, registry) != " failed 1" {
				t.Errorf("counted as %q", counted(t, registry))
			}
		})
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// TestLimit finds the edge of what a body may have, whether its length is told or not.
func TestLimit(t *testing.T) {
	body := sent(t, "create-v1")
	for _, told := range []bool{true, false} {
		for _, limit := range []int{len(body), len(body) - 1} {
			server := newServer(t, Options{MaxBody: int64(limit), Decide: deciding(engine.Desired{}, nil)})
			r := httptest.NewRequest(http.MethodPost, "/mutate", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			want := http.StatusOK
			if limit < len(body) {
				want = http.StatusRequestEntityTooLarge
			}
			if !told {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			server.Handler().ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%d bytes of %d, told %t: status %d, want %d", len(body), limit, told, w.Code, want)
			}
		}
	}
}

// TestLargeObject: what the API server takes, twice, is decided about.
func TestLargeObject(t *testing.T) {
	large := strings.Repeat("x", 3<<20)
	body := sent(t, "update-v1", "request.object.metadata.annotations.large", large, "request.oldObject.metadata.annotations.large", large)
	server := newServer(t, Options{Decide: deciding(engine.Desired{Patch: []byte(somePatch)}, nil)})
	if a := answered(t, body, post(server.Handler(), body)); string(a.Patch) != somePatch {
		t.Errorf("patched with %q", a.Patch)
	}
}

// TestDepth: who nests without end is told so, and stops nobody else.
func TestDepth(t *testing.T) {
	server := newServer(t, Options{Decide: deciding(engine.Desired{}, nil)})
	nested := func(n int) []byte {
		return sent(t, "create-v1", "request.object.spec", json.RawMessage(strings.Repeat("[", n)+strings.Repeat("]", n)))
	}
	for _, s := range []struct {
		body   []byte
		status int
	}{
		{nested(9000), 200},
		{nested(10000), 400},
		{bytes.Repeat([]byte("["), DefaultMaxBody), 400},
		{bytes.Repeat([]byte(`{"":`), DefaultMaxBody/4), 400},
		{sent(t, "create-v1", "request.object.spec", strings.Repeat(`[\"`, 20000)), 200}, // brackets of a text
	} {
		if w := post(server.Handler(), s.body); w.Code != s.status {
			t.Errorf("%.100q...: status %d, want %d", s.body, w.Code, s.status)
		}
	}
}

// TestFailure: what the program or its rules are at fault for is left to the
// failurePolicy.
func TestFailure(t *testing.T) {
	const secret = "correct horse battery staple"
	body := sent(t, "update-v1", "request.object.metadata.annotations.secret", secret)
	stories := []struct {
		name   string
		decide func(context.Context, engine.Object) (engine.Desired, error)
		text   string
		logged string
	}{
		{
			name:   "broken rules",
			decide: deciding(engine.Desired{}, &engine.Broken{Object: engine.Ref{Kind: "Deployment", Namespace: "shop", Name: "tea"}, Reasons: []engine.Reason{{ID: "policy-failed", Msg: "Division\nby zero."}}}),
			text:   "Deployment/shop/tea not decided: Division by zero. (policy-failed)\n", logged: "policy-failed",
		},
		{name: "anything else", decide: deciding(engine.Desired{}, errors.New("the caches are empty")), text: "the caches are empty\n", logged: "the caches are empty"},
		{
			name: "a panic of the runtime",
			decide: func(_ context.Context, o engine.Object) (engine.Desired, error) {
				return engine.Desired{Patch: o.JSON[len(o.JSON)+1:]}, nil
			},
			text: "the decision about Deployment/shop/tea panicked\n", logged: "slice bounds out of range",
		},
		{
			name:   "a panic that tells too much",
			decide: func(_ context.Context, o engine.Object) (engine.Desired, error) { panic(string(o.JSON)) },
			text:   "the decision about Deployment/shop/tea panicked\n", logged: "panic=string",
		},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			server := newServer(t, Options{Metrics: registry, Log: slog.New(slog.NewTextHandler(&log, nil)), Decide: s.decide})
			w := post(server.Handler(), body)
			if w.Code != http.StatusInternalServerError || w.Body.String() != s.text {
				t.Errorf("%d %q, want 500 and %q", w.Code, w.Body, s.text)
			}
			if !strings.Contains(log.String(), s.logged) || !strings.Contains(log.String(), "Deployment/shop/tea") {
				t.Errorf("%q is not in the log:\n%s", s.logged, log.String())
			}
			if strings.Contains(log.String()+w.Body.String(), secret) {
				t.Error("what the object holds was shown")
			}
			if got := counted(t, registry); got != "Deployment failed 1" {
				t.Errorf("counted as %q", got)
			}
		})
	}
}

// TestTimeout: the API server says how long it waits, and is answered before.
func TestTimeout(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"":              1900 * time.Millisecond,
		"?timeout=3s":   2900 * time.Millisecond,
		"?timeout=10s":  9900 * time.Millisecond,
		"?timeout=1s":   900 * time.Millisecond,
		"?timeout=10ms": 5 * time.Millisecond,
		"?timeout=1h":   29900 * time.Millisecond,
		"?timeout=soon": 1900 * time.Millisecond,
		"?timeout=-1s":  1900 * time.Millisecond,
	} {
		var left time.Duration
		server := newServer(t, Options{Decide: func(ctx context.Context, _ engine.Object) (engine.Desired, error) {
			end, _ := ctx.Deadline()
			left = time.Until(end)
			if query == "?timeout=10ms" {
				<-ctx.Done()
			}
			return engine.Desired{}, ctx.Err()
		}})
		r := httptest.NewRequest(http.MethodPost, "/mutate"+query, bytes.NewReader(sent(t, "create-v1")))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, r)
		// How long it took to come here is not known; a tenth of it is plenty.
		if left > want || want > 10*time.Millisecond && left < want*9/10 {
			t.Errorf("%q: the decision has %s, want %s", query, left, want)
		}
		if query == "?timeout=10ms" && (w.Code != 500 || !strings.Contains(w.Body.String(), "no answer within 5ms")) {
			t.Errorf("out of time: %d %s", w.Code, w.Body)
		}
	}
}

// TestMany answers 200 questions at the same time, each with its own patch.
func TestMany(t *testing.T) {
	const clients = 200
	registry := prometheus.NewRegistry()
	var inside sync.WaitGroup
	inside.Add(clients)
	server := newServer(t, Options{Metrics: registry, Decide: func(_ context.Context, o engine.Object) (engine.Desired, error) {
		inside.Done()
		inside.Wait() // until all are here
		if o.Name == "c7" {
			return engine.Desired{Outcome: engine.Held}, &engine.Refused{Object: o.Ref, Reasons: []engine.Reason{{ID: "seven", Msg: "No."}}}
		}
		return engine.Desired{Patch: fmt.Appendf(nil, `[{"op":"add","path":"/x","value":%q}]`, o.Name)}, nil
	}})
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			name := fmt.Sprint("c", i)
			body := sent(t, []string{"create-v1", "create-v1beta1"}[i%2], "request.object.metadata.name", name, "request.uid", "uid-"+name)
			w := post(server.Handler(), body)
			if i == 7 {
				if gjson.GetBytes(w.Body.Bytes(), "response.allowed").Bool() {
					t.Error("c7 was allowed")
				}
				return
			}
			var v admissionv1.AdmissionReview
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.Response == nil {
				t.Errorf("%s: %v: %s", name, err, w.Body)
				return
			}
			if string(v.Response.UID) != "uid-"+name || !strings.Contains(string(v.Response.Patch), `"`+name+`"`) {
				t.Errorf("%s was given the answer of another: %s", name, w.Body)
			}
		})
	}
	all.Wait()
	if got := counted(t, registry); got != "Deployment denied 1\nDeployment patched 199" {
		t.Errorf("counted as %q", got)
	}
}

// TestKinds: who makes up kinds does not fill the memory.
func TestKinds(t *testing.T) {
	registry := prometheus.NewRegistry()
	server := newServer(t, Options{Metrics: registry, Decide: deciding(engine.Desired{}, nil)})
	for i := range 100 {
		post(server.Handler(), sent(t, "create-v1", "request.kind.kind", fmt.Sprint("Kind", i)))
	}
	lines := strings.Split(counted(t, registry), "\n")
	if len(lines) != maxKinds+1 || !slices.Contains(lines, "other allowed 80") {
		t.Errorf("%d series: %q", len(lines), lines)
	}
}

func TestMetricsLint(t *testing.T) {
	registry := prometheus.NewRegistry()
	server := newServer(t, Options{Metrics: registry, Decide: deciding(engine.Desired{}, nil)})
	post(server.Handler(), sent(t, "create-v1"))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
