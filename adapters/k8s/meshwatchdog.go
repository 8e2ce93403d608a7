package k8s

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

// Rules of pods without a sidecar
//
// A workload of the mesh that was stored without its sidecar, because no webhook saw it,
// has pods without one. One that was stored with it has such pods as long as those from
// before are not replaced, which is no trouble unless it takes long. Pods of no others are
// looked at. A workload with the sidecar of an older bundle gets the new one the next time
// that it is written; it is counted, and nothing is wrong with it.

const (
	// watchdogFirst is when it is looked for such workloads for the first time, and
	// watchdogEvery how often after that.
	watchdogFirst, watchdogEvery = 10 * time.Second, time.Minute
	// maxSuspects of one look: the API server is asked once for each.
	maxSuspects = 100
	// maxPods of a workload are counted.
	maxPods = 500
	// maxNamed pods are named in an Event, which is written again after sidecarAgain:
	// Events are forgotten.
	maxNamed     = 3
	sidecarAgain = 30 * time.Minute

	eventSidecarMissing = "SidecarMissing"
)

// watchdogOptions are what a watchdog needs.
type watchdogOptions struct {
	Metadata metadata.Interface
	// Managed visits the workloads that are managed, with what was decided about them.
	Managed func(visit func(engine.Desired, workload))
	// Recorder takes Events.
	Recorder record.EventRecorder
	Metrics  *watchdogMetrics
	// Now is the clock; time.Now where it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// watchdog finds pods without a sidecar, for one term of leadership. Only one goroutine
// uses it.
type watchdog struct {
	o        watchdogOptions
	suspects map[engine.Ref]*suspect
}

// suspect is a workload that may have pods without a sidecar.
type suspect struct {
	workload workload
	// stored is set when it was stored without one.
	stored bool
	// first is when it became one, and looked when its pods were looked at last.
	first, looked time.Time
	// told is what the author was told last, at toldAt.
	told   string
	toldAt time.Time
}

func newWatchdog(o watchdogOptions) *watchdog {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &watchdog{o: o, suspects: map[engine.Ref]*suspect{}}
}

// run looks until ctx ends.
func (x *watchdog) run(ctx context.Context) {
	defer x.o.Metrics.ended()
	next := time.NewTimer(watchdogFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			x.look(ctx)
			next.Reset(watchdogEvery)
		}
	}
}

// look finds the suspects, and looks at the pods of those that were not looked at for
// the longest time.
func (x *watchdog) look(ctx context.Context) {
	now := x.o.Now()
	x.find(now)
	var due []engine.Ref
	for ref, s := range x.suspects {
		// Pods from before are replaced one by one.
		if s.stored || now.Sub(s.first) >= watchdogEvery {
			due = append(due, ref)
		}
	}
	slices.SortFunc(due, func(a, b engine.Ref) int {
		return cmp.Or(x.suspects[a].looked.Compare(x.suspects[b].looked), cmp.Compare(a.String(), b.String()))
	})
	for _, ref := range due[:min(len(due), maxSuspects)] {
		s := x.suspects[ref]
		s.looked = now
		pods, more, err := x.pods(ctx, s.workload)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			x.o.Log.Warn("it is not known whether pods have their sidecar", "object", ref.String(), "error", err)
		default:
			x.o.Metrics.without(ref, len(pods))
			x.tell(ref, s, pods, more, now)
		}
	}
}

// find brings the suspects up to date.
func (x *watchdog) find(now time.Time) {
	outdated := 0
	found := map[engine.Ref]*suspect{}
	x.o.Managed(func(d engine.Desired, w workload) {
		stored := d.Patch != nil && !w.isInjected()
		if d.Patch != nil && !stored {
			outdated++
		}
		if !stored && w.updated == w.wanted {
			return
		}
		s := x.suspects[d.Object]
		if s == nil {
			s = &suspect{first: now}
		}
		s.workload, s.stored = w, stored
		found[d.Object] = s
	})
	for ref := range x.suspects {
		if found[ref] == nil {
			x.o.Metrics.without(ref, 0)
		}
	}
	x.suspects = found
	x.o.Metrics.outdated.Set(float64(outdated))
}

// pods gives the names of the pods of a workload that run without a sidecar, in order;
// more is set when there are more.
func (x *watchdog) pods(ctx context.Context, w workload) (names []string, more bool, err error) {
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil || selector.Empty() || w.selector == nil {
		return nil, false, err // all pods cannot be meant
	}
	without, err := labels.NewRequirement(sidecarKey, selection.DoesNotExist, nil)
	if err != nil {
		return nil, false, err
	}
	running := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
	)
	list, err := x.o.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(w.meta.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: selector.Add(*without).String(), FieldSelector: running.String(), Limit: maxPods,
	})
	if err != nil {
		return nil, false, err
	}
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names, list.Continue != "", nil
}

// tell writes an Event about what is new.
func (x *watchdog) tell(ref engine.Ref, s *suspect, pods []string, more bool, now time.Time) {
	if len(pods) == 0 {
		s.told = ""
		return
	}
	text := missing(ref, pods, more, s.stored)
	if text == s.told && now.Sub(s.toldAt) < sidecarAgain {
		return
	}
	if s.told == "" {
		x.o.Log.Warn("pods have no sidecar", "object", ref.String(), "pods", len(pods))
	}
	s.told, s.toldAt = text, now
	x.o.Recorder.Event(s.workload.author, corev1.EventTypeWarning, eventSidecarMissing, text)
}

// missing says which pods have no sidecar, and what to do.
func missing(ref engine.Ref, pods []string, more, stored bool) string {
	count := fmt.Sprintf("%d pods have", len(pods))
	switch {
	case more:
		count = "More than " + count
	case len(pods) == 1:
		count = "One pod has"
	}
	named := strings.Join(pods[:min(len(pods), maxNamed)], ", ")
	if rest := len(pods) - maxNamed; rest > 0 {
		named += ", ..."
	}
	why := fmt.Sprintf("The workload was stored without it. Look whether the webhook answers, then restart the workload: kubectl rollout restart %s/%s.", strings.ToLower(ref.Kind), ref.Name)
	if !stored {
		why = "They are from before the workload had it, and its rollout has not come to its end."
	}
	return fmt.Sprintf("%s no sidecar: %s. %s", count, named, why)
}

// watchdogMetrics counts what the watchdog finds.
type watchdogMetrics struct {
	pods     *prometheus.GaugeVec
	outdated prometheus.Gauge
}

func newWatchdogMetrics(r prometheus.Registerer) *watchdogMetrics {
	f := maker{promauto.With(r)}
	return &watchdogMetrics{
		pods:     f.gauges("mesh_pods_without_sidecar", "Pods of a workload of the mesh that have no sidecar; workloads without such pods have no series.", "namespace", "kind", "name"),
		outdated: f.gauge("mesh_workloads_outdated", "Workloads of the mesh with another sidecar than the bundle in use would give them."),
	}
}

func (m *watchdogMetrics) without(ref engine.Ref, pods int) {
	if pods == 0 {
		m.pods.DeleteLabelValues(ref.Namespace, ref.Kind, ref.Name)
		return
	}
	m.pods.WithLabelValues(ref.Namespace, ref.Kind, ref.Name).Set(float64(pods))
}

// ended drops what was found: another controller looks now.
func (m *watchdogMetrics) ended() {
	m.pods.Reset()
	m.outdated.Set(0)
}
