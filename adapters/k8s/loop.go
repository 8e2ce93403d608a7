package k8s

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cuegate/cuegate/engine"
)

// How long changes are gathered: until none came for quiet, but no longer than most.
// The gateway takes them over once a second, so that a pause here costs little, and
// bursts share the work that each round needs.
const (
	quiet = 10 * time.Millisecond
	most  = 200 * time.Millisecond
)

// loop decides again about what changed, and keeps what everyone wants. One goroutine
// runs it; the others look through the lock.
type loop struct {
	watch   *watch
	secrets *secrets
	config  engine.Config
	log     *slog.Logger
	// decided is told of each decision, and whether it is another than before; gone of each object that has none any
	// more, from the loop's goroutine.
	decided func(d engine.Desired, bundle string, took time.Duration, changed bool)
	gone    func(engine.Ref)
	// changed is called when what is wanted may have changed.
	changed func()

	// active is nil until a bundle is loaded.
	active atomic.Pointer[active]
	// viewed is set when everything that was there at the start is in the view.
	viewed atomic.Bool

	mu         sync.RWMutex
	neighbours *engine.Neighbours
	index      *index
	desired    map[engine.Ref]decision
	// unasked are the workloads that speak of the mesh and do not ask for a sidecar,
	// with whether they have one still.
	unasked map[engine.Ref]bool
	// certificates are those of the mesh, by "namespace/name" of their Secrets.
	certificates map[string]meshOwner
	// started is set when everything that was there at the start has been decided.
	started bool
}

// active is what decides; digest is that of its bundle.
type active struct {
	engine *engine.Engine
	digest string
}

func newLoop(w *watch, s *secrets, config engine.Config, log *slog.Logger) *loop {
	return &loop{
		watch: w, secrets: s, config: config, log: log,
		neighbours: engine.NewNeighbours(), index: newIndex(), desired: map[engine.Ref]decision{},
		unasked: map[engine.Ref]bool{}, certificates: map[string]meshOwner{},
	}
}

// swap takes another bundle. Everything is decided again.
func (l *loop) swap(b *engine.Bundle) {
	l.active.Store(&active{engine.New(b, l.config), b.Digest()})
	l.again()
}

// again has everything decided once more.
func (l *loop) again() {
	l.watch.each(kindIngress, func(o any) {
		ing := o.(*networkingv1.Ingress)
		l.watch.dirty.Add(engine.Ref{Kind: kindIngress, Namespace: ing.Namespace, Name: ing.Name})
	})
	l.watch.eachWorkload(func(ref engine.Ref, _ workload) { l.watch.dirty.Add(ref) })
}

// run needs a watch that has synced, and a bundle. It returns when ctx ends.
func (l *loop) run(ctx context.Context) {
	for {
		refs, done := l.watch.changed(func() { l.settle(ctx) })
		if refs == nil || ctx.Err() != nil {
			done()
			return
		}
		l.round(ctx, refs)
		done()
	}
}

// settle waits until a burst of changes is over.
func (l *loop) settle(ctx context.Context) {
	end := time.Now().Add(most)
	for n := l.watch.dirty.Len(); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-time.After(quiet):
		}
		if more := l.watch.dirty.Len(); more == n {
			return
		} else {
			n = more
		}
	}
}

// round takes what changed over into the view of the cluster, and decides about all
// that it matters to.
func (l *loop) round(ctx context.Context, refs []engine.Ref) {
	todo := l.takeOver(refs)
	by := l.active.Load()
	if by == nil {
		return // all is decided when there is a bundle
	}
	results := l.decideAll(ctx, todo, by.engine)
	// Of an object that is ours, and only then, the Secrets are read; what they hold
	// changes the decision.
	again, failed := l.secrets.fetch(ctx, l, results)
	for ref := range again {
		l.watch.dirty.Forget(ref)
	}
	for ref, err := range failed {
		l.postpone(ref, err, results)
	}
	for ref, r := range l.decideAll(ctx, again, by.engine) {
		results[ref] = r
	}
	if ctx.Err() != nil {
		return
	}
	l.note(results, by.digest)
	l.changed()
}

// postpone leaves an object as it is until its Secrets can be read. What was served
// for it before this program started stays too.
func (l *loop) postpone(ref engine.Ref, err error, results map[engine.Ref]result) {
	l.log.Warn("an object has to wait", "object", ref.String(), "error", err)
	if _, known := l.desired[ref]; known {
		delete(results, ref)
	} else {
		r := results[ref]
		r.desired = held(ref, "secret-unread", "A Secret that the object names cannot be read: "+err.Error()+".")
		results[ref] = r
	}
	l.watch.dirty.AddRateLimited(ref)
}

func held(ref engine.Ref, id, msg string) engine.Desired {
	return engine.Desired{Object: ref, Outcome: engine.Held, Reasons: []engine.Reason{{ID: id, Msg: msg}}}
}

// decision is what was decided about an object, and by which bundle.
type decision struct {
	engine.Desired
	bundle string
	// identities are the certificates that a workload needs: those of the decision
	// before, where it is held.
	identities []engine.Identity
	// since is when it was decided so; the zero time where it was at the start.
	since time.Time
}

// result is a decision that has not been noted yet.
type result struct {
	desired engine.Desired
	took    time.Duration
}

// decideAll decides about objects on all cores. The view of the cluster stays as it is
// meanwhile.
func (l *loop) decideAll(ctx context.Context, todo set, by *engine.Engine) map[engine.Ref]result {
	if len(todo) == 0 {
		return map[engine.Ref]result{}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	results := make(map[engine.Ref]result, len(todo))
	refs := make(chan engine.Ref, len(todo))
	for ref := range todo {
		refs <- ref
	}
	close(refs)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(len(todo), runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for ref := range refs {
				r, ok := l.decideWith(ctx, ref, by)
				if !ok {
					continue
				}
				mu.Lock()
				results[ref] = r
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return results
}

// decideWith decides about an object as it is now; ok is false when there is none, or
// ctx ended. The caller holds the lock for reading.
func (l *loop) decideWith(ctx context.Context, ref engine.Ref, e *engine.Engine) (r result, ok bool) {
	x, there := l.watch.get(ref)
	if !there || isWorkload(ref.Kind) && isNameOnly(x) {
		return r, false
	}
	o, err := object(x)
	if err != nil {
		return result{held(ref, "object-invalid", "The object cannot be written as JSON: "+err.Error()+"."), 0}, true
	}
	begin := time.Now()
	d, _, err := e.Decide(ctx, o, l.neighbours.Cluster())
	if err != nil && errors.Is(err, ctx.Err()) {
		return r, false
	}
	// Other errors say no more than the outcome and the reasons do.
	return result{d, time.Since(begin)}, true
}

// note keeps decisions by the bundle of the digest, and tells of them.
func (l *loop) note(results map[engine.Ref]result, digest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ref, r := range results {
		if _, there := l.index.links[ref]; !there {
			continue
		}
		before, known := l.desired[ref]
		now := decision{Desired: r.desired, bundle: digest, since: before.since}
		if isWorkload(ref.Kind) && !l.noteWorkload(ref, &now) {
			continue
		}
		changed := !known || !reflect.DeepEqual(before, now)
		if changed && l.started {
			now.since = time.Now()
		}
		l.desired[ref] = now
		if isFar(r.desired) {
			l.index.far[ref] = struct{}{}
		} else {
			delete(l.index.far, ref)
		}
		l.decided(r.desired, digest, r.took, changed)
	}
	l.secrets.forgetUnused(l)
	l.started = true
}

// isFar tells whether a decision may be about Services that the object does not name:
// a definition leads elsewhere than to one of its own namespace, or the object was
// refused, perhaps for that.
func isFar(d engine.Desired) bool {
	if isWorkload(d.Object.Kind) {
		return isFarWorkload(d)
	}
	for _, r := range d.Reasons {
		if d.Outcome == engine.Held && !strings.HasPrefix(r.ID, "service-") && !strings.HasPrefix(r.ID, "port-") {
			return true
		}
	}
	for _, def := range d.Definitions {
		if !isNear(gjson.GetBytes(def.JSON, "proxy.target_url").String(), d.Object.Namespace) {
			return true
		}
	}
	return false
}

// isNear tells whether an address is that of a Service of the namespace.
func isNear(target, namespace string) bool {
	_, home, _ := strings.Cut(hostOf(target), ".")
	return home == namespace
}

// hostOf gives the host of an address.
func hostOf(target string) string {
	_, host, _ := strings.Cut(target, "://")
	if i := strings.IndexAny(host, ":/?#"); i >= 0 {
		host = host[:i]
	}
	return host
}

// wanted gives what all objects ask for. The caller holds the lock for reading.
func (l *loop) wanted() []engine.Desired {
	all := make([]engine.Desired, 0, len(l.desired))
	for _, d := range l.desired {
		if d.Outcome != engine.Ignored {
			all = append(all, d.Desired)
		}
	}
	return all
}

// ready tells whether there is a bundle to decide by.
func (l *loop) ready() bool { return l.active.Load() != nil }
