package embedded

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how a gateway is set up. The names in the comments are those of
// tyk.conf.
type Config struct {
	Secret        string // of the header x-tyk-authorization
	CustomDomains bool   // enable_custom_domains; without it, domains are ignored
	StrictRoutes  bool   // http_server_options.enable_strict_routes

	// ReloadTick is how often a queued reload is looked for. The default, and
	// the real gateway's, is a second.
	ReloadTick time.Duration
	// Port is listen_port, the gateway's own, for APIs that name it. It counts only
	// beside Listen.
	Port int
	// Listen opens the listener of a port other than the gateway's own, at the load
	// that brings the first API with that listen_port, and may map it to any address.
	// It stands for disable_ports_whitelist: without it, such APIs are listed and not
	// served.
	Listen func(port int) (net.Listener, error)

	// Transport reaches the upstreams. The default is http.DefaultTransport, with
	// more idle connections. Targets of scheme h2c, Dial, UpstreamCAs and what
	// definitions say of certificates want an *http.Transport.
	Transport http.RoundTripper
	// Dial connects to upstreams. The default is that of the Transport.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// UpstreamCAs are who may sign the certificates of https upstreams. The default is
	// that of the Transport, and then the roots of the system.
	UpstreamCAs *x509.CertPool
	// Keys are what an API with auth tokens lets in. The default is nobody.
	Keys []string

	// Store has the files and Redis. The default is a new one.
	Store *Store
	// Log gets what the real gateway logs about definitions. The default is
	// silence.
	Log *slog.Logger
}

// A Gateway serves the control API and the traffic of the APIs that it has loaded.
type Gateway struct {
	config Config
	store  *Store
	log    *slog.Logger
	faults Faults
	calls  calls
	keys   map[string]bool

	upstreams upstreams
	listeners listeners
	reloads   reloads
	loading   sync.Mutex // one load at a time
	// now is what is loaded.
	now atomic.Pointer[generation]
}

// New returns a gateway that has loaded what the store has. It runs until Close.
func New(c Config) *Gateway {
	if c.ReloadTick <= 0 {
		c.ReloadTick = time.Second
	}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 100 // the real gateway's default; Go's is 2
		c.Transport = t
	}
	if c.Store == nil {
		c.Store = NewStore()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{config: c, store: c.Store, log: c.Log, keys: map[string]bool{}}
	for _, key := range c.Keys {
		g.keys[key] = true
	}
	g.upstreams = newUpstreams(c)
	g.listeners = newListeners()
	g.reloads.closed = make(chan struct{})
	g.Restart()
	g.store.subscribe(g)
	go g.reloadLoop()
	return g
}

// Close ends the reload loop, and closes the listeners that Config.Listen opened and
// their connections. On its own port the gateway serves on what it has loaded.
func (g *Gateway) Close() {
	g.store.unsubscribe(g)
	g.reloads.close()
	g.listeners.close()
}

// Restart does what the restart of the process does: the gateway forgets what it
// has loaded, and who was first on a listen path, and loads the files.
func (g *Gateway) Restart() {
	g.load(&generation{})
}

// Faults are the switches that make the control API fail.
func (g *Gateway) Faults() *Faults { return &g.faults }

// Calls tells how often each call of the control API came in, refused ones
// included, as "PUT /tyk/apis/{id}", since the start or ResetCalls.
func (g *Gateway) Calls() map[string]int { return g.calls.counts() }

// ResetCalls starts the count of Calls anew.
func (g *Gateway) ResetCalls() { g.calls.reset() }

// ServeHTTP serves health and the control API, which win on every host, and then
// the loaded APIs.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if redirectToClean(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/hello":
		g.hello(w, r)
	case r.URL.Path == "/ready":
		g.ready(w, r)
	case strings.HasPrefix(r.URL.Path, controlRoot):
		g.control(w, r)
	default:
		g.now.Load().serve(w, r)
	}
}

// redirectToClean answers a path with // or dots in it, and tells whether it did.
func redirectToClean(w http.ResponseWriter, r *http.Request) bool {
	clean := cleanPath(r.URL.Path)
	if clean == r.URL.Path {
		return false
	}
	u := *r.URL
	u.Path = clean
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusMovedPermanently)
	return true
}

// cleanPath resolves // and dots and keeps a slash at the end.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// GetCertificate is for the tls.Config of the gateway's own port: it chooses, by the
// server name, among the certificates of the loaded APIs on that port. It returns nil
// when none fits, so that the certificates of the tls.Config itself are the default,
// and without those the handshake ends with the alert unrecognized_name. For APIs with
// mutual TLS, the tls.Config has to ask for client certificates.
func (g *Gateway) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return g.now.Load().pool.choose(hello.ServerName), nil
}
