package k8s

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	// Mesh has the controller look after workloads too; nil leaves them alone.
	Mesh *MeshSettings

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
	shadow   *shadow   // nil without a second bundle
	mesh     *meshSide // nil without a mesh
	metrics  *metrics
	publish  *publisher
	service  cache.SharedIndexInformer // of the Service that is published; may be nil
	recorder atomic.Pointer[record.EventRecorder]
	// pushedOnce is set when a push came to its end for the first time.
	pushedOnce atomic.Bool

	mu      sync.Mutex
	pushing *pushTerm // nil while this controller does not push
	telling *teller   // nil while it does not tell
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
	if o.Mesh != nil {
		if o.Engine.MeshNamespace == "" {
			return nil, errors.New("the mesh: no namespace is named for its certificates")
		}
		if err := w.addMesh(o.Client, o.Namespaces, o.Engine.MeshNamespace); err != nil {
			return nil, err
		}
		c.mesh = newMeshSide(*o.Mesh, c.metrics.registry)
	}
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
	working.Go(func() { fail(c.terms(ctx, fail)) })
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
				if c.mesh != nil {
					c.mesh.lookAll()
				}
			}
		}
	}()
	c.loop.run(ctx)
}

// object gives an Ingress, or a workload that speaks of the mesh.
func (c *Controller) object(ref engine.Ref) (author, bool) {
	x, ok := c.watch.get(ref)
	if !ok {
		return nil, false
	}
	if ing, is := x.(*networkingv1.Ingress); is {
		return ing, true
	}
	w, is := workloadOf(x)
	return w.author, is
}

// Registerer takes metrics that are to be served with those of the controller.
func (c *Controller) Registerer() prometheus.Registerer { return c.metrics.registry }

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
