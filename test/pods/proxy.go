package pods

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// serveProxy opens a proxy to the pods until ctx ends, and gives its URL.
func (p *Pods) serveProxy(ctx context.Context, network, address string) (string, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DialContext: p.network.dial, MaxIdleConnsPerHost: 10}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {},
		Transport: transport,
		// Nobody listens there: what the caller sees is a connection that breaks.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	serve(ctx, &p.running, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			p.running.Add(1) // a server does not wait for what was hijacked
			defer p.running.Done()
			p.tunnel(ctx, w, r)
		case r.URL.Host == "":
			http.Error(w, "This is a proxy.", http.StatusBadRequest)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	context.AfterFunc(ctx, transport.CloseIdleConnections)
	return "http://" + l.Addr().String(), nil
}

// tunnel joins a caller with an address until one of both closes, or ctx ends.
func (p *Pods) tunnel(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	upstream, err := p.network.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer caller.Close()
	if _, err := io.WriteString(caller, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _, _ = upstream.Close(), caller.Close() })()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(upstream, buffered); _ = upstream.Close() })
	both.Go(func() { _, _ = io.Copy(caller, upstream); _ = caller.Close() })
	both.Wait()
}
