package k8s

import (
	"context"
	"errors"
	"net/http"

	"github.com/cuegate/cuegate/engine"
)

// Explain walks through the decision about an object as it is now.
func (c *Controller) Explain(ctx context.Context, ref engine.Ref) (engine.Explanation, bool) {
	x, ok := c.watch.get(ref)
	by := c.loop.active.Load()
	if !ok || by == nil || ref.Kind != kindIngress && !isWorkload(ref.Kind) {
		return engine.Explanation{}, false
	}
	explain := by.engine.Explain
	if isNameOnly(x) {
		// Nothing else is kept of it: what it says, besides that it asks for nothing, must
		// not be shown as if it said nothing.
		x, explain = unasking(ref), by.engine.Decide
	}
	o, err := object(x)
	if err != nil {
		return engine.Explanation{}, false
	}
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	// What is wrong stands in the explanation too.
	_, e, _ := explain(ctx, o, c.loop.neighbours.Cluster())
	return e, true
}

// decideBoth gives the active decision about an object, and that of another engine.
func (c *Controller) decideBoth(ctx context.Context, ref engine.Ref, e *engine.Engine) (active, other engine.Desired, ok bool) {
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	now, ok := c.loop.desired[ref]
	if !ok {
		return active, other, false
	}
	r, ok := c.loop.decideWith(ctx, ref, e)
	return now.Desired, r.desired, ok
}

// Handler serves health, metrics, and explanations.
func (c *Controller) Handler() http.Handler {
	return newDiagnostics(diagnosticsOptions{
		Metrics: c.metrics, Bundles: c.bundles, Shadow: c.shadow, Explain: c.Explain, Plan: c.plan,
		Checks: []check{
			{"caches synced", c.watch.hasSynced},
			{"bundle loaded", c.loop.ready},
			{"first push done", c.hasPushed},
		},
	})
}

// hasPushed tells whether a push came to its end; whoever does not push has nothing
// to wait for but the first decisions.
func (c *Controller) hasPushed() bool {
	c.mu.Lock()
	pushes := c.pushing != nil
	c.mu.Unlock()
	if !pushes && c.options.Election != nil {
		c.loop.mu.RLock()
		defer c.loop.mu.RUnlock()
		return c.loop.started
	}
	return c.pushedOnce.Load()
}

// plan says what a push would change now.
func (c *Controller) plan(ctx context.Context) (any, error) {
	c.mu.Lock()
	term := c.pushing
	c.mu.Unlock()
	if term == nil {
		return nil, errors.New("this controller does not push now")
	}
	c.loop.mu.RLock()
	all := c.loop.wanted()
	c.loop.mu.RUnlock()
	return term.pusher.Plan(ctx, all)
}
