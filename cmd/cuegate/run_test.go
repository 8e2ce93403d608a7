package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is a command run on a folder of the test.
type watched struct {
	t    *testing.T
	dir  string
	base string // URL of its gateway
	out  *buffer
}

// buffer takes what a command says while others read it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func startRun(t *testing.T, files map[string]string, args ...string) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir(), out: &buffer{}}
	for name, text := range files {
		w.write(name, text)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"run", "--source", w.dir, "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), io.Discard, w.out)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case code := <-done:
			if code != exitOK {
				t.Errorf("exit code %d:\n%s", code, w.out)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("run does not end:\n%s", w.out)
		}
	})
	at := regexp.MustCompile(`(?m)^  curl.* http://([0-9.:]+)/`)
	w.eventually("says what to curl", func() bool {
		m := at.FindStringSubmatch(w.out.String())
		if m != nil {
			w.base = "http://" + m[1]
		}
		return m != nil
	})
	return w
}

func (w *watched) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatalf("it never %s:\n%s", what, w.out)
}

// get gives status and body of a path of a host.
func (w *watched) get(host, path string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func (w *watched) serves(host, path, service string) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("serves %s%s by %s", host, path, service), func() bool {
		code, body := w.get(host, path)
		return code == http.StatusOK && strings.Contains(body, "Hello from "+service+".default:80.")
	})
}

func (w *watched) refuses(host, path string, status int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("answers %d for %s%s", status, host, path), func() bool {
		code, _ := w.get(host, path)
		return code == status
	})
}

func simpleIngress(name, annotation string) string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: %s, annotations: {%s}}
spec: {ingressClassName: tyk, rules: [{host: %[1]s.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]}
`, name, annotation)
}

// The routes follow the files: new ones, edits, removals.
func TestRunFollowsTheFiles(t *testing.T) {
	t.Parallel()
	w := startRun(t, map[string]string{"tea.yaml": simpleIngress("tea", "")})
	w.serves("tea.example.com", "/green", "tea")
	w.write("coffee.yaml", simpleIngress("coffee", ""))
	w.serves("coffee.example.com", "/", "coffee")
	w.write("tea.yaml", simpleIngress("tea", "template.service.tyk.io: tokenAuth"))
	w.refuses("tea.example.com", "/", http.StatusUnauthorized)
	if err := os.Remove(filepath.Join(w.dir, "coffee.yaml")); err != nil {
		t.Fatal(err)
	}
	w.refuses("coffee.example.com", "/", http.StatusNotFound)
}

// A mistake takes nothing away: what was served stays, and the author is told.
func TestRunKeepsWhatWasServed(t *testing.T) {
	t.Parallel()
	w := startRun(t, map[string]string{"tea.yaml": simpleIngress("tea", ""), "coffee.yaml": simpleIngress("coffee", "")})
	w.serves("tea.example.com", "/", "tea")
	w.write("tea.yaml", "kind: {")
	w.eventually("tells of the broken file", func() bool { return strings.Contains(w.out.String(), "tea.yaml:1: The document is not YAML") })
	w.write("coffee.yaml", simpleIngress("coffee", "template.service.tyk.io: tokenAut"))
	w.eventually("tells of the unknown template", func() bool { return strings.Contains(w.out.String(), "template-unknown") })
	// A third change proves that the other two were acted on.
	w.write("cake.yaml", simpleIngress("cake", ""))
	w.serves("cake.example.com", "/", "cake")
	w.serves("tea.example.com", "/", "tea")
	w.serves("coffee.example.com", "/", "coffee")
}

// A bundle is watched too; a broken one changes nothing.
func TestRunFollowsTheBundle(t *testing.T) {
	t.Parallel()
	bundle := t.TempDir()
	policies := filepath.Join(bundle, "policies")
	if err := os.Mkdir(policies, 0o700); err != nil {
		t.Fatal(err)
	}
	settings := func(text string) {
		if err := os.WriteFile(filepath.Join(policies, "data.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings("settings: {template: default}")
	w := startRun(t, map[string]string{"tea.yaml": simpleIngress("tea", "")}, "--bundle", bundle)
	w.serves("tea.example.com", "/", "tea")
	settings("settings: {template: tokenAut}")
	w.eventually("tells of the broken bundle", func() bool { return strings.Contains(w.out.String(), `there is no template "tokenAut"`) })
	w.serves("tea.example.com", "/", "tea")
	settings("settings: {template: tokenAuth}")
	w.refuses("tea.example.com", "/", http.StatusUnauthorized)
}

// A broken file at the start takes nothing away from a gateway that serves its objects
// already.
func TestRunStartsWithABrokenFile(t *testing.T) {
	t.Parallel()
	w := startRun(t, map[string]string{"tea.yaml": "kind: {", "coffee.yaml": simpleIngress("coffee", "")})
	w.serves("coffee.example.com", "/", "coffee")
}

// A workload of the mesh beside an Ingress: the embedded gateway is no sidecar, so it does
// not serve what is in the mesh, and says so; the Ingress goes on.
func TestRunLeavesTheMeshOut(t *testing.T) {
	t.Parallel()
	w := startRun(t, map[string]string{"shop.yaml": block, "tea.yaml": simpleIngress("tea", "")})
	w.serves("tea.example.com", "/", "tea")
	if said := w.out.String(); !strings.Contains(said, "mesh: 1 workload is part of the mesh, whose definitions are for sidecars, and no target is one: Deployment/default/shop") ||
		!strings.Contains(said, "-H 'Host: tea.example.com'") {
		t.Errorf("it says:\n%s", said)
	}
	w.refuses("mesh", "/shop", http.StatusNotFound)
	w.refuses("shop-mesh.default", "/", http.StatusNotFound) // the way in takes every path
	w.write("shop.yaml", strings.Replace(block, `"true"`, "maybe", 1))
	w.eventually("tells of the unclear wish", func() bool { return strings.Contains(w.out.String(), "(inject-unclear)") })
	w.serves("tea.example.com", "/", "tea")
}

// selfSigned gives a new certificate for the host, and its key, in PEM.
func selfSigned(host string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw), err
}

// tlsSecret gives a Secret with a new certificate for the host.
func tlsSecret(t *testing.T, name, host string) (manifest string, pool *x509.CertPool) {
	t.Helper()
	certificate, key, err := selfSigned(host)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}\n",
		name, encode(certificate), encode(key)), pool
}

// A certificate of a Secret is served, and so is the one that takes its place.
func TestRunServesCertificates(t *testing.T) {
	t.Parallel()
	ingress := strings.Replace(simpleIngress("tea", ""), "spec: {", "spec: {tls: [{secretName: tea-tls}], ", 1)
	secret, first := tlsSecret(t, "tea-tls", "tea.example.com")
	w := startRun(t, map[string]string{"tea.yaml": ingress, "secret.yaml": secret}, "--listen-tls", "127.0.0.1:0")
	at := regexp.MustCompile(`TLS at https://([0-9.:]+);`).FindStringSubmatch(w.out.String())
	if at == nil {
		t.Fatalf("it does not say where TLS is served:\n%s", w.out)
	}
	serves := func(pool *x509.CertPool) func() bool {
		return func() bool {
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: pool},
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, at[1])
				},
			}}
			defer client.CloseIdleConnections()
			resp, err := client.Get("https://tea.example.com/")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
	}
	w.eventually("serves the certificate", serves(first))
	secret, second := tlsSecret(t, "tea-tls", "tea.example.com")
	w.write("secret.yaml", secret)
	w.eventually("serves the new certificate", serves(second))
	if text := w.out.String(); strings.Contains(text, "PRIVATE KEY") {
		t.Errorf("a key is printed:\n%s", text)
	}
}
