package k8s

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meshMetrics counts what becomes of the certificates of the mesh. Its methods may be
// called by several goroutines.
type meshMetrics struct {
	expiry           *prometheus.GaugeVec
	issued, failures *prometheus.CounterVec

	mu sync.Mutex
	// known are the identities that have a series, by the names of their Secrets.
	known map[string]identity
}

func newMeshMetrics() *meshMetrics {
	return &meshMetrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cuegate_mesh_certificate_expiry_timestamp_seconds",
			Help: "When a certificate of the mesh expires, in Unix time; role is server, client or ca."}, []string{"role", "for"}),
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cuegate_mesh_certificates_issued_total",
			Help: "Certificates of the mesh that were issued."}, []string{"role"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cuegate_mesh_failures_total",
			Help: "Looks at something of the mesh that ended with a problem; reason is its id."}, []string{"reason"}),
		known: map[string]identity{},
	}
}

// Register registers the metrics of the mesh.
func (m *Mesh) Register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.metrics.expiry, m.metrics.issued, m.metrics.failures} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// expires notes when the certificate of a Secret expires.
func (x *meshMetrics) expires(secret string, id identity, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known[secret] = id
	x.expiry.WithLabelValues(id.role, id.of).Set(float64(at.Unix()))
}

// forget drops the series of a Secret.
func (x *meshMetrics) forget(secret string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if id, is := x.known[secret]; is {
		x.expiry.DeleteLabelValues(id.role, id.of)
		delete(x.known, secret)
	}
}

// forgetAll drops all series of certificates: another controller looks after them now.
func (x *meshMetrics) forgetAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.expiry.Reset()
	clear(x.known)
}
