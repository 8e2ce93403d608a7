package embedded

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// discard takes what httputil says of failing upstreams: the client is told.
var discard = log.New(io.Discard, "", 0)

// targets of an API. Those of a load balancer may lack a scheme; those that
// cannot be parsed are left out.
func targets(a *api) []*url.URL {
	texts := []string{a.Proxy.Target}
	if a.Proxy.Balance {
		texts = nil
		for _, t := range a.Proxy.Targets {
			if !strings.Contains(t, "://") {
				t = "http://" + t
			}
			texts = append(texts, t)
		}
	}
	var urls []*url.URL
	for _, t := range texts {
		if u, err := url.Parse(t); err == nil {
			urls = append(urls, u)
		}
	}
	return urls
}

// target is the next one in turn.
func (rt *route) target() *url.URL {
	switch n := uint32(len(rt.targets)); n {
	case 0:
		return &url.URL{}
	case 1:
		return rt.targets[0]
	default:
		return rt.targets[(rt.turn.Add(1)-1)%n]
	}
}

// rewrite makes the upstream's request: the target's path with what is left of the
// request's behind it, and the target's query before the request's.
func (rt *route) rewrite(p *httputil.ProxyRequest) {
	target, in, out := rt.target(), p.In, p.Out
	path, raw := in.URL.Path, in.URL.RawPath
	if rt.api.Proxy.Strip {
		path = rt.pattern.strip(path)
		if raw != "" {
			raw = rt.pattern.strip(raw)
		}
	}
	out.URL.Scheme, out.URL.Host = target.Scheme, target.Host
	if target.Scheme == "h2c" {
		out.URL.Scheme = "http"
	}
	keep := rt.api.Proxy.DisableStripSlash
	out.URL.Path, out.URL.RawPath = join(target.Path, path, keep), ""
	if raw != "" || target.RawPath != "" {
		escaped := raw
		if escaped == "" {
			escaped = (&url.URL{Path: path}).EscapedPath()
		}
		out.URL.RawPath = join(target.EscapedPath(), escaped, keep)
	}
	out.URL.RawQuery = target.RawQuery
	if q := in.URL.RawQuery; q != "" {
		out.URL.RawQuery = strings.TrimPrefix(target.RawQuery+"&"+q, "&")
	}
	out.Host = ""
	if rt.api.Proxy.PreserveHost {
		out.Host = in.Host
	}
	forward(in, out)
}

// join puts one slash between two paths, and none behind the first when the
// second is "/". keepSlash, disable_strip_slash, leaves the first as it is then.
func join(a, b string, keepSlash bool) string {
	b = strings.TrimLeft(b, "/")
	if b == "" && keepSlash {
		return a
	}
	a = strings.TrimRight(a, "/")
	if b == "" {
		return a
	}
	return a + "/" + b
}

// forward keeps the headers of proxies before this one, which httputil takes away,
// and adds the client's address.
func forward(in, out *http.Request) {
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := in.Header[name]; v != nil {
			out.Header[name] = v
		}
	}
	via := in.Header["X-Forwarded-For"]
	if client, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		via = append(via[:len(via):len(via)], client)
	}
	if len(via) > 0 {
		out.Header.Set("X-Forwarded-For", strings.Join(via, ", "))
	}
}

// proxyError answers for an upstream that does not: always with 500.
func proxyError(w http.ResponseWriter, _ *http.Request, err error) {
	var lookup *net.DNSError
	if errors.As(err, &lookup) && lookup.IsNotFound {
		deny(w, http.StatusInternalServerError, "Upstream host lookup failed")
		return
	}
	deny(w, http.StatusInternalServerError, "There was a problem proxying the request")
}
