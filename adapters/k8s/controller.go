package k8s

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

// Options say what a Controller watches, decides by, pushes to and tells.
type Options struct {
	Client   kubernetes.Interface
	Metadata metadata.Interface
	// Namespaces to watch; all of them where it is empty.
	Namespaces []string
	Engine     engine.Config

	// Builtin is the built-in bundle, and BundleDir the folder of the operator's.
	// BundleConfigMaps is a label selector of ConfigMaps in BundleNamespace. Either or
	// both may be empty.
	Builtin                                      fs.FS
	BundleDir, BundleNamespace, BundleConfigMaps string
	// ShadowDir is the folder of a bundle that is tried beside the active one.
	ShadowDir string

	// NewPusher makes what pushes, each time that this controller begins to lead.
	// report is to be told of every push, from any goroutine.
	NewPusher func(report func(Pushed)) (Pusher, error)
	// Election is how the one is found who pushes and tells; where it is nil, this
	// controller does. With ElectTeller every controller pushes, each to the gateway
	// beside it, and the one elected tells.
	Election    *Election
	ElectTeller bool

	// PublishAddresses, or the addresses of the Service "namespace/name", go into
	// status.loadBalancer of what is served. ClearOnShutdown takes them back at the end.
	PublishAddresses []string
	PublishService   string
	ClearOnShutdown  bool

	// Diagnostics is where health, metrics and explanations are served; "" is nowhere.
	Diagnostics string
	// Resync is how often everything is decided again, for what an event may not have
	// told; 10 minutes where it is 0.
	Resync time.Duration
	Log    *slog.Logger

	Version, Revision string
}

// Controller keeps gateways at what the objects of a cluster ask for.
type Controller struct {
	options  Options
	log      *slog.Logger
	watch    *watch
	loop     *loop
	bundles  *bundles
	shadow   *shadow // nil without a second bundle
	metrics  *metrics
	publish  *publisher
	service  cache.SharedIndexInformer // of the Service that is published; may be nil
	recorder atomic.Pointer[record.EventRecorder]
	// pushedOnce is set when a gateway had everything for the first time.
	pushedOnce atomic.Bool

	mu      sync.Mutex
	pushing *pushTerm // nil while this controller does not push
	telling *teller   // nil while it does not tell
}

// pushTerm is the time in which this controller pushes.
type pushTerm struct {
	pusher     Pusher
	ledger     *ledger
	generation uint64
}

// New makes a controller; it calls nobody.
func New(o Options) (*Controller, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Resync == 0 {
		o.Resync = 10 * time.Minute
	}
	w, err := newWatch(o.Client, o.Metadata, o.Namespaces)
	if err != nil {
		return nil, err
	}
	c := &Controller{options: o, log: o.Log, watch: w, metrics: newMetrics(o.Version, o.Revision)}
	c.metrics.queue(w.dirty.Len)
	c.loop = newLoop(w, newSecrets(o.Client), o.Engine, o.Log)
	c.loop.decided, c.loop.gone, c.loop.changed = c.decided, c.gone, c.want
	c.bundles, err = newBundles(bundleOptions{
		Builtin: o.Builtin, Dir: o.BundleDir, Client: o.Client, Namespace: o.BundleNamespace, Selector: o.BundleConfigMaps,
		Swap: c.loop.swap, Event: c.event, Metrics: c.metrics, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	if o.ShadowDir != "" {
		c.shadow = newShadow(shadowOptions{Builtin: o.Builtin, Dir: o.ShadowDir, Engine: o.Engine, Decide: c.decideBoth, Metrics: c.metrics, Log: o.Log})
	}
	if err := c.newPublisher(); err != nil {
		return nil, err
	}
	return c, nil
}

// Run works until ctx ends. A push in hand is brought to its end before it returns.
func (c *Controller) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	fail := func(err error) {
		if err != nil {
			end(&failure{err})
		}
	}
	// Health is served to the end of the last push, and metrics with it.
	served, stop := context.WithCancel(context.WithoutCancel(ctx))
	if c.options.Diagnostics != "" {
		all.Go(func() { fail(serve(served, c.options.Diagnostics, c.Handler())) })
	}
	defer stop()
	c.watch.start(ctx)
	if c.service != nil {
		go c.service.RunWithContext(ctx)
	}
	var working sync.WaitGroup
	working.Go(func() { fail(c.bundles.run(ctx)) })
	if c.shadow != nil {
		working.Go(func() { fail(c.shadow.run(ctx)) })
	}
	working.Go(func() { c.work(ctx) })
	working.Go(func() { fail(c.terms(ctx)) })
	working.Wait()
	var failed *failure
	if errors.As(context.Cause(ctx), &failed) {
		return failed.error
	}
	return nil
}

// failure is an error that ends the controller, and not merely the end of the context
// it was given.
type failure struct{ error }

// work decides, once everything that was there at the start is known, and a bundle.
func (c *Controller) work(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !c.watch.hasSynced() || !c.loop.ready() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	c.log.Info("the caches have synced")
	go func() {
		again := time.NewTicker(c.options.Resync)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
				c.loop.again()
				c.mu.Lock()
				if c.telling != nil {
					c.tellAll(c.telling) // what was edited by hand is mended
				}
				c.mu.Unlock()
			}
		}
	}()
	c.loop.run(ctx)
}

// terms pushes and tells, each for as long as this controller is the one to.
func (c *Controller) terms(ctx context.Context) error {
	both := func(ctx context.Context) {
		c.metrics.leading(true)
		defer c.metrics.leading(false)
		var running sync.WaitGroup
		running.Go(func() { c.push(ctx) })
		running.Go(func() { c.tell(ctx) })
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
	running.Go(func() { c.push(ctx) })
	return e.lead(ctx, c.options.Client, c.log, func(ctx context.Context) {
		c.metrics.leading(true)
		defer c.metrics.leading(false)
		c.tell(ctx)
	})
}

// push pushes until ctx ends.
func (c *Controller) push(ctx context.Context) {
	term := &pushTerm{ledger: newLedger()}
	pusher, err := c.options.NewPusher(func(p Pushed) { c.pushed(term, p) })
	if err != nil {
		c.log.Error("nothing can be pushed", "error", err)
		<-ctx.Done()
		return
	}
	term.pusher = pusher
	c.beginPush(term)
	if err := pusher.Run(ctx); err != nil && ctx.Err() == nil {
		c.log.Error("pushing has ended", "error", err)
	}
	c.metrics.pushEnded()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushing = nil
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
	c.loop.mu.RLock()
	all, ok := c.loop.wanted(), c.loop.started
	c.loop.mu.RUnlock()
	if !ok {
		return
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pushing != nil {
		c.pushing.ledger.gone(ref)
	}
}

// pushed is told of every push.
func (c *Controller) pushed(term *pushTerm, p Pushed) {
	targets := term.pusher.Targets()
	c.metrics.pushed(p, targets)
	logPush(c.log, p)
	if p.Err == nil && p.Held == "" && p.Generation > 0 {
		c.pushedOnce.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
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
func (c *Controller) tell(ctx context.Context) {
	recorder, stop := newRecorder(c.options.Client)
	defer stop()
	c.recorder.Store(&recorder)
	defer c.recorder.Store(nil)
	t := newTeller(tellerOptions{
		Client: c.options.Client, Ingress: c.ingress, Recorder: recorder, Verdict: c.verdict, Publish: c.publish.addresses,
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

func (c *Controller) ingress(ref engine.Ref) (*networkingv1.Ingress, bool) {
	x, ok := c.watch.get(ref)
	ing, is := x.(*networkingv1.Ingress)
	return ing, ok && is
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

// newPublisher finds out what goes into the status of what is served.
func (c *Controller) newPublisher() error {
	o := c.options
	if o.PublishService == "" {
		if err := checkAddresses(o.PublishAddresses); err != nil {
			return err
		}
		c.publish = newPublisher(o.PublishAddresses, nil)
		return nil
	}
	key, err := cache.ParseObjectName(o.PublishService)
	if err != nil || key.Namespace == "" {
		return fmt.Errorf("the Service to publish, %q, is not of the form NAMESPACE/NAME", o.PublishService)
	}
	c.service = c.watch.one(o.Client, key)
	c.publish = newPublisher(nil, func() (*corev1.Service, bool) {
		x, ok, err := c.service.GetStore().GetByKey(key.String())
		s, is := x.(*corev1.Service)
		return s, ok && is && err == nil
	})
	return nil
}

// Explain walks through the decision about an object as it is now.
func (c *Controller) Explain(ctx context.Context, ref engine.Ref) (engine.Explanation, bool) {
	x, ok := c.watch.get(ref)
	if !ok || ref.Kind != kindIngress {
		return engine.Explanation{}, false
	}
	o, err := object(x)
	if err != nil {
		return engine.Explanation{}, false
	}
	c.loop.mu.RLock()
	defer c.loop.mu.RUnlock()
	if c.loop.engine == nil {
		return engine.Explanation{}, false
	}
	// What is wrong stands in the explanation too.
	_, e, _ := c.loop.engine.Explain(ctx, o, c.loop.neighbours.Cluster())
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

// hasPushed tells whether a gateway had everything; whoever does not push has nothing
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
