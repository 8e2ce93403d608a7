package embedded

import (
	"crypto/tls"
	"log/slog"
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
	// Transport reaches the upstreams. The default is http.DefaultTransport, with
	// more idle connections. Targets of scheme h2c want an *http.Transport.
	Transport http.RoundTripper
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
	h2c    http.RoundTripper // for targets of scheme h2c
	faults Faults
	calls  calls

	reloads reloads
	loading sync.Mutex // one load at a time
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
	g := &Gateway{config: c, store: c.Store, log: c.Log, h2c: cleartextHTTP2(c.Transport)}
	g.reloads.closed = make(chan struct{})
	g.Restart()
	g.store.subscribe(g)
	go g.reloadLoop()
	return g
}

// Close ends the reload loop. The gateway serves on what it has loaded.
func (g *Gateway) Close() {
	g.store.unsubscribe(g)
	g.reloads.close()
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
	if clean := cleanPath(r.URL.Path); clean != r.URL.Path {
		u := *r.URL
		u.Path = clean
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusMovedPermanently)
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

// cleanPath resolves // and dots and keeps a slash at the end.
func cleanPath(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}

// GetCertificate is for a tls.Config: it chooses, by the server name, among the
// certificates of the loaded APIs. It returns nil when none fits, so that the
// certificates of the tls.Config itself are the default, and without those the
// handshake ends with the alert unrecognized_name.
func (g *Gateway) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return g.now.Load().pool.choose(hello.ServerName), nil
}
