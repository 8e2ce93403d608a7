package k8s

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/cuegate/cuegate/engine"
)

// seconds are the buckets of durations: a decision takes less than a millisecond, a
// push that has to wait for a gateway may take half a minute.
var seconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

const (
	// maxReasons bounds the series of decisions: a policy may make up the id of a
	// reason from what an object says.
	maxReasons = 200
	// otherReason stands for the ids beyond that.
	otherReason = "other"
)

// metrics counts what the controller does, in a registry of its own. Its methods may
// be called by several goroutines.
type metrics struct {
	registry *prometheus.Registry

	decisions      *prometheus.CounterVec
	decideDuration prometheus.Histogram
	objects        *prometheus.GaugeVec
	definitions    prometheus.Gauge
	expiry         *prometheus.GaugeVec
	leader         prometheus.Gauge

	bundleGeneration, bundleBroken prometheus.Gauge
	bundleInfo                     *prometheus.GaugeVec
	bundleFailures                 prometheus.Counter

	shadowDifferences *prometheus.GaugeVec
	shadowBroken      prometheus.Gauge

	pushDuration                  *prometheus.HistogramVec
	live, held, up                *prometheus.GaugeVec
	repairs, reloads, pushFailure *prometheus.CounterVec

	mu       sync.Mutex
	reasons  map[string]bool
	outcomes map[engine.Ref]engine.Outcome
	// secrets are those that the certificates of an object come from, and named counts
	// the objects that name one; both as "namespace/name".
	secrets map[engine.Ref][]string
	named   map[string]int
	targets map[string]bool
}

func newMetrics(version, revision string) *metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	f := maker{promauto.With(r)}
	m := &metrics{
		registry: r,

		decisions:      f.counters("decisions_total", "Decisions about objects; reason is the id of the first reason why an object is not managed.", "kind", "outcome", "reason"),
		decideDuration: f.NewHistogram(prometheus.HistogramOpts{Name: "cuegate_decide_duration_seconds", Help: "How long a decision about an object took.", Buckets: seconds}),
		objects:        f.gauges("objects", "Objects by what became of them.", "outcome"),
		definitions:    f.gauge("definitions_wanted", "Definitions that all objects ask for, conflicting ones included."),
		expiry:         f.gauges("certificate_expiry_timestamp_seconds", "When the certificate of a Secret that objects name expires, in Unix time.", "namespace", "secret"),
		leader:         f.gauge("leader", "1 while this controller leads."),

		bundleGeneration: f.gauge("bundle_generation", "How many bundles have been in use since the start."),
		bundleInfo:       f.gauges("bundle_info", "The bundle in use.", "digest"),
		bundleBroken:     f.gauge("bundle_broken", "1 while the sources hold a bundle that was refused."),
		bundleFailures:   f.NewCounter(prometheus.CounterOpts{Name: "cuegate_bundle_load_failures_total", Help: "Bundles that were refused."}),

		shadowDifferences: f.gauges("shadow_differences", "Objects that the second bundle decides otherwise, by what differs.", "kind"),
		shadowBroken:      f.gauge("shadow_bundle_broken", "1 while the folder of the second bundle holds one that was refused."),

		pushDuration: f.NewHistogramVec(prometheus.HistogramOpts{Name: "cuegate_push_duration_seconds", Help: "How long it took to bring a target to what is wanted.", Buckets: seconds}, []string{"target"}),
		live:         f.gauges("definitions_live", "Definitions that were on a target as wanted when it was last pushed to.", "target"),
		held:         f.gauges("push_held", "1 while a push waits to be confirmed because it deletes too much.", "target"),
		up:           f.gauges("target_up", "1 when the last push reached its end, 0 when an error ended it.", "target"),
		repairs:      f.counters("drift_repairs_total", "Definitions that had changed on a target since they were pushed.", "target"),
		reloads:      f.counters("reloads_total", "Reloads that a target was asked for; result is ok or failed.", "target", "result"),
		pushFailure:  f.counters("push_failures_total", "Pushes that an error ended.", "target"),

		reasons: map[string]bool{}, outcomes: map[engine.Ref]engine.Outcome{},
		secrets: map[engine.Ref][]string{}, named: map[string]int{}, targets: map[string]bool{},
	}
	f.gauges("build_info", "The program.", "version", "revision").WithLabelValues(version, revision).Set(1)
	for _, o := range []engine.Outcome{engine.Managed, engine.Ignored, engine.Held} {
		m.objects.WithLabelValues(string(o))
	}
	return m
}

// maker makes metrics whose names begin with the program's.
type maker struct{ promauto.Factory }

func (f maker) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Name: "cuegate_" + name, Help: help})
}

func (f maker) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Name: "cuegate_" + name, Help: help}, labels)
}

func (f maker) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: "cuegate_" + name, Help: help}, labels)
}

// queue says how long the queue of changed objects is. It may be called once.
func (m *metrics) queue(depth func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "cuegate_queue_depth", Help: "Objects that changed and wait for a decision."},
		func() float64 { return float64(depth()) },
	))
}

// decided counts a decision and how long it took.
func (m *metrics) decided(d engine.Desired, took time.Duration) {
	m.decideDuration.Observe(took.Seconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decisions.WithLabelValues(d.Object.Kind, string(d.Outcome), m.reason(d)).Inc()
	before, known := m.outcomes[d.Object]
	if !known || before != d.Outcome {
		if known {
			m.objects.WithLabelValues(string(before)).Dec()
		}
		m.objects.WithLabelValues(string(d.Outcome)).Inc()
		m.outcomes[d.Object] = d.Outcome
	}
	// What is served for an object that is held stays, and its certificates with it. Who
	// keeps those of the mesh counts them.
	if d.Outcome != engine.Held && !isWorkload(d.Object.Kind) {
		m.name(d.Object, d.Certificates)
	}
}

// reason gives the id of the first reason, or what stands for it.
func (m *metrics) reason(d engine.Desired) string {
	if len(d.Reasons) == 0 {
		return ""
	}
	id := d.Reasons[0].ID
	if !m.reasons[id] {
		if len(m.reasons) >= maxReasons {
			return otherReason
		}
		m.reasons[id] = true
	}
	return id
}

// name notes the certificates that an object names now, and drops the series of those
// that nobody names any more.
func (m *metrics) name(ref engine.Ref, certificates []engine.Certificate) {
	var now []string
	for _, c := range certificates {
		namespace, secret, _ := strings.Cut(c.Secret, "/")
		m.expiry.WithLabelValues(namespace, secret).Set(float64(c.NotAfter.Unix()))
		m.named[c.Secret]++
		now = append(now, c.Secret)
	}
	for _, s := range m.secrets[ref] {
		if m.named[s]--; m.named[s] > 0 {
			continue
		}
		delete(m.named, s)
		namespace, secret, _ := strings.Cut(s, "/")
		m.expiry.DeleteLabelValues(namespace, secret)
	}
	if delete(m.secrets, ref); len(now) > 0 {
		m.secrets[ref] = now
	}
}

// gone forgets an object.
func (m *metrics) gone(ref engine.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.outcomes[ref]; known {
		m.objects.WithLabelValues(string(before)).Dec()
		delete(m.outcomes, ref)
	}
	m.name(ref, nil)
}

// wanted counts what all objects ask for.
func (m *metrics) wanted(all []engine.Desired) {
	n := 0
	for _, d := range all {
		n += len(d.Definitions)
	}
	m.definitions.Set(float64(n))
}

// pushed counts what came of a push. targets are all that there are: the series of
// others are dropped.
func (m *metrics) pushed(p Pushed, targets []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(targets)
	if !m.targets[p.Target] || errors.Is(p.Err, context.Canceled) || errors.Is(p.Err, ErrLostLease) {
		// The target is gone, or this controller ends: that is no trouble of the target.
		return
	}
	m.pushDuration.WithLabelValues(p.Target).Observe(p.Took.Seconds())
	m.repairs.WithLabelValues(p.Target).Add(float64(p.Drift))
	m.reloads.WithLabelValues(p.Target, "failed").Add(float64(p.ReloadsFailed))
	m.reloads.WithLabelValues(p.Target, "ok").Add(float64(max(0, p.Reloads-p.ReloadsFailed)))
	m.up.WithLabelValues(p.Target).Set(number(p.Err == nil))
	failures := m.pushFailure.WithLabelValues(p.Target)
	if p.Err != nil {
		failures.Inc()
		return
	}
	m.held.WithLabelValues(p.Target).Set(number(p.Held != ""))
	if p.Held == "" {
		m.live.WithLabelValues(p.Target).Set(float64(p.Created + p.Updated + p.Unchanged))
	}
}

// pushEnded drops the series of all targets: another controller may push to them now.
func (m *metrics) pushEnded() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(nil)
}

func (m *metrics) keep(targets []string) {
	now := make(map[string]bool, len(targets))
	for _, t := range targets {
		now[t] = true
	}
	for t := range m.targets {
		if now[t] {
			continue
		}
		series := prometheus.Labels{"target": t}
		for _, v := range []interface {
			DeletePartialMatch(prometheus.Labels) int
		}{m.pushDuration, m.live, m.held, m.up, m.repairs, m.reloads, m.pushFailure} {
			v.DeletePartialMatch(series)
		}
	}
	m.targets = now
}

// bundleLoaded says which bundle is in use, and that nothing is wrong with its sources.
func (m *metrics) bundleLoaded(digest string, generation uint64) {
	m.bundleInfo.Reset()
	m.bundleInfo.WithLabelValues(digest).Set(1)
	m.bundleGeneration.Set(float64(generation))
	m.bundleBroken.Set(0)
}

// bundleRefused says that the sources hold a broken bundle; the one before stays.
func (m *metrics) bundleRefused() {
	m.bundleBroken.Set(1)
	m.bundleFailures.Inc()
}

// leading says whether this controller is the one to push and tell.
func (m *metrics) leading(yes bool) { m.leader.Set(number(yes)) }

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
