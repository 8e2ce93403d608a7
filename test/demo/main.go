// Command demo starts a Kubernetes API server with a controller and a gateway, and a
// mesh whose pods run an app and a sidecar each. It applies examples, and says how to
// play with them. It ends with Ctrl-C, and leaves nothing behind.
//
// It is to be run from the root of the repository: make demo.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cuegate/cuegate/test/apply"
	"github.com/cuegate/cuegate/test/box"
	"github.com/cuegate/cuegate/test/pods"
)

const (
	listen      = "127.0.0.1:8080"
	webhook     = "127.0.0.1:9443"
	diagnostics = "127.0.0.1:9090"
	// meshBundle has sidecars use mutual TLS. What the other example of a mesh asks for
	// goes together with it.
	meshBundle = "examples/09-mesh-mtls/bundle"
)

// The rights of the controller and its webhook, and an example of Ingresses.
var first = []string{"deploy/rbac.yaml", "deploy/rbac-mesh.yaml", "deploy/webhook.yaml", "examples/01-cafe"}

// The workloads of a mesh: they need the webhook. The certificates beside them are for
// those who have no controller.
var second = []string{"examples/08-mesh/workloads.yaml", "examples/09-mesh-mtls/workloads.yaml"}

// services are what the example of Ingresses leads to.
const services = `
apiVersion: v1
kind: Service
metadata: {name: tea-svc, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: coffee-svc, namespace: default}
spec: {ports: [{port: 80}]}
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "cuegate-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "cuegate")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/cuegate")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building cuegate: %w", err)
	}
	egress, err := pods.NewEgress(dir)
	if err != nil {
		return err
	}
	server, err := box.New(box.Flags(egress.Flag))
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	c, err := newCluster(server.Kubeconfig)
	if err != nil {
		return err
	}
	key := rand.Text()
	running, end := context.WithCancel(context.WithoutCancel(ctx)) // they outlive the controller
	c.pods, err = pods.Start(running, c.client, pods.Options{Keys: []string{key}, Egress: egress.Socket})
	if err != nil {
		end()
		return err
	}
	defer c.pods.Wait()
	defer end()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	controller, err := c.controller(ctx, server, program)
	if err != nil {
		return err
	}
	if err := controller.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- controller.Wait() }()
	explained := make(chan error, 1)
	go func() { explained <- c.mesh(ctx, server.Kubeconfig, key) }()
	select {
	case err = <-ended:
		return err
	case err = <-explained:
	}
	if err != nil {
		_ = controller.Cancel()
	}
	return errors.Join(err, <-ended)
}

// controller is the command that runs it, with the rights of its service account.
func (c *cluster) controller(ctx context.Context, server *box.Box, program string) (*exec.Cmd, error) {
	identity, err := server.KubeconfigFor("system:serviceaccount:cuegate:cuegate", "system:authenticated")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "run", "--source", "kubernetes", "--kubeconfig", identity, "--gateway", "embedded", "--listen", listen,
		"--mesh", "--mesh-push", "--webhook", webhook, "--bundle", meshBundle, "--diagnostics", diagnostics, "--leader-elect=false", "--publish-address", "127.0.0.1", "--log-format", "text")
	cmd.Env = append(os.Environ(), "HTTP_PROXY="+c.pods.Proxy(), "NO_PROXY=127.0.0.1,localhost")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd, nil
}

// cluster is the API server, and what runs in its pods.
type cluster struct {
	client  kubernetes.Interface
	objects dynamic.Interface
	pods    *pods.Pods
}

func newCluster(kubeconfig string) (*cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	c := &cluster{}
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	c.objects, err = dynamic.NewForConfig(config)
	return c, err
}

func (c *cluster) apply(ctx context.Context, paths []string) error {
	for _, path := range paths {
		objects, err := apply.Files(path)
		if err != nil {
			return err
		}
		if err := apply.All(ctx, c.objects, objects); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what has to be there before the controller is.
func (c *cluster) prepare(ctx context.Context) error {
	objects, err := apply.Parse("services", services)
	if err != nil {
		return err
	}
	if err := apply.All(ctx, c.objects, objects); err != nil {
		return err
	}
	if err := c.apply(ctx, first); err != nil {
		return err
	}
	return c.pods.Stand(ctx, "cuegate", "cuegate-webhook", "https", 9443, webhook)
}

// mesh brings the workloads in, waits until they can be called, and says how to play with
// everything.
func (c *cluster) mesh(ctx context.Context, kubeconfig, key string) error {
	if err := patiently(ctx, ready); err != nil {
		return err
	}
	// While the API server does not trust the webhook yet, workloads of a mesh are turned away.
	if err := patiently(ctx, func() error { return c.apply(ctx, second) }); err != nil {
		return err
	}
	const sleep, web = "Deployment/shop/sleep", "Deployment/shop/web"
	for from, url := range map[string]string{sleep: "http://mesh/echo", web: "http://mesh/orders"} {
		err := patiently(ctx, func() error {
			a, err := c.pods.Call(ctx, from, url, nil)
			if err == nil && a.Status != 200 {
				err = fmt.Errorf("%s calls %s: %d %s", from, url, a.Status, a.Text)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	fromSleep, err := c.pods.ProxyFrom(ctx, sleep)
	if err != nil {
		return err
	}
	fromWeb, err := c.pods.ProxyFrom(ctx, web)
	if err != nil {
		return err
	}
	fmt.Printf(`
A Kubernetes API server runs, and Cuegate with it.

Ingresses, by a gateway:

  curl -H 'Host: cafe.example.com' http://%s/tea
  export KUBECONFIG=%s
  kubectl describe ingress cafe-ingress
  kubectl annotate ingress cafe-ingress template.service.tyk.io=tokenAuth
  curl 'http://%s/debug/explain?object=Ingress/default/cafe-ingress'

A mesh, by a sidecar in each pod. These ask as the app in a pod of sleep does, and as
that in a pod of web does:

  curl -x %s http://mesh/echo/hello
  curl -x %s http://mesh/orders/1
  curl -x %s http://mesh/orders/1   # 404: sleep is of no group that orders lets in
  curl -x %s -H 'Authorization: %s' http://mesh/sleep/
  kubectl -n shop get pods,services
  kubectl -n shop get deployment echo -o yaml
  curl 'http://%s/debug/explain?object=Deployment/shop/orders'

Ctrl-C ends it.

`, listen, kubeconfig, diagnostics, fromSleep, fromWeb, fromSleep, fromSleep, key, diagnostics)
	return nil
}

// ready says why the controller is not.
func ready() error {
	r, err := http.Get("http://" + diagnostics + "/readyz")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("the controller is not ready: %s", r.Status)
	}
	return nil
}

// patiently tries again for two minutes.
func patiently(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := try()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}
