package embedded

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// upstreamCertificates says what an API presents to https upstreams.
type upstreamCertificates struct {
	// UpstreamCertificates are ids by host.
	UpstreamCertificates         map[string]string `json:"upstream_certificates"`
	UpstreamCertificatesDisabled bool              `json:"upstream_certificates_disabled"`
}

// upstreamCertificate is the id for a host, which has a port where the target names
// one; "" for none. The closest key counts: the host with its port, without, *.<rest of
// the name> with the port, without, and "*". This is Tyk's documentation, save that a
// key without a port is good for any, which newer gateways do by their source: before,
// a host with a port had to be named with it. None of it is measured.
func (u *upstreamCertificates) upstreamCertificate(host string) string {
	if u.UpstreamCertificatesDisabled {
		return ""
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	for _, key := range []string{host, name, siblings(host), siblings(name), "*"} {
		if id, ok := u.UpstreamCertificates[key]; ok && key != "" {
			return id
		}
	}
	return ""
}

// siblings is the wildcard of a host's first label, "" where there is only one.
func siblings(host string) string {
	_, rest, ok := strings.Cut(host, ".")
	if !ok {
		return ""
	}
	return "*." + rest
}

// upstreams are the transports by which the gateway reaches upstreams.
type upstreams struct {
	plain http.RoundTripper
	h2c   http.RoundTripper // for targets of scheme h2c

	mu sync.Mutex
	// special are clones of plain: connections that showed one certificate are never
	// taken for requests that have to show another, or were not verified for those that
	// want it.
	special map[handshake]*http.Transport
}

// handshake is what distinguishes connections to one https upstream.
type handshake struct {
	certificate *certificate
	insecure    bool
}

func newUpstreams(c Config) upstreams {
	plain := c.Transport
	if known, ok := plain.(*http.Transport); ok && (c.Dial != nil || c.UpstreamCAs != nil) {
		clone := derive(known)
		if c.Dial != nil {
			clone.DialContext = c.Dial
		}
		if c.UpstreamCAs != nil {
			clone.TLSClientConfig.RootCAs = c.UpstreamCAs
		}
		plain = clone
	}
	return upstreams{plain: plain, h2c: cleartextHTTP2(plain), special: map[handshake]*http.Transport{}}
}

// transportOf an API.
func (g *Gateway) transportOf(rt *route) http.RoundTripper {
	a := rt.api
	switch {
	case len(rt.targets) > 0 && rt.targets[0].Scheme == "h2c":
		return g.upstreams.h2c
	case len(a.UpstreamCertificates) > 0 || a.Proxy.Transport.Insecure:
		return &specialTransport{g, a}
	}
	return g.upstreams.plain
}

// specialTransport looks at each request which handshake its upstream wants.
type specialTransport struct {
	gateway *Gateway
	api     *api
}

func (t *specialTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var h handshake
	if r.URL.Scheme == "https" {
		h.insecure = t.api.Proxy.Transport.Insecure
		if c := t.gateway.certificate(t.api.upstreamCertificate(r.URL.Host)); c != nil && c.servable() {
			h.certificate = c
		}
	}
	return t.gateway.upstreams.by(h).RoundTrip(r)
}

// by gives the transport that shakes hands so.
func (u *upstreams) by(h handshake) http.RoundTripper {
	known, ok := u.plain.(*http.Transport)
	if !ok || h == (handshake{}) {
		return u.plain
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.special[h]
	if t == nil {
		t = derive(known)
		t.TLSClientConfig.InsecureSkipVerify = h.insecure || t.TLSClientConfig.InsecureSkipVerify
		if h.certificate != nil {
			t.TLSClientConfig.Certificates = []tls.Certificate{*h.certificate.pair}
		}
		u.special[h] = t
	}
	return t
}

// keep forgets the transports whose certificate is not among these. Their requests
// end as they began.
func (u *upstreams) keep(certs map[string]*certificate) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for h, t := range u.special {
		if c := h.certificate; c != nil && certs[c.id] != c {
			t.CloseIdleConnections()
			delete(u.special, h)
		}
	}
}

// derive clones a transport to change how it connects. It speaks HTTP/2 if the
// original does: a transport with a dialer or tls.Config of its own would only offer it.
func derive(t *http.Transport) *http.Transport {
	clone := t.Clone()
	if clone.TLSClientConfig == nil {
		clone.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	clone.ForceAttemptHTTP2 = clone.ForceAttemptHTTP2 || slices.Contains(clone.TLSClientConfig.NextProtos, "h2")
	return clone
}

// cleartextHTTP2 gives a transport that speaks HTTP/2 without TLS, or the very
// transport when it is of an unknown kind.
func cleartextHTTP2(t http.RoundTripper) http.RoundTripper {
	known, ok := t.(*http.Transport)
	if !ok {
		return t
	}
	clone := known.Clone()
	clone.Protocols = new(http.Protocols)
	clone.Protocols.SetUnencryptedHTTP2(true)
	return clone
}
