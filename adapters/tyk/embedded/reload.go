package embedded

import (
	"net/http"
	"sync"
	"time"
)

// ResubscribeTicks is how long a gateway's subscription to group reloads stays
// dead after Redis came back, in ticks of the reload loop. A group reload that is
// sent meanwhile is lost for good, although it is answered with 200.
const ResubscribeTicks = 10

// reloads are the reloads that the next tick will do as one.
type reloads struct {
	mu      sync.Mutex
	queued  bool
	waiting []chan struct{}

	once   sync.Once
	closed chan struct{}
}

// queue asks for a reload. done, unless nil, is closed when it has happened.
func (q *reloads) queue(done chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queued = true
	if done != nil {
		q.waiting = append(q.waiting, done)
	}
}

func (q *reloads) take() (waiting []chan struct{}, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting, ok = q.waiting, q.queued
	q.waiting, q.queued = nil, false
	return waiting, ok
}

func (q *reloads) close() { q.once.Do(func() { close(q.closed) }) }

// reloadLoop works off what is queued, once a tick.
func (g *Gateway) reloadLoop() {
	tick := time.NewTicker(g.config.ReloadTick)
	defer tick.Stop()
	for {
		select {
		case <-g.reloads.closed:
			return
		case <-tick.C:
		}
		waiting, ok := g.reloads.take()
		if !ok {
			continue
		}
		g.load(nil)
		for _, done := range waiting {
			close(done)
		}
	}
}

// reload serves GET /tyk/reload. With block=true the answer waits for the tick and
// the work.
func (g *Gateway) reload(c *call) {
	if g.faults.loseReload() {
		c.ok()
		return
	}
	if c.r.URL.Query().Get("block") != "true" {
		g.reloads.queue(nil)
		c.ok()
		return
	}
	done := make(chan struct{})
	g.reloads.queue(done)
	select {
	case <-done:
		c.ok()
	case <-g.reloads.closed:
		c.fail(http.StatusServiceUnavailable, "the gateway is closed")
	case <-c.r.Context().Done():
	}
}

// reloadGroup serves GET /tyk/reload/group, which never tells whether anybody
// reloaded.
func (g *Gateway) reloadGroup(c *call) {
	if !g.faults.loseReload() {
		g.store.publish()
	}
	c.ok()
}
