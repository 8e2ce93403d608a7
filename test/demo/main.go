// Command demo starts a Kubernetes API server with a controller and a gateway, applies
// the first example, and says how to play with them. It ends with Ctrl-C, and leaves
// nothing behind.
//
// It is to be run from the root of the repository: make demo.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cuegate/cuegate/test/apply"
	"github.com/cuegate/cuegate/test/box"
)

const (
	example = "examples/01-cafe"
	listen  = "127.0.0.1:8080"
)

// services are what the example leads to.
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
	server, err := box.New()
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }()
	if err := prepare(ctx, server.Kubeconfig); err != nil {
		return err
	}
	identity, err := server.KubeconfigFor("system:serviceaccount:cuegate:cuegate", "system:serviceaccounts", "system:serviceaccounts:cuegate", "system:authenticated")
	if err != nil {
		return err
	}
	fmt.Printf(`A Kubernetes API server runs, and Cuegate with it. Try

  curl -H 'Host: cafe.example.com' http://%s/tea
  export KUBECONFIG=%s
  kubectl describe ingress cafe-ingress
  kubectl annotate ingress cafe-ingress template.service.tyk.io=tokenAuth
  curl 'http://127.0.0.1:9090/debug/explain?object=Ingress/default/cafe-ingress'

Ctrl-C ends it.

`, listen, server.Kubeconfig)
	controller := exec.CommandContext(ctx, program, "run", "--source", "kubernetes", "--kubeconfig", identity, "--gateway", "embedded", "--listen", listen,
		"--leader-elect=false", "--publish-address", "127.0.0.1", "--log-format", "text")
	controller.Stdout, controller.Stderr = os.Stdout, os.Stderr
	controller.Cancel = func() error { return controller.Process.Signal(syscall.SIGTERM) }
	return controller.Run()
}

// prepare applies the rights of the controller, and the example.
func prepare(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	all, err := apply.Parse("services", services)
	if err != nil {
		return err
	}
	for _, path := range []string{"deploy/rbac.yaml", example} {
		more, err := apply.Files(path)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	return apply.All(ctx, client, all)
}
