package engine

import (
	"context"
	"errors"
	"testing"
)

// A panic, here for want of a bundle, is the object's own problem: it is held, and the
// program goes on.
func TestPanicHoldsTheObject(t *testing.T) {
	o := Object{Ref: Ref{Kind: "Ingress", Namespace: "shop", Name: "tea"}, APIVersion: "networking.k8s.io/v1",
		JSON: []byte(`{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "shop", "name": "tea"}, "spec": {}}`)}
	d, _, err := new(Engine).Decide(context.Background(), o, Cluster{})
	var broken *Broken
	if !errors.As(err, &broken) || broken.Reasons[0].ID != "engine-failed" || d.Outcome != Held || len(d.Definitions) > 0 {
		t.Errorf("%s: %v", d.Outcome, err)
	}
}
