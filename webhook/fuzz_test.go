package webhook

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

// FuzzReview sends any body at all. It is answered by the rules, or told what is wrong
// with it, and what is decided about is what was sent.
func FuzzReview(f *testing.F) {
	seeds := []string{
		"", "null", "[]", "{",
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","kind":{"group":"apps","version":"v1","kind":"Deployment"},"name":"tea","namespace":"shop","operation":"CREATE","object":{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"generateName":"tea-","annotations":{"a/b":"\u00e9"}},"spec":{"template":{}}},"oldObject":null}}`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"1","operation":"UPDATE","object":{"metadata":{"name":"tea","labels":{"a":"1"}},"spec":{"a":[1.0,"x"]}},"oldObject":{"metadata":{"labels":{"a":"1"}},"spec":{"a":[1.0,"x"]}}}}`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"operation":"UPDATE","object":{"metadata":{"deletionTimestamp":"2026-01-02T03:04:05Z"}}}}`,
		`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"operation":"DELETE","subResource":"scale","dryRun":true}}`,
		string(sent(f, "create-v1")),
	}
	for i, body := range seeds {
		f.Add([]byte(body), byte(i))
	}
	var outcome byte
	var asked *engine.Object
	server := newServer(f, Options{Decide: func(_ context.Context, o engine.Object) (engine.Desired, error) {
		asked = &o
		switch reason := (engine.Reason{ID: "x", Msg: string(o.JSON)}); outcome % 3 {
		case 1:
			return engine.Desired{Outcome: engine.Managed, Patch: []byte(somePatch)}, nil
		case 2:
			return engine.Desired{Outcome: engine.Held}, &engine.Refused{Object: o.Ref, Reasons: []engine.Reason{reason}}
		default:
			return engine.Desired{Outcome: engine.Ignored, Reasons: []engine.Reason{reason}}, nil
		}
	}})
	f.Fuzz(func(t *testing.T, body []byte, o byte) {
		outcome, asked = o, nil
		w := post(server.Handler(), body)
		if asked != nil {
			var any map[string]any
			if json.Unmarshal(asked.JSON, &any) != nil {
				t.Errorf("decided about what is no object: %q", asked.JSON)
			}
		}
		switch w.Code {
		case http.StatusOK:
			if !json.Valid(body) {
				t.Errorf("what is no JSON was answered: %q", body)
			}
			if a := answered(t, body, w); len(a.Patch) > 0 && asked == nil {
				t.Error("patched, and nothing was decided")
			}
		case http.StatusBadRequest:
			if w.Body.Len() == 0 || w.Body.Len() > 2*maxErrorBytes {
				t.Errorf("the failure is told in %d bytes", w.Body.Len())
			}
			if asked != nil {
				t.Error("decided, and not answered")
			}
			if wellFormed(body) {
				t.Errorf("a review was taken for none: %s: %q", w.Body, body)
			}
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

// wellFormed tells whether encoding/json finds a review in it that has all that is
// needed.
func wellFormed(body []byte) bool {
	var v map[string]json.RawMessage
	var request map[string]json.RawMessage
	var kind, version, operation string
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &v) != nil || json.Unmarshal(v["kind"], &kind) != nil || json.Unmarshal(v["apiVersion"], &version) != nil || json.Unmarshal(v["request"], &request) != nil {
		return false
	}
	_ = json.Unmarshal(request["operation"], &operation)
	_ = json.Unmarshal(request["object"], &object)
	return kind == "AdmissionReview" && (version == reviewV1 || version == reviewV1beta1) && request != nil &&
		(operation != "CREATE" && operation != "UPDATE" || object != nil)
}
