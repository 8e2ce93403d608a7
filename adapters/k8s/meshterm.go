package k8s

import (
	"context"
	"reflect"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/record"

	"github.com/cuegate/cuegate/engine"
)

// MeshSettings have a Controller look after workloads, their Services and their pods.
// The certificates are in the namespace engine.Config.MeshNamespace.
type MeshSettings struct {
	// Keeper looks after the certificates, while this controller is the one to; where it
	// is nil, somebody else does.
	Keeper MeshKeeper
}

// MeshKeeper looks after the certificates and secrets of a mesh. Mesh is one.
type MeshKeeper interface {
	// Want says which certificates are needed, and which namespaces have sidecars. It
	// returns at once, and is called when these change, also before Run and after it.
	Want(identities []engine.Identity, namespaces []string)
	// Run keeps up what is wanted until ctx ends. It may run again.
	Run(ctx context.Context) error
}

// meshSide is what a Controller knows of the mesh.
type meshSide struct {
	keeper  MeshKeeper // may be nil
	metrics *watchdogMetrics
	// wanted is what the keeper was told last. The loop's goroutine alone uses it.
	wanted *meshNeeds

	mu       sync.Mutex
	services *services // nil while this controller does not keep them
}

// meshNeeds are what loop.needs gives.
type meshNeeds struct {
	identities []engine.Identity
	namespaces []string
}

func newMeshSide(s MeshSettings, r prometheus.Registerer) *meshSide {
	return &meshSide{keeper: s.Keeper, metrics: newWatchdogMetrics(r)}
}

// want tells the keeper what is needed, if that is new. The loop has decided about
// everything that was there at the start.
func (m *meshSide) want(n meshNeeds) {
	first := m.wanted == nil
	if !first && reflect.DeepEqual(*m.wanted, n) {
		return
	}
	m.wanted = &n
	if m.keeper != nil {
		m.keeper.Want(n.identities, n.namespaces)
	}
	if first {
		m.lookAll() // nothing was known before
	}
}

// look has the Service of a workload looked at, if this controller keeps it.
func (m *meshSide) look(ref engine.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.services != nil && isWorkload(ref.Kind) {
		m.services.look(ref)
	}
}

// lookAll has all Services looked at.
func (m *meshSide) lookAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.services != nil {
		m.services.lookAll()
	}
}

// keepMesh looks after Services, pods and certificates until ctx ends. fail ends the
// controller with an error.
func (c *Controller) keepMesh(ctx context.Context, recorder record.EventRecorder, fail func(error)) {
	s := newServices(servicesOptions{Client: c.options.Client, Watch: c.watch, Standing: c.loop.standing, Recorder: recorder, Log: c.log})
	w := newWatchdog(watchdogOptions{Metadata: c.options.Metadata, Managed: c.loop.managed, Recorder: recorder, Metrics: c.mesh.metrics, Log: c.log})
	c.mesh.keeps(s)
	defer c.mesh.keeps(nil)
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx) })
	running.Go(func() { w.run(ctx) })
	if c.mesh.keeper != nil {
		running.Go(func() { fail(c.mesh.keeper.Run(ctx)) })
	}
	running.Wait()
}

func (m *meshSide) keeps(s *services) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.services = s
}
