package tyk

import (
	"cmp"
	"context"
	"errors"
	"maps"
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
	// Discover finds more targets; it is asked every DiscoverInterval. An error
	// leaves the targets as they are. May be nil.
	Discover         func(context.Context) ([]Settings, error)
	DiscoverInterval time.Duration // 10 s where it is 0

	// DriftInterval is how often each target is listed; 5 minutes where it is 0.
	DriftInterval time.Duration
	// CheckInterval is how often one definition of each target is looked at; 5 s
	// where it is 0.
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
}

func (o Options) withDefaults() Options {
	o.DiscoverInterval = cmp.Or(o.DiscoverInterval, 10*time.Second)
	o.DriftInterval = cmp.Or(o.DriftInterval, 5*time.Minute)
	o.CheckInterval = cmp.Or(o.CheckInterval, 5*time.Second)
	o.DeleteFloor = cmp.Or(o.DeleteFloor, 10)
	o.DeleteShare = cmp.Or(o.DeleteShare, 0.5)
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.keep = new(atomic.Bool)
	o.keep.Store(o.KeepUnknown)
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
	want    []engine.Desired
	// generation counts the calls of Want.
	generation uint64
	workers    map[string]*worker
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
	f.want = all
	f.generation++
	for _, w := range f.workers {
		w.wake()
	}
}

// Targets are the names of the targets that Run keeps now.
func (f *Fleet) Targets() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.workers))
}

// ErrAtOnce is the cause of the end of a context with which a batch in hand ends too,
// without any grace: somebody else pushes now.
var ErrAtOnce = errors.New("somebody else pushes now")

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
		}
	}
}

func (f *Fleet) dismiss() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.workers)
}

// reconcile starts a worker for each new target, or one whose settings are new, and
// ends those of targets gone. While the discovery fails, nobody goes.
func (f *Fleet) reconcile(ctx context.Context, running *sync.WaitGroup) error {
	settings, failed := f.targets(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
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
			w.cancel()
			delete(f.workers, s.Name)
		}
		t, bad := newTarget(s, f.options)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		w := &worker{target: t, fleet: f, cancel: cancel, news: make(chan struct{}, 1)}
		f.workers[s.Name] = w
		running.Go(func() { w.run(ctx) })
		if f.generation > 0 {
			w.wake()
		}
	}
	maps.DeleteFunc(f.workers, func(name string, w *worker) bool {
		gone := failed == nil && !present[name]
		if gone {
			w.cancel()
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
	return f.each(ctx, func(ctx context.Context, t *target) Report {
		ctx, cancel := withGrace(ctx, f.options.Grace)
		defer cancel()
		return t.sync(ctx, all)
	})
}

// each runs do for every target once, with a target of its own.
func (f *Fleet) each(ctx context.Context, do func(context.Context, *target) Report) ([]Report, error) {
	settings, err := f.targets(ctx)
	if err != nil {
		return nil, err
	}
	reports := make([]Report, len(settings))
	var running sync.WaitGroup
	for i, s := range settings {
		t, err := newTarget(s, f.options)
		if err != nil {
			reports[i] = Report{Target: s.Name, Err: err}
			continue
		}
		running.Go(func() {
			defer t.close()
			reports[i] = do(ctx, t)
		})
	}
	running.Wait()
	return reports, nil
}

// worker keeps one target.
type worker struct {
	target *target
	fleet  *Fleet
	cancel context.CancelFunc
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
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = time.Second, time.Minute, 2
	check := time.NewTicker(w.fleet.options.CheckInterval)
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

// sync pushes what is wanted now; nothing before anything was.
func (w *worker) sync(ctx context.Context) (Report, bool) {
	w.fleet.mu.Lock()
	want, generation := w.fleet.want, w.fleet.generation
	w.fleet.mu.Unlock()
	if generation == 0 || ctx.Err() != nil {
		return Report{}, false
	}
	graced, cancel := withGrace(ctx, w.fleet.options.Grace)
	defer cancel()
	r := w.target.sync(graced, want)
	r.Generation = generation
	w.fleet.options.Report(r)
	return r, true
}

// withGrace gives a context that ends some time after ctx does.
func withGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	graced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrAtOnce) {
			cancel()
			return
		}
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(graced, func() { timer.Stop() })
	})
	return graced, func() { stop(); cancel() }
}
