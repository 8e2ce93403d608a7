package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// "target_url path and query: joined: /base + /x; query merged ?k=v&z=1".
func TestUpstreamURL(t *testing.T) {
	cases := []struct {
		target string
		strip  bool
		// request and what the upstream sees of it
		request, want string
	}{
		{"http://x1.test", true, "/p/", "/"},
		{"http://x1.test/", true, "/p/x/", "/x/"},
		{"http://x1.test/", false, "/p/x", "/p/x"},
		{"http://x1.test/base", true, "/p/x", "/base/x"},
		{"http://x1.test/base/", true, "/p/x", "/base/x"},
		{"http://x1.test/base", false, "/p/x", "/base/p/x"},
		{"http://x1.test/base?k=v", true, "/p/x?z=1", "/base/x?k=v&z=1"},
		{"http://x1.test/base?k=v", true, "/p/x", "/base/x?k=v"},
		{"http://x1.test/", true, "/p/x?a=1;b=2&c=%zz", "/x?a=1;b=2&c=%zz"},
		{"http://x1.test/", true, "/p/a%2Fb", "/a%2Fb"},
		{"http://x1.test/b%2Fc", true, "/p/a", "/b%2Fc/a"},
		{"https://x1.test/", true, "/p/x", "/x"},
	}
	for _, c := range cases {
		g := start(t)
		g.load(apiOf("x1", "/p/", "proxy.target_url", c.target, "proxy.strip_listen_path", c.strip))
		if got := g.upstream(c.request); got != "x1 "+c.want {
			t.Errorf("%s, strip %v, %s: got %s, want %s", c.target, c.strip, c.request, got, c.want)
		}
	}
}

// "preserve_host_header true: upstream sees the client's Host, else the target's".
func TestHostHeader(t *testing.T) {
	for preserve, want := range map[bool]string{true: "client.test", false: "x1.test"} {
		g := start(t)
		g.load(apiOf("x1", "/", "proxy.preserve_host_header", preserve))
		if _, text := g.get("http://client.test/x"); !strings.HasSuffix(text, " host="+want) {
			t.Errorf("preserve %v: %s", preserve, text)
		}
	}
}

func TestForwardedFor(t *testing.T) {
	g := start(t)
	g.load(apiOf("x1", "/"))
	r := newRequest("http://client.test/x")
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	if got := g.do(r).Header().Get("X-Via"); got != "198.51.100.1, 192.0.2.7" {
		t.Error(got)
	}
}

// "dead port: the same 500; unresolvable: 500 Upstream host lookup failed (never
// 502/503)".
func TestUpstreamErrors(t *testing.T) {
	for text, failure := range map[string]error{
		"There was a problem proxying the request": &net.OpError{Op: "dial", Err: errors.New("connection refused")},
		"Upstream host lookup failed":              &net.DNSError{Err: "no such host", IsNotFound: true},
	} {
		g := start(t, func(c *Config) {
			c.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, failure }}
		})
		g.load(apiOf("x1", "/"))
		if code, got := g.path("/"); code != 500 || got != `{"error": "`+text+`"}` {
			t.Errorf("%v: %d %s", failure, code, got)
		}
	}
}

// "falls back to auth token: 401", keyless passes, any unknown key 403.
func TestKeys(t *testing.T) {
	g := start(t)
	g.load(
		apiOf("open", "/open/"),
		apiOf("closed", "/closed/", "use_keyless", false),
		apiOf("named", "/named/", "use_keyless", false, "auth_configs", map[string]any{"authToken": map[string]any{
			"auth_header_name": "X-Key", "use_param": true, "use_cookie": true, "cookie_name": "k"}}),
		apiOf("jwt", "/jwt/", "use_keyless", false, "enable_jwt", true),
	)
	const missing, refused = `{"error": "Authorization field missing"}`, `{"error": "Access to this API has been disallowed"}`
	cases := []struct {
		target, header, value string
		code                  int
		body                  string
	}{
		{"/open/", "Authorization", "anything", 200, ""},
		{"/closed/", "", "", 401, missing},
		{"/closed/", "Authorization", "nobody's", 403, refused},
		{"/named/", "Authorization", "nobody's", 401, missing},
		{"/named/", "X-Key", "nobody's", 403, refused},
		{"/named/?X-Key=k", "", "", 403, refused},
		{"/named/", "Cookie", "k=v", 403, refused},
		{"/jwt/", "", "", 401, missing},
		{"/jwt/", "Authorization", "Bearer x.y.z", 403, refused},
	}
	for _, c := range cases {
		r := newRequest("http://gw.test" + c.target)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := g.do(r)
		if w.Code != c.code || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s %s: %d %s", c.target, c.header, w.Code, w.Body)
		}
	}
}

func TestVersions(t *testing.T) {
	g := start(t)
	g.load(apiOf("v", "/v/", "version_data.not_versioned", false, "version_data.default_version", "",
		"definition", map[string]any{"location": "header", "key": "x-version"}))
	for name, want := range map[string]string{
		"":        `403 {"error": "Version information not found"}`,
		"Default": "200",
		"other":   `403 {"error": "This API version does not seem to exist"}`,
	} {
		r := newRequest("http://gw.test/v/")
		r.Header.Set("x-version", name)
		w := g.do(r)
		if got := fmt.Sprint(w.Code, " ", w.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	g.code("PUT", "/tyk/apis/v", apiOf("v", "/v/", "version_data.not_versioned", false, "version_data.default_version", "Default"))
	g.reload()
	wantWinner(t, g, "/v/", "v")
}

// "round robin, entries may lack a scheme".
func TestLoadBalancing(t *testing.T) {
	g := start(t)
	g.load(apiOf("x1", "/p/", "proxy.enable_load_balancing", true, "proxy.target_list", []string{"http://one.test/base", "two.test:81"}))
	for _, want := range []string{"one /base/x", "two /x", "one /base/x", "two /x"} {
		if got := g.upstream("/p/x"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		g.reload() // the turn survives
	}
}

// The rest goes over real connections.

func serve(t *testing.T, g *rig) (port int, base string) {
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, _ = strconv.Atoi(u.Port())
	return port, server.URL
}

// "bad regexp in extended_paths.white_list: POST 200, loads, every request panics:
// connection closed without a response".
func TestChoking(t *testing.T) {
	g := start(t)
	white := func(path string) map[string]any {
		return map[string]any{"Default": map[string]any{"extended_paths": map[string]any{"white_list": []any{map[string]any{"path": path}}}}}
	}
	g.load(apiOf("bad", "/bad/", "version_data.versions", white("/[")), apiOf("good", "/good/", "version_data.versions", white("/{id}/x")))
	_, base := serve(t, g)
	if resp, err := http.Get(base + "/bad/x"); err == nil {
		t.Errorf("answered %s", resp.Status)
	}
	wantWinner(t, g, "/good/x", "good")
}

func TestListenPort(t *testing.T) {
	g := start(t)
	port, base := serve(t, g)
	g.load(apiOf("same", "/same/", "listen_port", port), apiOf("other", "/other/", "listen_port", port+1))
	for path, want := range map[string]int{"/same/": 200, "/other/": 404} {
		resp, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func TestRealUpstreams(t *testing.T) {
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.Method, r.URL, body)
	}))
	upstream.Config.Protocols = new(http.Protocols)
	upstream.Config.Protocols.SetHTTP1(true)
	upstream.Config.Protocols.SetUnencryptedHTTP2(true)
	upstream.Start()
	defer upstream.Close()
	g := start(t, func(c *Config) { c.Transport = nil })
	_, base := serve(t, g)
	g.load(
		apiOf("h1", "/h1/", "proxy.target_url", upstream.URL),
		apiOf("h2c", "/h2c/", "proxy.target_url", strings.Replace(upstream.URL, "http", "h2c", 1)),
		apiOf("dead", "/dead/", "proxy.target_url", "http://127.0.0.1:1"),
	)
	for path, want := range map[string]string{
		"/h1/x?q=1":  "200 HTTP/1.1 POST /x?q=1 hi",
		"/h2c/x?q=1": "200 HTTP/2.0 POST /x?q=1 hi",
		"/dead/x":    `500 {"error": "There was a problem proxying the request"}`,
	} {
		resp, err := http.Post(base+path, "text/plain", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", string(body)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
