// Command kubebox is a Kubernetes API server for tests and demos, in one process:
// etcd, the real kube-apiserver, those controllers that make Deployments, Services
// and Namespaces live, and a node that only pretends. Nothing runs in its pods, and
// nothing of it listens elsewhere than on 127.0.0.1.
//
//	kubebox -data DIR [-port N] [-controllers=false] [-remove] [-- FLAG OF KUBE-APISERVER ...]
//
// When it is ready it prints one line, {"kubeconfig": "...", "url": "..."}, and it
// ends when its standard input does, so that it cannot outlive who started it, or when
// it is interrupted. Its log goes to standard error.
//
// It may be killed at any moment. Started again with the same folder and port it has
// all that it had, and the kubeconfig of before is good. It trades safety from power
// cuts for speed: nothing is flushed to the disk.
//
// It is a module of its own because of what it requires; see its go.mod.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type settings struct {
	data        string
	port        int
	controllers bool
	remove      bool
	// apiserver are flags that follow those that kubebox gives to kube-apiserver,
	// and so win.
	apiserver []string
}

func main() {
	s, err := parse(os.Args[1:])
	if err == nil {
		err = run(s)
	}
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "kubebox:", err)
		}
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("kubebox", flag.ContinueOnError)
	flags.StringVar(&s.data, "data", "", "the `folder` that keeps everything; made when it is missing")
	flags.IntVar(&s.port, "port", 0, "the `port` on 127.0.0.1; 0 is any that is free")
	flags.BoolVar(&s.controllers, "controllers", true, "run the controllers and the node")
	flags.BoolVar(&s.remove, "remove", false, "remove the folder at the end")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.apiserver = flags.Args()
	if s.data == "" {
		return s, errors.New("-data names no folder")
	}
	var err error
	s.data, err = filepath.Abs(s.data)
	return s, err
}

// run starts everything and returns when something failed, or nobody needs it.
func run(s settings) error {
	// A terminal interrupts who started us and us at the same time. Who is
	// interrupted twice ends as without this.
	interrupted, forget := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer forget()
	if err := enter(s.data); err != nil {
		return err
	}
	listener, err := listen(s.port)
	if err != nil {
		return err
	}
	keys, err := makeKeys(".")
	if err != nil {
		return err
	}
	url := "https://" + listener.Addr().String()
	if err := writeKubeconfig(kubeconfigFile, url, keys); err != nil {
		return err
	}

	ctx := context.Background()
	failed := make(chan error, 5) // one for each who sends
	if err := startEtcd(failed); err != nil {
		return err
	}
	go func() { failed <- serveAPI(ctx, listener, s) }()
	go func() { failed <- announce(ctx, url, keys, s) }()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		failed <- errAlone
	}()
	go func() {
		<-interrupted.Done()
		forget()
		failed <- errAlone
	}()
	for {
		err := <-failed
		if errors.Is(err, errAlone) {
			return leave(s)
		}
		if err != nil {
			return err
		}
	}
}

// enter makes the data folder and works in it. Names of unix sockets have to be
// short; from inside they are, wherever the folder is.
func enter(data string) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	return os.Chdir(data)
}

// errAlone says that nobody needs the server any more.
var errAlone = errors.New("standard input ended, or there was an interrupt")

// leave stops nothing: what survives kill -9 survives this. As etcd still works in the
// folder, something may come into it while it is being emptied.
func leave(s settings) error {
	if !s.remove {
		return nil
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := os.RemoveAll(s.data); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// announce starts the controllers as soon as the server answers, and tells who
// started us when all is ready. It gives nil when that is done.
func announce(ctx context.Context, url string, keys keys, s settings) error {
	config := clientConfig(url, keys)
	if err := awaitServer(ctx, config); err != nil {
		return err
	}
	if s.controllers {
		if err := startControllers(ctx, config); err != nil {
			return fmt.Errorf("starting the controllers: %w", err)
		}
		if err := startNode(ctx, config); err != nil {
			return fmt.Errorf("starting the node: %w", err)
		}
		if err := awaitServiceAccount(ctx, config); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{
		"kubeconfig": filepath.Join(s.data, kubeconfigFile),
		"url":        url,
	})
}
