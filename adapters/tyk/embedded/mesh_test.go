package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// mesh is a caller's and a callee's sidecar, each with a store of its own, and the
// service behind the callee's.
type mesh struct {
	caller, callee *rig
	doors          *doors
	service        *httptest.Server
	// app is where the caller's application finds its sidecar.
	app string
}

func startMesh(t *testing.T, ca authority, change func(*Config)) *mesh {
	t.Helper()
	m := &mesh{service: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "echo ", r.URL.Path)
	}))}
	t.Cleanup(m.service.Close)
	m.callee, m.doors = startPorts(t, change)
	m.caller, _ = startPorts(t, change, func(c *Config) {
		c.UpstreamCAs = poolOf(t, ca.pair.cert)
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "echo-mesh.shop:8080" || m.doors.address(8080) == "" {
				return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
			}
			return (&net.Dialer{}).DialContext(ctx, network, m.doors.address(8080))
		}
	})
	_, m.app = serve(t, m.caller)
	return m
}

// call is what the caller's application gets for a path of the mesh, with this key.
func (m *mesh) call(client *http.Client, path, key string) string {
	r, err := http.NewRequest("GET", m.app+path, nil)
	if err != nil {
		return err.Error()
	}
	r.Host = "mesh"
	if key != "" {
		r.Header.Set("Authorization", key)
	}
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

// allow has the callee present a certificate, and let in those with these.
func (m *mesh) allow(cert string, clients ...string) {
	m.callee.load(inbound("echo-inbound", cert, "domain", "echo-mesh.shop", "proxy.target_url", m.service.URL,
		"use_mutual_tls_auth", true, "client_certificates", clients))
}

// show has the caller present a certificate.
func (m *mesh) show(cert string) {
	m.caller.load(apiOf("echo-mesh", "/echo/", "domain", "mesh", "proxy.target_url", "https://echo-mesh.shop:8080/",
		"upstream_certificates", map[string]string{"echo-mesh.shop:8080": cert}))
}

func TestMesh(t *testing.T) {
	ca, key := newAuthority(t), rand.Text()
	m := startMesh(t, ca, func(c *Config) { c.Transport, c.Keys = &http.Transport{}, []string{key} })
	server, web, other := ca.issue(t, "echo-mesh.shop"), ca.issue(t, "web"), ca.issue(t, "other")
	serverID, webID := m.callee.upload("O", server.cert, server.key), m.callee.upload("O", web.cert)
	m.caller.upload("O", web.cert, web.key)
	otherID := m.caller.upload("O", other.cert, other.key)
	check := func(what, want, key string) {
		t.Helper()
		if got := m.call(fresh, "/echo/hi", key); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	m.show(webID)
	check("nobody listens", `500 {"error": "Upstream host lookup failed"}`, "")
	m.allow(serverID, webID)
	check("all is well", "200 echo /hi", "")
	m.show(otherID)
	check("a stranger", `403 {"error": "Certificate with SHA256 `+other.fingerprint+` not allowed"}`, "")
	m.show("unknown")
	check("no certificate", `403 {"error": "Client TLS certificate is required"}`, "")
	m.show(webID)

	// a template with tokens, over TLS alone
	m.callee.load(inbound("echo-inbound", serverID, "domain", "echo-mesh.shop", "proxy.target_url", m.service.URL, "use_keyless", false, "use_standard_auth", true))
	check("no key", `401 {"error": "Authorization field missing"}`, "")
	check("a wrong key", `403 {"error": "Access to this API has been disallowed"}`, key+"x")
	check("a key", "200 echo /hi", key)

	// a callee that is not who it should be
	impostor := ca.issue(t, "impostor.shop")
	m.callee.load(inbound("echo-inbound", m.callee.upload("O", impostor.cert, impostor.key), "domain", "echo-mesh.shop", "proxy.target_url", m.service.URL))
	m.caller.load(apiOf("echo-mesh", "/echo/", "domain", "mesh", "proxy.target_url", "https://echo-mesh.shop:8080/", "upstream_certificates", map[string]string{"*": otherID}))
	check("another name", `500 {"error": "There was a problem proxying the request"}`, key)
}

// Both sides get new certificates, and nobody who uses them notices.
func TestRotationUnderTraffic(t *testing.T) {
	t.Run("HTTP 1.1", func(t *testing.T) {
		testRotation(t, func(c *Config) {
			transport := &http.Transport{MaxIdleConnsPerHost: 100, Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(true)
			c.Transport = transport
		})
	})
	t.Run("HTTP 2", func(t *testing.T) { testRotation(t, func(c *Config) { c.Transport = nil }) })
}

// testRotation wants what sets the transport.
func testRotation(t *testing.T, change func(*Config)) {
	ca := newAuthority(t)
	m := startMesh(t, ca, change)
	renew := func(g *rig, name string) (pair, string) {
		p := ca.issue(t, name)
		return p, g.upload("O", p.cert, p.key)
	}
	server, serverID := renew(m.callee, "echo-mesh.shop")
	web, webID := renew(m.caller, "web")
	m.callee.upload("O", web.cert)
	m.allow(serverID, webID)
	m.show(webID)

	var traffic sync.WaitGroup
	var stop atomic.Bool
	calls := make([]atomic.Int64, 4)
	for i := range calls {
		traffic.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ; !stop.Load(); calls[i].Add(1) {
				if got := m.call(client, "/echo/hi", ""); got != "200 echo /hi" {
					t.Errorf("got %s", got)
					return
				}
			}
		})
	}
	defer traffic.Wait()
	defer stop.Store(true)
	// settle waits until all that is under way has ended.
	settle := func() {
		t.Helper()
		for i := range calls {
			begun := calls[i].Load()
			eventually(t, "traffic goes on", func() bool { return t.Failed() || calls[i].Load() > begun+1 })
		}
	}
	for range 3 {
		oldServer, oldServerID, oldWebID := server, serverID, webID
		server, serverID = renew(m.callee, "echo-mesh.shop")
		web, webID = renew(m.caller, "web")
		m.callee.upload("O", web.cert)

		m.allow(serverID, oldWebID, webID)
		if got := presentedAt(m.doors.address(8080), "echo-mesh.shop"); got != server.fingerprint || got == oldServer.fingerprint {
			t.Fatalf("the callee presents %s", got)
		}
		settle()
		m.show(webID)
		settle()
		m.allow(serverID, webID)
		settle()
		for g, ids := range map[*rig][]string{m.callee: {oldServerID, oldWebID}, m.caller: {oldWebID}} {
			for _, id := range ids {
				g.code("DELETE", "/tyk/certs/"+id, "")
			}
			g.reload()
		}
		settle()
	}
}
