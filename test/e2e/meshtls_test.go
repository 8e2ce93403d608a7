//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tlsBundle is a folder with a bundle that has the mesh use this mode.
func tlsBundle(t *testing.T, mode string) string {
	t.Helper()
	dir := t.TempDir()
	writeBundle(t, dir, map[string]string{"policies/data.yaml": "settings: {mesh: {tls: \"" + mode + "\"}}\n"})
	return dir
}

// In the mode tls the callee shows a certificate, which its callers check.
func TestMeshTLS(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run("--bundle", tlsBundle(t, "tls"))
	m.applyText(injected("Deployment", "shop", "sleep"))
	m.applyText(injected("Deployment", "shop", "echo"))
	m.applyText(injected("Deployment", "bank", "ledger"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.call(200, sleepApp, "http://mesh/ledger/x")
	m.call(200, "Deployment/bank/ledger", "http://mesh/echo/x")
	if got := m.direct(sleepApp, "echo-mesh.shop:8080", &tls.Config{RootCAs: m.trust("shop")}); got != "200" {
		t.Errorf("a caller with TLS of his own gets %s", got)
	}
	if got := m.direct(sleepApp, "echo-mesh.shop:8080", &tls.Config{RootCAs: m.trust("shop"), ServerName: "ledger-mesh.bank"}); got == "200" {
		t.Error("echo shows a certificate of ledger")
	}
	if a, err := m.Call(t.Context(), sleepApp, "http://echo-mesh.shop:8080/x", nil); err == nil && a.Status == 200 {
		t.Error("a caller without TLS is let in")
	}
}

// With the rights on one namespace, that one has a mesh, and what asks for a sidecar in
// another is told so, and goes without.
func TestMeshNamespacedRights(t *testing.T) {
	t.Parallel()
	m := newMeshWith(t, "rbac-namespaced.yaml", "rbac-mesh-namespaced.yaml")
	c := m.run("--watch-namespace", "shop", "--bundle", tlsBundle(t, "mtls"))
	m.applyText(injected("Deployment", "shop", "sleep", "injector.tyk.io/group", "front"))
	m.applyText(injected("Deployment", "shop", "echo", "injector.tyk.io/caller-access-groups", "front"))
	m.applyText("{apiVersion: v1, kind: Namespace, metadata: {name: bank}}")
	m.applyText(injected("Deployment", "bank", "ledger", "injector.tyk.io/caller-access-groups", "shop/front"))
	m.call(200, sleepApp, "http://mesh/echo/x")
	m.call(404, sleepApp, "http://mesh/ledger/x")
	m.withoutSidecar("bank", "ledger")
	m.noService("bank", "ledger-mesh")
	m.annotate("shop", "echo", "injector.tyk.io/inject", "")
	m.noService("shop", "echo-mesh")
	m.keysAreNowhere(c)
}

// In the mode mtls only the groups that the callee lists are let in, whichever way they
// come.
func TestMeshMutualTLS(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.run("--bundle", tlsBundle(t, "mtls"))
	const web, stranger = "Deployment/shop/web", "Deployment/shop/stranger"
	callers := "injector.tyk.io/caller-access-groups"
	m.applyText(injected("Deployment", "shop", "web", "injector.tyk.io/group", "front"))
	m.applyText(injected("Deployment", "shop", "stranger", "injector.tyk.io/group", "odd"))
	m.applyText(injected("Deployment", "shop", "echo", callers, "front"))
	m.applyText(injected("Deployment", "bank", "ledger", "injector.tyk.io/group", "vault", callers, "shop/odd"))
	if a := m.call(200, web, "http://mesh/echo/x"); a.Workload != "Deployment/shop/echo" {
		t.Errorf("%s answers", a.Workload)
	}
	m.call(200, stranger, "http://mesh/ledger/x")
	m.call(404, stranger, "http://mesh/echo/x")
	m.call(404, web, "http://mesh/ledger/x")
	m.call(404, "Deployment/bank/ledger", "http://mesh/echo/x")
	// past the sidecar of the caller
	refused := func(what string, certificates ...tls.Certificate) {
		t.Helper()
		got := m.direct(stranger, "echo-mesh.shop:8080", &tls.Config{RootCAs: m.trust("shop"), Certificates: certificates})
		if !strings.HasPrefix(got, "403") && !strings.Contains(got, "tls: ") {
			t.Errorf("%s gets %s", what, got)
		}
	}
	refused("a caller without a certificate")
	refused("a caller of another group", m.certificate("shop/odd"))
	refused("the callee itself", m.certificate("Deployment/shop/echo"))
	if got := m.direct(stranger, "echo-mesh.shop:8080", &tls.Config{RootCAs: m.trust("shop"), Certificates: []tls.Certificate{m.certificate("shop/front")}}); got != "200" {
		t.Errorf("the certificate of a group that may call gets %s", got) // so the others are refused for who they are
	}

	m.annotate("shop", "echo", callers, "front,odd")
	m.call(200, stranger, "http://mesh/echo/x")
	m.annotate("shop", "echo", callers, "front")
	m.call(404, stranger, "http://mesh/echo/x")
	eventually(t, "refused again", func() bool {
		got := m.direct(stranger, "echo-mesh.shop:8080", &tls.Config{RootCAs: m.trust("shop"), Certificates: []tls.Certificate{m.certificate("shop/odd")}})
		return strings.HasPrefix(got, "403")
	})
	m.call(200, web, "http://mesh/echo/x")
	m.keysAreNowhere(c)
}

// A pod that says it has the sidecar of somebody in another namespace gets nothing of
// his: a tag brings private keys with it.
func TestMeshThief(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.run("--bundle", tlsBundle(t, "mtls"))
	m.applyText(injected("Deployment", "shop", "web", "injector.tyk.io/group", "front"))
	m.applyText(injected("Deployment", "shop", "echo", "injector.tyk.io/caller-access-groups", "front"))
	m.applyText(injected("Deployment", "evil", "honest"))
	m.call(200, "Deployment/shop/web", "http://mesh/echo/x")
	m.call(404, "Deployment/evil/honest", "http://mesh/echo/x")
	honest := m.podsOf("evil", "honest")[0]
	thief := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "thief", Labels: honest.Labels, Annotations: map[string]string{
		"injector.tyk.io/status": `{"tags": ["mesh", "mesh.evil.default", "mesh.shop.front", "shop.echo"], "names": {"labels": ["cuegate.dev/sidecar"]}}`,
	}}, Spec: honest.Spec}
	thief.Labels["app"] = "thief"
	delete(thief.Labels, "pod-template-hash")
	thief.Spec.NodeName = ""
	if _, err := m.client.CoreV1().Pods("evil").Create(t.Context(), thief, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the thief is given something", func() bool {
		all := m.Sidecars("Pod/evil/thief")
		return len(all) == 1 && len(all[0].Files.Files()) > 0
	})
	m.applyText(injected("Deployment", "evil", "later")) // when that is there, all else is as well
	m.call(200, "Pod/evil/thief", "http://mesh/later/x")
	for name, file := range m.Sidecars("Pod/evil/thief")[0].Files.Files() {
		if tag := gjson.GetBytes(file, "tags.0").String(); tag != "mesh.evil.default" {
			t.Errorf("the thief has %s with the tag %s", name, tag)
		}
	}
	m.call(404, "Pod/evil/thief", "http://mesh/echo/x")
}

// Certificates are replaced, and then their CA, while requests go on, and none of these
// fails.
func TestMeshRotation(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	c := m.run("--bundle", tlsBundle(t, "mtls"), "--mesh-certificate-lifetime", "1m", "--mesh-certificate-overlap", "5s", "--mesh-ca-lifetime", "3m", "--mesh-ca-overlap", "15s")
	m.applyText(injected("Deployment", "shop", "web"))
	m.applyText(injected("Deployment", "shop", "echo"))
	const web = "Deployment/shop/web"
	m.call(200, web, "http://mesh/echo/x")
	server, client := m.fingerprint("Deployment/shop/echo"), m.fingerprint("shop/default")
	authority := m.certificate("Deployment/shop/echo").Leaf.Issuer.String()

	var traffic sync.WaitGroup
	var stop atomic.Bool
	var calls atomic.Int64
	for i := range 4 {
		traffic.Go(func() {
			kept := m.Client(web)
			defer kept.CloseIdleConnections()
			for ; !stop.Load(); calls.Add(1) {
				time.Sleep(pace)
				if i == 0 { // with a new connection each time
					kept.CloseIdleConnections()
				}
				resp, err := kept.Get("http://mesh/echo/x")
				if err != nil {
					t.Errorf("after %d calls: %v", calls.Load(), err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("after %d calls: %d %s %v", calls.Load(), resp.StatusCode, body, err)
					return
				}
			}
		})
	}
	defer traffic.Wait()
	defer stop.Store(true)
	settle := func() {
		t.Helper()
		before := calls.Load()
		eventually(t, "traffic goes on", func() bool { return t.Failed() || calls.Load() > before+100 })
	}
	// They are replaced after 40 seconds.
	within(t, 3*time.Minute, "both certificates replaced", func() bool {
		return t.Failed() || m.fingerprint("Deployment/shop/echo") != server && m.fingerprint("shop/default") != client
	})
	settle()
	// The sidecars show the new ones, and the old ones are let in no more.
	eventually(t, "the new certificate shown", func() bool {
		return m.shown(web, "echo-mesh.shop:8080") == m.fingerprint("Deployment/shop/echo")
	})
	settle()
	// The CA is replaced after 135 seconds. These sidecars know the old one alone.
	within(t, 4*time.Minute, "certificates of the next CA", func() bool {
		return t.Failed() || m.certificate("Deployment/shop/echo").Leaf.Issuer.String() != authority
	})
	eventually(t, "one of them shown", func() bool {
		return t.Failed() || m.shown(web, "echo-mesh.shop:8080") == m.fingerprint("Deployment/shop/echo")
	})
	settle()
	// And who comes now trusts the one as well as the other.
	m.applyText(injected("Deployment", "shop", "late"))
	m.call(200, "Deployment/shop/late", "http://mesh/echo/x")
	m.call(200, web, "http://mesh/late/x")
	settle()
	if _, all := c.get("/metrics"); strings.Contains(all, "\ncuegate_mesh_failures_total{") {
		t.Error("the keeper of certificates failed at something")
	}
	t.Logf("%d calls", calls.Load())
}

// direct sends a request with TLS past the sidecar of the caller, and gives the status and
// what follows, or the error.
func (m *mesh) direct(from, address string, config *tls.Config) string {
	m.t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: m.Dialer(from), TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + address + "/x")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if resp.StatusCode == 200 {
		return "200"
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.Status + " " + string(body)
}

// shown is the fingerprint of the certificate that somebody shows.
func (m *mesh) shown(from, address string) string {
	m.t.Helper()
	raw, err := m.Dialer(from)(m.t.Context(), "tcp", address)
	if err != nil {
		return ""
	}
	defer raw.Close()
	host, _, _ := strings.Cut(address, ":")
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	if c.HandshakeContext(m.t.Context()) != nil {
		return ""
	}
	return fingerprintOf(c.ConnectionState().PeerCertificates[0])
}

// trust is what sidecars of a namespace trust.
func (m *mesh) trust(namespace string) *x509.CertPool {
	m.t.Helper()
	c, err := m.client.CoreV1().ConfigMaps(namespace).Get(m.t.Context(), "cuegate-mesh-ca", metav1.GetOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.Data["ca.crt"])) {
		m.t.Fatalf("%s trusts nobody", namespace)
	}
	return pool
}

// certificate is that of a workload, or of a group.
func (m *mesh) certificate(of string) tls.Certificate {
	m.t.Helper()
	s := m.meshSecret(of)
	pair, err := tls.X509KeyPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		m.t.Fatal(err)
	}
	return pair
}

func (m *mesh) meshSecret(of string) corev1.Secret {
	m.t.Helper()
	for _, s := range m.secrets("cuegate") {
		if s.Annotations["cuegate.dev/mesh-for"] == of {
			return s
		}
	}
	m.t.Fatalf("there is no certificate of %s", of)
	return corev1.Secret{}
}

func (m *mesh) fingerprint(of string) string {
	m.t.Helper()
	return fingerprintOf(m.certificate(of).Leaf)
}

func (m *mesh) secrets(namespace string) []corev1.Secret {
	m.t.Helper()
	list, err := m.client.CoreV1().Secrets(namespace).List(m.t.Context(), metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	return list.Items
}
