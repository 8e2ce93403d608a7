package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// filesQuiet is how long folders have to be quiet before files are read: the two of
	// a pair are seldom written at once.
	filesQuiet = 100 * time.Millisecond
	// filesPoll is how often they are read although nothing was heard.
	filesPoll = 10 * time.Second
)

// FilesOptions name the files of a certificate.
type FilesOptions struct {
	// CertFile holds a certificate and those that lead to its CA, KeyFile its private
	// key, both in PEM.
	CertFile, KeyFile string
	// Poll is how often they are read although nothing was heard of them; 10 s where
	// it is 0.
	Poll time.Duration
	Log  *slog.Logger
}

// Files serves a certificate from two files, and follows them: files that are written
// again, links that are swapped, volumes that Kubernetes updates. A pair that is broken
// is not taken: the one before stays.
type Files struct {
	serving
	options FilesOptions
	taken   [sha256.Size]byte // what is served
	refused string            // what was wrong last, or ""
}

// NewFiles reads nothing yet.
func NewFiles(o FilesOptions) *Files {
	o.Poll = cmp.Or(o.Poll, filesPoll)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Files{options: o}
}

// Run implements Certificates.
func (f *Files) Run(ctx context.Context) error {
	var events chan fsnotify.Event // nil is never ready
	var lost chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.options.Log.Warn("certificate files are polled, as they cannot be watched", "error", err)
	} else {
		defer watcher.Close()
		events, lost = watcher.Events, watcher.Errors
	}
	look := func() {
		if watcher != nil {
			// Again and again: a folder may come later, or be another one now.
			for _, name := range []string{f.options.CertFile, f.options.KeyFile} {
				_ = watcher.Add(filepath.Dir(name))
			}
		}
		f.load()
	}
	look()
	poll := time.NewTicker(f.options.Poll)
	defer poll.Stop()
	quiet := time.NewTimer(filesQuiet)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			look()
		case <-quiet.C:
			look()
		case <-events:
			quiet.Reset(filesQuiet)
		case <-lost: // events may be
			quiet.Reset(filesQuiet)
		}
	}
}

// load reads the files, and serves what they hold if that is new and whole.
func (f *Files) load() {
	certificate, key, err := f.read()
	if err != nil {
		f.refuse(err)
		return
	}
	sum := sha256.Sum256(bytes.Join([][]byte{certificate, key}, []byte{0}))
	if sum == f.taken {
		f.refused = ""
		return
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		f.refuse(fmt.Errorf("the pair %s and %s: %w", f.options.CertFile, f.options.KeyFile, err))
		return
	}
	f.taken, f.refused = sum, ""
	f.current.Store(&pair)
	f.options.Log.Info("the serving certificate was read", "file", f.options.CertFile, "notAfter", pair.Leaf.NotAfter)
}

func (f *Files) read() (certificate, key []byte, err error) {
	if certificate, err = os.ReadFile(f.options.CertFile); err == nil {
		key, err = os.ReadFile(f.options.KeyFile)
	}
	return certificate, key, err
}

// refuse says once what is wrong.
func (f *Files) refuse(err error) {
	if f.refused != err.Error() {
		f.refused = err.Error()
		f.options.Log.Error("the serving certificate cannot be read; one that was read before stays", "error", err)
	}
}
