package tyk

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/cuegate/cuegate/engine"
)

// Options say how definitions are pushed.
type Options struct {
	// ClusterID is that of the engine: what has another one's mark is not ours.
	ClusterID string
	// Targets to push to.
	Targets []Settings
	// Discover finds more targets; it is asked every DiscoverInterval, and when Wake has
	// something. An error leaves the targets as they are. May be nil.
	Discover         func(context.Context) ([]Settings, error)
	DiscoverInterval time.Duration   // 10 s where it is 0
	Wake             <-chan struct{} // may be nil

	// DriftInterval is how often each target is listed, or a little more often; 5 minutes
	// where it is 0.
	DriftInterval time.Duration
	// CheckInterval is about how often one definition of each target is looked at; 5 s
	// where it is 0. It is longer where there are many targets: maxChecks in a second are
	// enough.
	CheckInterval time.Duration
	// A plan that deletes more than DeleteFloor definitions and more than DeleteShare
	// of what is there is held, unless ConfirmDeletes; 10 and 0.5 where they are 0.
	DeleteFloor    int
	DeleteShare    float64
	ConfirmDeletes bool
	// KeepUnknown is what Fleet.KeepUnknown says in the beginning.
	KeepUnknown bool

	// Report is told of each synchronisation, from several goroutines. May be nil.
	Report func(Report)
	// Progress is told while pushes go on, from several goroutines. May be nil.
	Progress func(Progress)
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
	// Grace is how long a batch in hand may go on when the context ends; 30 s where
	// it is 0.
	Grace time.Duration

	// keep is set by Fleet.KeepUnknown.
	keep *atomic.Bool
	// claims of all targets of the fleet.
	claims *claims
}

// maxChecks is how many looks at targets begin in a second, however many there are.
const maxChecks = 20

func (o Options) withDefaults() Options {
	o.DiscoverInterval = cmp.Or(o.DiscoverInterval, 10*time.Second)
	o.DriftInterval = cmp.Or(o.DriftInterval, 5*time.Minute)
	o.CheckInterval = cmp.Or(o.CheckInterval, 5*time.Second)
	o.DeleteFloor = cmp.Or(o.DeleteFloor, 10)
	o.DeleteShare = cmp.Or(o.DeleteShare, 0.5)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.keep = new(atomic.Bool)
	o.keep.Store(o.KeepUnknown)
	o.claims = newClaims()
	if o.Report == nil {
		o.Report = func(Report) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Fleet keeps any number of targets at what is wanted. Each has its own inventory,
// its own pace and its own troubles.
type Fleet struct {
	options Options
	mu      sync.Mutex
	// want is nil before anything is wanted. Its generation counts the calls of Want.
	want    *wants
	workers map[string]*worker
	// names of the workers, sorted; nil when they are to be gathered.
	names []string
}

// NewFleet checks the settings of the targets; it calls nobody.
func NewFleet(o Options) (*Fleet, error) {
	o = o.withDefaults()
	var problems error
	for _, s := range o.Targets {
		_, err := newTarget(s, o)
		problems = errors.Join(problems, err)
	}
	if len(o.Targets) == 0 && o.Discover == nil {
		problems = errors.New("there is no target to push to")
	}
	if problems != nil {
		return nil, problems
	}
	return &Fleet{options: o, workers: map[string]*worker{}}, nil
}

// KeepUnknown says whether definitions are kept whose objects are not among those
// that are wanted: whoever wants could not read everything.
func (f *Fleet) KeepUnknown(keep bool) { f.options.keep.Store(keep) }

// Want says what every target shall have from now on. It returns at once.
func (f *Fleet) Want(all []engine.Desired) {
	f.mu.Lock()
	defer f.mu.Unlock()
	generation := uint64(1)
	if f.want != nil {
		generation = f.want.generation + 1
	}
	f.want = newWants(all, generation)
	for _, w := range f.workers {
		w.wake()
	}
}

// Targets are the names of the targets that Run keeps now. Nobody may change them.
func (f *Fleet) Targets() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil {
		f.names = slices.Sorted(maps.Keys(f.workers))
	}
	return f.names
}

// Scopes are the tags of a sidecar of the mesh that is a target; nil of another target.
func (f *Fleet) Scopes(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.workers[name]; w != nil && w.target.settings.Sidecar {
		return w.target.settings.Tags
	}
	return nil
}

// ErrAtOnce is the cause of the end of a context with which a batch in hand ends too,
// without any grace: somebody else pushes now.
var ErrAtOnce = errors.New("somebody else pushes now")

// errGone is the cause of the end of a context of a target that is gone, or is another
// one by now. Nothing more is sent to its address, which may be somebody else's soon, and
// nothing more is told of it.
var errGone = errors.New("the target is gone")

// Run keeps the targets at what is wanted until ctx ends. A batch in hand is then
// brought to its end, within the grace, unless the cause is ErrAtOnce.
func (f *Fleet) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(f.options.DiscoverInterval)
	defer tick.Stop()
	defer f.dismiss()
	for {
		if err := f.reconcile(ctx, &running); err != nil {
			f.options.Report(Report{Err: err})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-f.options.Wake:
		}
	}
}

func (f *Fleet) dismiss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.workers)
	f.names = nil
}

// reconcile starts a worker for each new target, or one whose settings are new, and
// ends those of targets gone. While the discovery fails, nobody goes.
func (f *Fleet) reconcile(ctx context.Context, running *sync.WaitGroup) error {
	settings, failed := f.targets(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names = nil
	err := failed
	present := map[string]bool{}
	for _, s := range settings {
		if present[s.Name] {
			continue // twice the same
		}
		present[s.Name] = true
		if w := f.workers[s.Name]; w != nil {
			if reflect.DeepEqual(w.target.settings, s) {
				continue
			}
			w.cancel(errGone)
			delete(f.workers, s.Name)
		}
		t, bad := newTarget(s, f.options)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		ctx, cancel := context.WithCancelCause(ctx)
		w := &worker{target: t, fleet: f, cancel: cancel, news: make(chan struct{}, 1)}
		f.workers[s.Name] = w
		f.options.claims.join(t, w.wake)
		running.Go(func() { w.run(ctx) })
		if f.want != nil {
			w.wake()
		}
	}
	maps.DeleteFunc(f.workers, func(name string, w *worker) bool {
		gone := failed == nil && !present[name]
		if gone {
			w.cancel(errGone)
		}
		return gone
	})
	return err
}

// targets gives those of the options, and those that are found: the former alone
// when the discovery fails.
func (f *Fleet) targets(ctx context.Context) ([]Settings, error) {
	all := slices.Clone(f.options.Targets)
	var err error
	if f.options.Discover != nil {
		var found []Settings
		if found, err = f.options.Discover(ctx); err == nil {
			all = append(all, found...)
		}
	}
	for i := range all {
		all[i] = all[i].withDefaults()
	}
	return all, err
}

// Sync brings every target to what is wanted once, all at the same time, and
// gives their reports in the order of the targets. When ctx ends, a batch in hand goes
// on within the grace.
func (f *Fleet) Sync(ctx context.Context, all []engine.Desired) ([]Report, error) {
	settings, err := f.targets(ctx)
	if err != nil {
		return nil, err
	}
	w := newWants(all, 0)
	reports := make([]Report, len(settings))
	targets := make([]*target, len(settings))
	for i, s := range settings {
		t, err := newTarget(s, f.options)
		if err != nil {
			reports[i] = Report{Target: s.Name, Err: err}
			continue
		}
		f.options.claims.join(t, nil)
		defer f.options.claims.leave(t, nil)
		defer t.close()
		targets[i] = t
	}
	ctx, cancel := withGrace(ctx, f.options.Grace)
	defer cancel()
	each(targets, func(i int, t *target) { reports[i] = t.sync(ctx, w) })
	if len(targets) > 1 {
		// What one was done with, others may have needed for a while.
		each(targets, func(i int, t *target) {
			if r := &reports[i]; r.Err == nil && r.Held == nil {
				r.Err = t.removeCertificates(ctx, w, t.mine(w), r)
			}
		})
	}
	return reports, nil
}

// each does something for all targets that are not nil, and waits.
func each(targets []*target, do func(i int, t *target)) {
	var running sync.WaitGroup
	for i, t := range targets {
		if t != nil {
			running.Go(func() { do(i, t) })
		}
	}
	running.Wait()
}

// worker keeps one target.
type worker struct {
	target *target
	fleet  *Fleet
	cancel context.CancelCauseFunc
	// news has an element when there is something new to want.
	news chan struct{}
}

func (w *worker) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *worker) run(ctx context.Context) {
	defer w.target.close()
	defer w.leave()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = time.Second, time.Minute, 2
	check := time.NewTimer(rand.N(w.fleet.pause()))
	defer check.Stop()
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.news:
			// While a target is down, its retries alone decide when to try.
			if failing {
				continue
			}
		case <-check.C:
			check.Reset(w.fleet.pause())
			if failing || !w.target.due() && w.target.check(ctx) && !w.target.overdue() {
				continue
			}
		case <-retry.C:
		}
		r, ok := w.sync(ctx)
		if !ok {
			continue
		}
		if failing = r.Err != nil; failing {
			retry.Reset(pauses.NextBackOff())
		} else {
			pauses.Reset()
		}
	}
}

// pause is how long to wait until the next look at a target. It is spread, so that
// targets that begin at once are not looked at at once for ever.
func (f *Fleet) pause() time.Duration {
	f.mu.Lock()
	n := len(f.workers)
	f.mu.Unlock()
	pause := max(f.options.CheckInterval, time.Duration(n)*time.Second/maxChecks)
	return pause - pause/4 + rand.N(pause/2+1)
}

// leave hands what has to be removed to others. Only sidecars are known to share a Redis.
func (w *worker) leave() {
	var left map[string]bool
	if w.target.settings.Sidecar {
		left = w.target.certs.ours
	}
	w.fleet.options.claims.leave(w.target, left)
}

// sync pushes what is wanted now; nothing before anything was.
func (w *worker) sync(ctx context.Context) (Report, bool) {
	w.fleet.mu.Lock()
	want := w.fleet.want
	w.fleet.mu.Unlock()
	if want == nil || ctx.Err() != nil {
		return Report{}, false
	}
	graced, cancel := withGrace(ctx, w.fleet.options.Grace)
	defer cancel()
	r := w.target.sync(graced, want)
	r.Generation = want.generation
	if errors.Is(context.Cause(ctx), errGone) {
		return r, false
	}
	w.fleet.options.Report(r)
	return r, true
}

// withGrace gives a context that ends some time after ctx does.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	graced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, ErrAtOnce) || errors.Is(cause, errGone) {
			cancel()
			return
		}
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(graced, func() { timer.Stop() })
	})
	return graced, func() { stop(); cancel() }
}
