package k8s

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cuegate/cuegate/engine"
)

// Decide decides about an object, which need not be in the cluster yet, by the bundle in
// use and what is known of the cluster now. It may be called by many at once, beside
// everything else. The error is that of engine.Decide, or says that this controller is
// not ready.
func (c *Controller) Decide(ctx context.Context, o engine.Object) (engine.Desired, error) {
	if err := c.Ready(); err != nil {
		return engine.Desired{Object: o.Ref, Outcome: engine.Held}, err
	}
	if only := c.options.Namespaces; len(only) > 0 && !slices.Contains(only, o.Namespace) {
		// Nobody would look after it.
		return engine.Desired{Object: o.Ref, Outcome: engine.Ignored, Reasons: []engine.Reason{{
			ID: "namespace-not-watched", Msg: fmt.Sprintf("Namespace %q is not among those that this controller watches.", o.Namespace), Field: "metadata.namespace",
		}}}, nil
	}
	by := c.loop.active.Load().engine
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	d, _, err := by.Decide(ctx, o, c.loop.neighbours.Cluster())
	return d, err
}

// Ready tells whether objects can be decided about: what was in the cluster at the start
// is known, and a bundle is in use. The error says what is missing.
func (c *Controller) Ready() error {
	switch {
	case !c.watch.hasSynced():
		return errors.New("the caches have not synced yet")
	case !c.loop.ready():
		return c.bundles.ready()
	case !c.loop.viewed.Load():
		return errors.New("what is in the cluster has not been looked at yet")
	}
	return nil
}
