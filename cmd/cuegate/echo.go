package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// echoTransport answers for Services that there are not: outside a cluster their
// names do not resolve, and a newcomer wants to see that the route works.
type echoTransport struct {
	real *http.Transport
	mu   sync.Mutex
	// found remembers for a while which hosts resolve.
	found map[string]lookup
}

type lookup struct {
	ok   bool
	when time.Time
}

// remember is how long a look-up counts; lookupTimeout is how long one may take.
const (
	remember      = 10 * time.Second
	lookupTimeout = 500 * time.Millisecond
)

func newEchoTransport() *echoTransport {
	return &echoTransport{real: http.DefaultTransport.(*http.Transport).Clone(), found: map[string]lookup{}}
}

// RoundTrip implements http.RoundTripper.
func (t *echoTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.resolves(r.Context(), r.URL.Hostname()) {
		return t.real.RoundTrip(r)
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
		_ = r.Body.Close()
	}
	text := fmt.Sprintf("Hello from %s.\n\n%s %s\nHost: %s\n", r.URL.Host, r.Method, r.URL.RequestURI(), r.Host)
	for _, name := range []string{"X-Forwarded-For", "User-Agent"} {
		if v := r.Header.Get(name); v != "" {
			text += name + ": " + v + "\n"
		}
	}
	text += "\n(The name does not resolve here, so Cuegate itself answers for the Service.)\n"
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		Body:   io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)),
	}, nil
}

func (t *echoTransport) resolves(ctx context.Context, host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	t.mu.Lock()
	known, ok := t.found[host]
	t.mu.Unlock()
	if ok && time.Since(known.when) < remember {
		return known.ok
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.found[host] = lookup{err == nil && len(addresses) > 0, time.Now()}
	return t.found[host].ok
}
