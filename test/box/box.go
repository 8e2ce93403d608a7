// Package box gives tests and demos a real Kubernetes API server: it builds the
// program of test/kubebox when that is needed, starts it, and ends it.
//
//	server := box.Start(t)                // the one that all tests of this process share
//	server := box.Start(t, box.Own())     // one of the test's own, which it may kill
//	server, err := box.New(box.In("dir")) // without a test
//
// The package imports the standard library only. Clients come from the callers: give
// them Kubeconfig, or that of KubeconfigFor, whose user may do what roles allow.
//
// A webhook takes some 10 to 40 ms to become active after its configuration was
// written, and the service account "default" appears just after its namespace: poll
// for both. Nothing runs in the pods, whose addresses answer nobody.
package box

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Box is one server. Its methods that start and end it are for one goroutine at a
// time; the others may be used by many.
type Box struct {
	// Kubeconfig is the path of the admin's, and URL where the server listens. Both
	// outlive Kill and Restart.
	Kubeconfig, URL string
	// Dir keeps the data, the keys and the log. It is an absolute path.
	Dir string

	settings settings
	// program is the path of what runs; it stays the same if its source changes.
	program string
	process *process // nil while none runs
}

// settings are what the options set.
type settings struct {
	dir           string
	port          string
	noControllers bool
	flags         []string
	// temporary says that the folder goes when the server ends for good.
	temporary bool
}

// Option changes how a server runs.
type Option func(*settings)

// Own changes nothing: like every option it asks for a server that is not shared.
func Own() Option { return func(*settings) {} }

// In keeps the data in the folder, which stays when the server ends.
func In(dir string) Option { return func(s *settings) { s.dir = dir } }

// Port is the port on 127.0.0.1.
func Port(port int) Option { return func(s *settings) { s.port = fmt.Sprint(port) } }

// WithoutControllers leaves away the controllers and the node: objects are stored and
// served, and that is all. It is for measurements.
func WithoutControllers() Option { return func(s *settings) { s.noControllers = true } }

// Flags are for kube-apiserver, such as "--max-requests-inflight=10".
func Flags(flags ...string) Option {
	return func(s *settings) { s.flags = append(s.flags, flags...) }
}

// shared starts when the first test asks for it, and ends with the process, which is
// when its standard input does.
var shared = sync.OnceValues(func() (*Box, error) { return New() })

// Start gives a running server. Without options all tests of the process share it:
// work in namespaces of your own, and leave it running. With options it is this
// test's alone, and ends with it.
func Start(t testing.TB, options ...Option) *Box {
	t.Helper()
	if len(options) == 0 {
		b, err := shared()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", b.logTail())
		}
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// New starts a server that ends with Stop, or with this process.
func New(options ...Option) (*Box, error) {
	s := settings{port: "0"}
	for _, option := range options {
		option(&s)
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "kubebox-")
		if err != nil {
			return nil, err
		}
		s.dir, s.temporary = dir, true
	}
	var err error
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	b := &Box{Dir: s.dir, settings: s}
	if err := b.start(); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// Kill ends the server as kill -9 does. What it knows stays.
func (b *Box) Kill() {
	if b.process != nil {
		b.process.kill()
		b.process = nil
	}
}

// Restart starts a killed server again, with the same data, port and kubeconfig. One
// that runs is killed first.
func (b *Box) Restart() error {
	b.Kill()
	return b.start()
}

// Stop ends the server for good, and removes its folder unless it was given.
func (b *Box) Stop() error {
	if b.process != nil {
		b.process.stop()
		b.process = nil
	}
	if b.settings.temporary {
		return os.RemoveAll(b.Dir)
	}
	return nil
}

// Log is the path of what the server and its controllers log.
func (b *Box) Log() string { return filepath.Join(b.Dir, "kubebox.log") }

// start fails with the end of the log, and leaves nothing running.
func (b *Box) start() error {
	if b.program == "" {
		program, err := Build(os.Stderr)
		if err != nil {
			return err
		}
		b.program = program
	}
	p, err := launch(b.program, b.Log(), b.settings.arguments()...)
	if err != nil {
		return err
	}
	ready, err := p.ready()
	if err != nil {
		p.kill()
		return fmt.Errorf("starting the API server: %w; the end of its log:\n%s", err, b.logTail())
	}
	u, err := url.Parse(ready.URL)
	if err != nil {
		p.kill()
		return err
	}
	b.process, b.Kubeconfig, b.URL = p, ready.Kubeconfig, ready.URL
	b.settings.port = u.Port()
	return nil
}

func (s settings) arguments() []string {
	args := []string{"-data", s.dir, "-port", s.port}
	if s.noControllers {
		args = append(args, "-controllers=false")
	}
	if s.temporary {
		args = append(args, "-remove")
	}
	return append(append(args, "--"), s.flags...)
}

func (b *Box) logTail() string {
	text, err := os.ReadFile(b.Log())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// process is a started program. It ends when stdin closes, which the system does for
// us if we die.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Reader
}

func launch(program, log string, args ...string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := exec.Command(program, args...)
	cmd.Stderr = output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, stdin, stdout}, cmd.Start()
}

// readiness is the line that the program prints when it is ready.
type readiness struct {
	Kubeconfig string `json:"kubeconfig"`
	URL        string `json:"url"`
}

// patience is for machines that are busy: an idle one needs 2 to 4 seconds.
const patience = 2 * time.Minute

func (p *process) ready() (readiness, error) {
	var r readiness
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	line, err := bufio.NewReader(p.stdout).ReadBytes('\n')
	if !timer.Stop() {
		return r, fmt.Errorf("it was not ready after %s", patience)
	}
	if errors.Is(err, io.EOF) {
		return r, errors.New("it ended")
	}
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	return r, err
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *process) stop() {
	_ = p.stdin.Close()
	timer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}
