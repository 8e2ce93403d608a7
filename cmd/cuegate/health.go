package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cuegate/cuegate/adapters/k8s"
	"github.com/cuegate/cuegate/webhook"
)

// runBoth runs the controller and its webhook until ctx ends, or one of them fails. What
// tells of health, at the address, tells of both, and is served to the end of both.
func runBoth(ctx context.Context, controller *k8s.Controller, hook *webhook.Server, diagnostics string) error {
	if hook == nil {
		return controller.Run(ctx)
	}
	listener := net.Listener(nil)
	if diagnostics != "" {
		var err error
		if listener, err = net.Listen("tcp", diagnostics); err != nil {
			return fmt.Errorf("serving diagnostics: %w", err)
		}
	}
	running, ctx := errgroup.WithContext(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	if listener != nil {
		server := &http.Server{
			Handler: withHook(controller.Handler(), hook.Handler()), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
			WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, // a profile takes a minute
		}
		serving.Go(func() { _ = server.Serve(listener) })
		defer func() {
			last, end := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
			defer end()
			if errors.Is(server.Shutdown(last), context.DeadlineExceeded) {
				_ = server.Close()
			}
		}()
	}
	running.Go(func() error { return hook.Run(ctx) })
	running.Go(func() error { return controller.Run(ctx) })
	return running.Wait()
}

// withHook adds to /readyz of the controller what that of the webhook says: a replica
// whose webhook cannot answer must not be asked.
func withHook(controller, hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			controller.ServeHTTP(w, r)
			return
		}
		said, also := answerOf(controller, r), answerOf(hook, r)
		if also.status == http.StatusOK {
			said.body.WriteString("[+] webhook serves\n")
		} else {
			fmt.Fprintf(&said.body, "[-] not yet: webhook serves: %s", also.body.Bytes())
			said.status = also.status
		}
		for k, v := range said.header {
			w.Header()[k] = v
		}
		w.WriteHeader(said.status)
		_, _ = w.Write(said.body.Bytes())
	})
}

// answer takes what a handler answers.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func answerOf(h http.Handler, r *http.Request) *answer {
	a := &answer{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(a, r)
	return a
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
