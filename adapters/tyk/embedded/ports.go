package embedded

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A port is what a generation serves on one port other than the gateway's own. That
// ports have routers and certificates of their own, and the protocol of their first
// API, was read in the gateway's source and is not measured. Listen paths collide across
// ports all the same, see spec.claim.
type port struct {
	// protocol is that of the first API, in the order of compareSpecs. Nobody listens
	// unless it is "http" or "https".
	protocol string
	router   router
	pool     pool
	// mutual is true when an API wants a client certificate.
	mutual bool
}

// otherPort is the port of an API that is not the gateway's own, or 0: any but its own
// is closed without Config.Listen. TCP is left out.
func (g *Gateway) otherPort(a *api) int {
	if g.config.Listen == nil || a.ListenPort == g.config.Port || isTCP(a.Protocol) {
		return 0
	}
	return a.ListenPort
}

// makePort makes the port of specs that come in order. prev is what it was before, nil
// for nothing.
func (g *Gateway) makePort(n int, specs []*spec, prev *port, certs map[string]*certificate) *port {
	if prev == nil {
		prev = &port{}
	}
	p := &port{protocol: plainProtocol(&specs[0].def.api), pool: g.fillPool(specs, certs)}
	builder := newRouterBuilder(g.config.CustomDomains, &prev.router)
	for _, s := range specs {
		a := &s.def.api
		if protocol := plainProtocol(a); protocol != p.protocol {
			g.log.Warn("Can't get router for protocol "+protocol+", router for protocol "+p.protocol+" found", "port", n, "api_id", a.ID)
			continue
		}
		builder.add(s.route)
		p.mutual = p.mutual || a.MutualTLS
	}
	p.router = builder.router
	return p
}

// plainProtocol of an API: none is http.
func plainProtocol(a *api) string { return or(a.Protocol, "http") }

// servePort is the data plane of another port. Neither the control API nor health is
// there.
func (g *Gateway) servePort(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if redirectToClean(w, r) {
			return
		}
		// A connection may outlive the listener that it came in by.
		p := g.now.Load().ports[n]
		if p == nil || p.protocol != protocolOf(r) {
			notFound(w)
			return
		}
		p.router.serve(w, r)
	}
}

// handshakes is how the TLS listener of a port shakes hands: by what is loaded then.
// It asks for a client certificate, of whatever issuer, once an API wants one. HTTP/2 is
// offered, as http_server_options.enable_http2 has it.
func (g *Gateway) handshakes(n int) *tls.Config {
	asks := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if p := g.now.Load().ports[n]; p != nil {
				return p.pool.choose(hello.ServerName), nil
			}
			return nil, nil
		},
	}
	plain := asks.Clone()
	plain.ClientAuth = tls.NoClientCert
	plain.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if p := g.now.Load().ports[n]; p != nil && p.mutual {
			return asks, nil
		}
		return nil, nil
	}
	return plain
}

// closingTime is how long requests may take to end once their port is closed.
const closingTime = 10 * time.Second

// listeners are the other ports that are open.
type listeners struct {
	mu     sync.Mutex
	byPort map[int]*listener
	// ending is done when the gateway is closed, by end.
	ending context.Context
	end    context.CancelFunc
	// servers are those that serve or are being shut.
	servers sync.WaitGroup
}

type listener struct {
	net.Listener
	protocol string
	server   *http.Server
}

func newListeners() listeners {
	ending, end := context.WithCancel(context.Background())
	return listeners{byPort: map[int]*listener{}, ending: ending, end: end}
}

// listen opens the listeners of these ports, and closes all others. One that could not
// be opened is tried again at the next load.
func (g *Gateway) listen(ports map[int]*port) {
	ls := &g.listeners
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for n, l := range ls.byPort {
		if p := ports[n]; p == nil || p.protocol != l.protocol {
			ls.shut(l)
			delete(ls.byPort, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(ports)) {
		protocol := ports[n].protocol
		if ls.byPort[n] != nil || protocol != "http" && protocol != "https" || ls.ending.Err() != nil {
			continue
		}
		l, err := g.config.Listen(n)
		if err != nil {
			g.log.Error("Can't start listener", "port", n, "error", err)
			continue
		}
		ls.byPort[n] = g.start(n, protocol, l)
	}
}

// start serves a port. The caller holds the lock.
func (g *Gateway) start(n int, protocol string, l net.Listener) *listener {
	server := &http.Server{Handler: g.servePort(n), ReadHeaderTimeout: 10 * time.Second, ErrorLog: discard}
	serve := server.Serve
	if protocol == "https" {
		server.TLSConfig = g.handshakes(n)
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	g.listeners.servers.Go(func() { _ = serve(l) })
	return &listener{l, protocol, server}
}

// shut closes a listener at once, so that its address is free, and its connections
// when their requests have ended. The caller holds the lock.
func (ls *listeners) shut(l *listener) {
	_ = l.Close()
	ls.servers.Go(func() {
		ctx, cancel := context.WithTimeout(ls.ending, closingTime)
		defer cancel()
		_ = l.server.Shutdown(ctx)
		_ = l.server.Close()
	})
}

// close closes all listeners and connections. No listener is opened any more.
func (ls *listeners) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.end()
	for n, l := range ls.byPort {
		_ = l.server.Close()
		_ = l.Close() // a server that does not serve yet does not know it
		delete(ls.byPort, n)
	}
	ls.servers.Wait()
}
