package pods

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
)

// proxy leads to pods and Services. Its calls come from outside all pods, or from one.
type proxy struct {
	pods *Pods
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// failed answers a request that gets through to nobody.
	failed func(http.ResponseWriter, *http.Request, error)
}

// hangUp is how a caller finds it where nobody listens: a connection that breaks.
func hangUp(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }

// explain is for people.
func explain(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusBadGateway)
}

// ProxyFrom opens a proxy on loopback until ctx ends, and gives its URL. Who uses it asks
// as an app in a pod of the workload does:
//
//	curl -x URL http://mesh/echo
func (p *Pods) ProxyFrom(ctx context.Context, workload string) (string, error) {
	return proxy{p, p.Dialer(workload), explain}.serve(ctx, "tcp", "127.0.0.1:0")
}

// serve opens the proxy until ctx ends, and gives its URL.
func (x proxy) serve(ctx context.Context, network, address string) (string, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DialContext: x.dial, MaxIdleConnsPerHost: 10}
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: transport, ErrorHandler: x.failed}
	serve(ctx, &x.pods.running, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			x.pods.running.Add(1) // a server does not wait for what was hijacked
			defer x.pods.running.Done()
			x.tunnel(ctx, w, r)
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
func (x proxy) tunnel(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	upstream, err := x.dial(r.Context(), "tcp", r.Host)
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
