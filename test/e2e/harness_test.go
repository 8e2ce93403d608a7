//go:build e2e

// Package e2e tests the program on a real API server, against the embedded gateway:
// objects are applied with a client, and requests sent to the gateway.
package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/test/apply"
	"github.com/cuegate/cuegate/test/box"
)

// program is the path of cuegate, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cuegate-e2e-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "cuegate")
		build := exec.Command("go", "build", "-o", program, "../../cmd/cuegate")
		if output, err := build.CombinedOutput(); err != nil {
			log.Fatalf("building cuegate: %v\n%s", err, output)
		}
		return m.Run()
	}())
}

// world is an API server of a test's own, and a gateway.
type world struct {
	t       testing.TB
	box     *box.Box
	client  *kubernetes.Clientset
	objects dynamic.Interface
	gateway *gateway
	env     []string // of controllers, besides ours
}

// newWorld starts an API server on which the controller may do what the manifest of
// roles says, and a gateway.
func newWorld(t testing.TB, roles string, options ...box.Option) *world {
	t.Helper()
	if len(options) == 0 {
		options = []box.Option{box.WithoutControllers()}
	}
	w := &world{t: t, box: box.Start(t, options...), gateway: newGateway(t)}
	config := w.config(w.box.Kubeconfig)
	config.QPS, config.Burst = 2000, 4000
	w.client = must(kubernetes.NewForConfig(config))
	w.objects = must(dynamic.NewForConfig(config))
	w.apply(filepath.Join("../../deploy", roles))
	return w
}

func (w *world) config(kubeconfig string) *rest.Config {
	w.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		w.t.Fatal(err)
	}
	return config
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// apply creates or replaces the objects of a file or folder, and what they need.
func (w *world) apply(path string) {
	w.t.Helper()
	w.put(apply.Files(path))
}

func (w *world) applyText(text string) {
	w.t.Helper()
	w.put(apply.Parse("test", text))
}

func (w *world) put(objects []engine.Object, err error) {
	w.t.Helper()
	if err == nil {
		err = apply.All(w.t.Context(), w.objects, objects)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// service makes a Service with one port.
func (w *world) service(namespace, name string, port int) {
	w.t.Helper()
	w.applyText(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": %q, "namespace": %q}, "spec": {"ports": [{"name": "http", "port": %d}]}}`, name, namespace, port))
}

// ingress gives a manifest with one path, and fields that annotate it.
func ingress(namespace, name, host, path, service string, annotations ...string) string {
	text := ""
	for i := 0; i+1 < len(annotations); i += 2 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%q: %q", annotations[i], annotations[i+1])
	}
	return fmt.Sprintf(`{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": %q, "namespace": %q, "annotations": {%s}},
		"spec": {"ingressClassName": "tyk", "rules": [{"host": %q, "http": {"paths": [{"path": %q, "pathType": "Prefix",
		"backend": {"service": {"name": %q, "port": {"number": 80}}}}]}}]}}`, name, namespace, text, host, path, service)
}

func (w *world) getIngress(namespace, name string) *networkingv1.Ingress {
	w.t.Helper()
	ing, err := w.client.NetworkingV1().Ingresses(namespace).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return ing
}

func (w *world) deleteIngress(namespace, name string) {
	w.t.Helper()
	if err := w.client.NetworkingV1().Ingresses(namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

// status is a field of what the annotation tells of an Ingress.
func (w *world) status(namespace, name, field string) string {
	w.t.Helper()
	return gjson.Get(w.getIngress(namespace, name).Annotations[engine.StatusAnnotation], field).String()
}

// events gives "reason: message" of the Events about an Ingress.
func (w *world) events(namespace, name string) []string {
	w.t.Helper()
	list, err := w.client.CoreV1().Events(namespace).List(w.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, e := range list.Items {
		all = append(all, e.Reason+": "+e.Message)
	}
	return all
}

// eventually waits for something to become true, longer than it should ever take.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, time.Minute, what, ok)
}

func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not %s after %s", what, limit)
		}
	}
}

// gateway is the embedded gateway behind a port that can close and open again.
type gateway struct {
	*embedded.Gateway
	t       testing.TB
	secret  string
	store   *embedded.Store
	address string
	mu      sync.Mutex
	server  *http.Server
}

// tickOf is how often the gateway takes reloads: once a second, as a real one does, in
// benchmarks, and more often in tests, to save time.
func tickOf(t testing.TB) time.Duration {
	if _, ok := t.(*testing.B); ok {
		return time.Second
	}
	return 50 * time.Millisecond
}

func newGateway(t testing.TB) *gateway {
	t.Helper()
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	return newGatewayWith(t, hex.EncodeToString(random))
}

func newGatewayWith(t testing.TB, secret string) *gateway {
	t.Helper()
	g := &gateway{t: t, secret: secret, store: embedded.NewStore(), address: "127.0.0.1:0"}
	g.Gateway = embedded.New(embedded.Config{Secret: g.secret, CustomDomains: true, ReloadTick: tickOf(t), Store: g.store, Transport: echo{}})
	t.Cleanup(g.Close)
	g.open()
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) URL() string { return "http://" + g.address }

// open listens, at the address of before.
func (g *gateway) open() {
	g.t.Helper()
	l, err := net.Listen("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.address = l.Addr().String()
	g.server = &http.Server{Handler: g.Gateway, ErrorLog: log.New(io.Discard, "", 0)}
	go func(s *http.Server) { _ = s.Serve(l) }(g.server)
}

// kill closes the port and every connection.
func (g *gateway) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.server.Close()
}

// writes counts the calls that change something.
func (g *gateway) writes() int {
	n := 0
	for call, count := range g.Calls() {
		if !strings.HasPrefix(call, "GET ") {
			n += count
		}
	}
	return n
}

// echo answers for every upstream with its address.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	body := r.URL.Scheme + "://" + r.URL.Host
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
}

// get sends a request for a URL to the gateway, and gives the status and the body.
func (g *gateway) get(host, path string) (int, string) {
	r, err := http.NewRequest(http.MethodGet, g.URL()+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(body))
}

// serves waits until a request reaches an upstream.
func (g *gateway) serves(host, path, upstream string) {
	g.t.Helper()
	var status int
	var body string
	defer func() {
		if g.t.Failed() {
			g.t.Logf("%s%s: %d %s", host, path, status, body)
		}
	}()
	eventually(g.t, host+path+" served by "+upstream, func() bool {
		status, body = g.get(host, path)
		return status == 200 && body == upstream
	})
}

// answers waits until a request is answered with a status.
func (g *gateway) answers(host, path string, want int) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s%s answered with %d", host, path, want), func() bool {
		status, _ := g.get(host, path)
		return status == want
	})
}

// controller is a running cuegate.
type controller struct {
	t           testing.TB
	cmd         *exec.Cmd
	diagnostics string
	log         *lockedBuffer
	ended       chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// identity is the service account of the controller.
const identity = "system:serviceaccount:cuegate:cuegate"

// start runs the controller with the rights of its service account, pushing to the
// world's gateway unless the arguments say otherwise.
func (w *world) start(args ...string) *controller {
	w.t.Helper()
	kubeconfig, err := w.box.KubeconfigFor(identity, "system:serviceaccounts", "system:serviceaccounts:cuegate", "system:authenticated")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.startAs(kubeconfig, args...)
}

func (w *world) startAs(kubeconfig string, args ...string) *controller {
	w.t.Helper()
	c := &controller{t: w.t, diagnostics: freeAddress(w.t), log: &lockedBuffer{}, ended: make(chan struct{})}
	all := []string{"run", "--source", "kubernetes", "--kubeconfig", kubeconfig, "--diagnostics", c.diagnostics, "--lease-namespace", "cuegate",
		"--bundle-namespace", "cuegate", "--lease-duration", "3s", "--kube-api-qps", "500", "--drift-interval", "1s"}
	if !slices.ContainsFunc(args, func(a string) bool { return a == "--gateway-service" || a == "--gateway" || a == "--dashboard" }) {
		all = append(all, "--gateway", w.gateway.URL())
	}
	c.cmd = exec.Command(program, append(all, args...)...)
	c.cmd.Env = slices.Concat(os.Environ(), w.env, []string{"CUEGATE_SECRET=" + w.gateway.secret})
	c.cmd.Stderr, c.cmd.Stdout = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { defer close(c.ended); _ = c.cmd.Wait() }()
	w.t.Cleanup(func() {
		c.kill()
		if w.t.Failed() {
			w.t.Logf("the log of the controller:\n%s", tail(c.log.String(), 6000))
		}
		if strings.Contains(c.log.String(), w.gateway.secret) {
			w.t.Error("the log tells the secret of the gateway")
		}
	})
	return c
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// kill ends the controller with SIGKILL.
func (c *controller) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

func (c *controller) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// stop ends the controller with SIGTERM, and checks that it ends well.
func (c *controller) stop() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(40 * time.Second):
		c.t.Fatal("the controller does not end")
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("the controller ended with %d", code)
	}
}

// ready waits until the controller is.
func (c *controller) ready() *controller {
	c.t.Helper()
	eventually(c.t, "ready", func() bool { status, _ := c.get("/readyz"); return status == 200 })
	return c
}

func (c *controller) get(path string) (int, string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.diagnostics+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// metric is the value of a series, "name{labels}", or "".
func (c *controller) metric(series string) string {
	_, body := c.get("/metrics")
	for _, line := range strings.Split(body, "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return value
		}
	}
	return ""
}
