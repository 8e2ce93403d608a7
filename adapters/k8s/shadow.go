package k8s

import (
	"context"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

// Rules of a second bundle
//
// Whatever is decided is decided by it too, and what differs is counted and listed;
// nothing of it is ever pushed. It is always behind: an object waits once however
// often it is decided, and this work takes at most half of one core, so that the
// decisions that count are not kept waiting.

// shadowOptions are what a shadow needs.
type shadowOptions struct {
	Builtin fs.FS
	// Dir is the folder of the second bundle; it is followed.
	Dir    string
	Engine engine.Config
	// Decide gives the decision about an object that counts, and that of another
	// engine from the same view of the cluster; ok is false when there is none.
	Decide  func(ctx context.Context, ref engine.Ref, e *engine.Engine) (active, other engine.Desired, ok bool)
	Metrics *metrics
	Log     *slog.Logger
}

// shadow compares the decisions of two bundles.
type shadow struct {
	o       shadowOptions
	bundles *bundles
	queue   workqueue.TypedInterface[engine.Ref]

	mu     sync.Mutex
	engine *engine.Engine // nil until a bundle is loaded
	// known are the objects that were decided, and compared those of them that the
	// engine has decided too, with what differs.
	known    map[engine.Ref]bool
	compared map[engine.Ref]differs
	counts   [kinds]int
}

// differs tells which kinds of differences there are.
type differs [kinds]bool

// The kinds of differences.
const (
	differsOutcome = iota
	differsTemplate
	differsDefinitions
	differsReasons
	kinds
)

var kindNames = [kinds]string{"outcome", "template", "definitions", "reasons"}

func (d differs) any() bool { return d != differs{} }

func (d differs) names() []string {
	var names []string
	for k, is := range d {
		if is {
			names = append(names, kindNames[k])
		}
	}
	return names
}

func newShadow(o shadowOptions) *shadow {
	s := &shadow{
		o:     o,
		queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[engine.Ref]{Name: "shadow"}),
		known: map[engine.Ref]bool{}, compared: map[engine.Ref]differs{},
	}
	s.bundles = followBundle(bundleOptions{
		Builtin: o.Builtin, Dir: o.Dir, Swap: s.swap, Metrics: shadowMetrics{o.Metrics}, Log: o.Log.With("bundle", "shadow"),
	})
	s.count()
	return s
}

// shadowMetrics keeps what became of the second bundle apart from the first.
type shadowMetrics struct{ m *metrics }

func (s shadowMetrics) bundleLoaded(string, uint64) { s.m.shadowBroken.Set(0) }
func (s shadowMetrics) bundleRefused()              { s.m.shadowBroken.Set(1) }

// decided says that an object was decided anew. It never waits.
func (s *shadow) decided(ref engine.Ref) {
	s.mu.Lock()
	s.known[ref] = true
	s.mu.Unlock()
	s.queue.Add(ref)
}

// gone says that there is no decision about an object any more.
func (s *shadow) gone(ref engine.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, ref)
	s.forget(ref)
	s.count()
}

// run compares until ctx ends.
func (s *shadow) run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { _ = s.bundles.run(ctx) })
	defer context.AfterFunc(ctx, s.queue.ShutDown)()
	for {
		ref, ended := s.queue.Get()
		if ended || ctx.Err() != nil {
			return nil
		}
		begin := time.Now()
		s.compare(ctx, ref)
		s.queue.Done(ref)
		// As long as it took.
		select {
		case <-ctx.Done():
		case <-time.After(time.Since(begin)):
		}
	}
}

// swap takes another bundle; all is compared again.
func (s *shadow) swap(b *engine.Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine = engine.New(b, s.o.Engine)
	s.compared, s.counts = map[engine.Ref]differs{}, [kinds]int{}
	s.count()
	for ref := range s.known {
		s.queue.Add(ref)
	}
}

func (s *shadow) compare(ctx context.Context, ref engine.Ref) {
	s.mu.Lock()
	e := s.engine
	s.mu.Unlock()
	if e == nil {
		return // all is compared when there is one
	}
	active, other, ok := s.o.Decide(ctx, ref, e)
	if ctx.Err() != nil {
		return
	}
	d := compareDecisions(active, other)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine != e {
		return // it waits in the queue again
	}
	s.forget(ref)
	if ok && s.known[ref] {
		s.compared[ref] = d
		for k, is := range d {
			if is {
				s.counts[k]++
			}
		}
	}
	s.count()
}

// forget takes back what was found about an object. The caller holds the lock.
func (s *shadow) forget(ref engine.Ref) {
	for k, is := range s.compared[ref] {
		if is {
			s.counts[k]--
		}
	}
	delete(s.compared, ref)
}

// count brings the metric up to date. The caller holds the lock, or is the only one.
func (s *shadow) count() {
	for k, n := range s.counts {
		s.o.Metrics.shadowDifferences.WithLabelValues(kindNames[k]).Set(float64(n))
	}
}

// maxListed bounds the objects that are listed with what differs.
const maxListed = 100

// shadowView is what /debug/shadow gives.
type shadowView struct {
	Bundle bundleView `json:"bundle"`
	// Compared counts objects; Waiting are those that are not compared yet.
	Compared int `json:"compared"`
	Waiting  int `json:"waiting"`
	// Differences counts objects by what differs.
	Differences map[string]int `json:"differences"`
	// Objects are some of those that differ, in order of their names; Different
	// counts them all.
	Objects   []shadowObject `json:"objects"`
	Different int            `json:"different"`
}

// view decides once more about what it lists, so that nothing has to be kept.
func (s *shadow) view(ctx context.Context) shadowView {
	v := shadowView{Bundle: s.bundles.view(), Differences: map[string]int{}, Objects: []shadowObject{}}
	s.mu.Lock()
	e := s.engine
	v.Compared, v.Waiting = len(s.compared), s.queue.Len()
	for k, n := range s.counts {
		v.Differences[kindNames[k]] = n
	}
	var refs []engine.Ref
	for ref, d := range s.compared {
		if d.any() {
			refs = append(refs, ref)
		}
	}
	s.mu.Unlock()
	v.Different = len(refs)
	slices.SortFunc(refs, func(a, b engine.Ref) int { return strings.Compare(a.String(), b.String()) })
	for _, ref := range refs[:min(len(refs), maxListed)] {
		active, other, ok := s.o.Decide(ctx, ref, e)
		if ctx.Err() != nil {
			break
		}
		if d := compareDecisions(active, other); ok && d.any() {
			v.Objects = append(v.Objects, listDifferences(active, other))
		}
	}
	return v
}
