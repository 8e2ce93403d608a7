package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

// pushTerm is the time in which this controller pushes.
type pushTerm struct {
	pusher     Pusher
	ledger     *ledger
	generation uint64
	// trouble is why no targets could be found, as it was logged last.
	trouble string
}

// terms pushes and tells, each for as long as this controller is the one to. fail ends
// the controller with an error.
func (c *Controller) terms(ctx context.Context, fail func(error)) error {
	both := func(ctx context.Context) {
		c.metrics.leading(true)
		defer c.metrics.leading(false)
		var running sync.WaitGroup
		running.Go(func() { fail(c.push(ctx)) })
		running.Go(func() { c.attend(ctx, fail) })
		running.Wait()
	}
	e := c.options.Election
	switch {
	case e == nil:
		both(ctx)
		return nil
	case !c.options.ElectTeller:
		return e.lead(ctx, c.options.Client, c.log, both)
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { fail(c.push(ctx)) })
	return e.lead(ctx, c.options.Client, c.log, func(ctx context.Context) {
		c.metrics.leading(true)
		defer c.metrics.leading(false)
		c.attend(ctx, fail)
	})
}

// attend does what one controller alone is to do for the cluster, until ctx ends: it
// tells authors, and looks after the mesh.
func (c *Controller) attend(ctx context.Context, fail func(error)) {
	recorder, stop := newRecorder(c.options.Client)
	defer stop()
	c.recorder.Store(&recorder)
	defer c.recorder.Store(nil)
	var running sync.WaitGroup
	running.Go(func() { c.tell(ctx, recorder) })
	if c.mesh != nil {
		running.Go(func() { c.keepMesh(ctx, recorder, fail) })
	}
	running.Wait()
}

// push pushes until ctx ends. Who cannot, and goes on, would keep others from it.
func (c *Controller) push(ctx context.Context) error {
	term := &pushTerm{ledger: newLedger()}
	pusher, err := c.options.NewPusher(func(p Pushed) { c.pushed(term, p) })
	if err != nil {
		return fmt.Errorf("nothing can be pushed: %w", err)
	}
	term.pusher = pusher
	c.beginPush(term)
	err = pusher.Run(ctx)
	c.mu.Lock()
	c.pushing = nil
	c.mu.Unlock()
	c.metrics.pushEnded()
	return err
}

// beginPush hands over what is wanted already.
func (c *Controller) beginPush(term *pushTerm) {
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushing = term
	if !c.loop.started {
		return
	}
	for _, d := range c.loop.desired {
		c.toTell(term.ledger.decided(1, d.bundle, d.Desired))
	}
	term.generation = 1
	term.pusher.Want(c.loop.wanted())
}

// want hands over what is wanted now.
func (c *Controller) want() {
	var needs meshNeeds
	c.loop.mu.RLock()
	all, ok := c.loop.wanted(), c.loop.started
	if c.mesh != nil {
		needs.identities, needs.namespaces = c.loop.needs()
	}
	c.loop.mu.RUnlock()
	if !ok {
		return
	}
	if c.mesh != nil {
		c.mesh.want(needs)
	}
	c.metrics.wanted(all)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushing != nil {
		c.pushing.generation++
		c.pushing.pusher.Want(all)
	}
}

// decided is told of each decision, and whether it is another than before.
func (c *Controller) decided(d engine.Desired, bundle string, took time.Duration, changed bool) {
	c.metrics.decided(d, took)
	if c.shadow != nil {
		c.shadow.decided(d.Object)
	}
	if c.mesh != nil {
		c.mesh.look(d.Object)
	}
	if !changed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushing != nil {
		c.toTell(c.pushing.ledger.decided(c.pushing.generation+1, bundle, d))
	}
}

func (c *Controller) gone(ref engine.Ref) {
	c.metrics.gone(ref)
	if c.shadow != nil {
		c.shadow.gone(ref)
	}
	if c.mesh != nil {
		c.mesh.look(ref)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushing != nil {
		c.pushing.ledger.gone(ref)
	}
	c.toTell([]engine.Ref{ref}) // who tells forgets it
}

// pushed is told of every push.
func (c *Controller) pushed(term *pushTerm, p Pushed) {
	targets := term.pusher.Targets()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushing != term {
		return // its time is over
	}
	c.metrics.pushed(p, namesOf(targets))
	if p.Err == nil && p.Held == "" && p.Generation > 0 {
		c.pushedOnce.Store(true)
	}
	// Targets are looked for every second: one line for one trouble with that.
	trouble := ""
	if p.Target == "" && p.Err != nil {
		trouble = p.Err.Error()
	}
	if trouble == "" || trouble != term.trouble {
		logPush(c.log, p)
	}
	term.trouble = trouble
	c.toTell(term.ledger.pushed(p, targets))
}

func logPush(log *slog.Logger, p Pushed) {
	log = log.With("target", p.Target)
	switch {
	case p.Err != nil:
		log.Warn("a push failed", "error", p.Err)
	case p.Held != "":
		log.Warn(p.Held)
	case p.Created+p.Updated+p.Deleted+p.Drift > 0:
		log.Info("pushed", "created", p.Created, "updated", p.Updated, "deleted", p.Deleted, "unchanged", p.Unchanged, "drift", p.Drift, "took", p.Took.String())
	}
	for _, f := range p.Failed {
		log.Warn("a definition is not as it should be", "object", f.Object.String(), "api_id", f.ID, "error", f.Err)
	}
	for _, f := range p.Certificates {
		log.Warn("a certificate cannot be served", "secret", f.Secret, "error", f.Err)
	}
}

// toTell has authors told. The caller holds the lock.
func (c *Controller) toTell(refs []engine.Ref) {
	if c.telling != nil {
		c.telling.tell(refs...)
	}
}

// tell tells authors what became of their objects, until ctx ends.
func (c *Controller) tell(ctx context.Context, recorder record.EventRecorder) {
	begun := time.Now()
	t := newTeller(tellerOptions{
		Client: c.options.Client, Object: c.object, Recorder: recorder, Verdict: c.verdict, Publish: c.publish.addresses,
		Old: func(ref engine.Ref) bool {
			at, known := c.loop.since(ref)
			return known && at.Before(begun)
		},
		By: c.options.Engine.ClusterID, Log: c.log,
	})
	c.mu.Lock()
	c.telling = t
	c.mu.Unlock()
	c.tellAll(t)
	if c.service != nil {
		r, err := c.service.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
			AddFunc:    func(any, bool) { c.tellAll(t) },
			UpdateFunc: func(_, _ any) { c.tellAll(t) },
			DeleteFunc: func(any) { c.tellAll(t) },
		})
		if err == nil {
			defer func() { _ = c.service.RemoveEventHandler(r) }()
		}
	}
	t.run(ctx)
	c.mu.Lock()
	c.telling = nil
	c.mu.Unlock()
	if c.options.ClearOnShutdown && !errors.Is(context.Cause(ctx), ErrLostLease) {
		var all []*networkingv1.Ingress
		c.watch.each(kindIngress, func(o any) { all = append(all, o.(*networkingv1.Ingress)) })
		if err := c.publish.retract(ctx, c.options.Client, all); err != nil {
			c.log.Warn("addresses stay in the status of Ingresses", "error", err)
		}
	}
}

// tellAll has every author told, of what they have not been told yet.
func (c *Controller) tellAll(t *teller) {
	c.watch.each(kindIngress, func(o any) {
		ing := o.(*networkingv1.Ingress)
		t.tell(engine.Ref{Kind: kindIngress, Namespace: ing.Namespace, Name: ing.Name})
	})
	c.watch.eachWorkload(func(ref engine.Ref, _ workload) { t.tell(ref) })
}

func (c *Controller) verdict(ref engine.Ref) (verdict, bool) {
	c.mu.Lock()
	term := c.pushing
	c.mu.Unlock()
	if term == nil {
		return verdict{}, false
	}
	return term.ledger.verdict(ref)
}

// event tells the author of a ConfigMap, if this controller is the one to, and whether
// it did.
func (c *Controller) event(about *corev1.ConfigMap, eventtype, reason, message string) bool {
	r := c.recorder.Load()
	if r == nil {
		return false
	}
	(*r).Event(about, eventtype, reason, message)
	return true
}
