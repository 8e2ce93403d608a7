package webhook

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// result says what became of a request.
type result string

const (
	allowed result = "allowed"
	patched result = "patched"
	denied  result = "denied"
	// failed: there was no answer that the API server can use.
	failed result = "failed"
)

// seconds are the buckets of durations: a decision takes about a millisecond, and after
// a few seconds the API server no longer waits.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

const (
	// maxKinds bounds the series: who can reach the port can make up kinds.
	maxKinds  = 20
	otherKind = "other"
)

// metrics counts requests.
type metrics struct {
	duration *prometheus.HistogramVec

	mu    sync.Mutex
	kinds map[string]bool
}

// newMetrics registers nowhere when r is nil. expiry gives when the serving certificate
// expires, in Unix time, 0 while there is none.
func newMetrics(r prometheus.Registerer, expiry func() float64) *metrics {
	f := promauto.With(r)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cuegate_webhook_certificate_expiry_timestamp_seconds", Help: "When the serving certificate of the webhook expires, in Unix time; 0 while there is none.",
	}, expiry)
	return &metrics{kinds: map[string]bool{}, duration: f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cuegate_webhook_request_duration_seconds", Help: "How long the answer to an AdmissionReview took; result is allowed, patched, denied or failed.", Buckets: seconds,
	}, []string{"kind", "result"})}
}

// answered counts a request; kind is "" for one that names none.
func (m *metrics) answered(kind string, r result, took time.Duration) {
	m.duration.WithLabelValues(m.known(kind), string(r)).Observe(took.Seconds())
}

func (m *metrics) known(kind string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.kinds[kind] {
		if len(m.kinds) >= maxKinds {
			return otherKind
		}
		m.kinds[kind] = true
	}
	return kind
}
