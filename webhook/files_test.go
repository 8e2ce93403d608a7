package webhook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// volume is a folder as Kubernetes mounts a Secret: links into a folder that is swapped.
type volume struct {
	t        testing.TB
	dir      string
	versions int
}

func (v *volume) swap(files map[string][]byte) {
	v.t.Helper()
	must := func(err error) {
		v.t.Helper()
		if err != nil {
			v.t.Fatal(err)
		}
	}
	v.versions++
	version := fmt.Sprintf("..version_%d", v.versions)
	must(os.Mkdir(filepath.Join(v.dir, version), 0o700))
	for name, data := range files {
		must(os.WriteFile(filepath.Join(v.dir, version, name), data, 0o600))
		if v.versions == 1 {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)))
		}
	}
	must(os.Symlink(version, filepath.Join(v.dir, "..data_tmp")))
	must(os.Rename(filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")))
	if v.versions > 1 {
		must(os.RemoveAll(filepath.Join(v.dir, fmt.Sprintf("..version_%d", v.versions-1))))
	}
}

// files encodes a leaf as the files of a Secret.
func files(t testing.TB, a *authority) map[string][]byte {
	t.Helper()
	data, err := a.encode()
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": data["tls.crt"], "tls.key": data["tls.key"]}
}

func serves(c Certificates, a *authority) bool {
	got, err := c.GetCertificate(nil)
	return err == nil && got.Leaf != nil && got.Leaf.Equal(a.leaf.Leaf)
}

// follow runs the source to the end of the test.
func follow(t testing.TB, c Certificates) {
	t.Helper()
	over := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { over <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Errorf("following the certificate ended with %v", err)
		}
	})
}

func TestFilesOfAVolume(t *testing.T) {
	v := &volume{t: t, dir: t.TempDir()}
	log := &lockedBuffer{}
	one, two, three := made(t, time.Now()), made(t, time.Now()), made(t, time.Now())
	f := NewFiles(FilesOptions{
		CertFile: filepath.Join(v.dir, "tls.crt"), KeyFile: filepath.Join(v.dir, "tls.key"),
		Poll: time.Hour, // so that only what is heard counts
		Log:  slog.New(slog.NewTextHandler(log, nil)),
	})
	if _, err := f.GetCertificate(nil); err == nil {
		t.Error("there is a certificate before there are files")
	}
	follow(t, f)
	eventually(t, "it says that there are no files", func() bool { return strings.Contains(log.String(), "no such file") })
	v.swap(files(t, one))
	eventually(t, "the first is served", func() bool { return serves(f, one) })
	v.swap(files(t, two))
	eventually(t, "the second is served", func() bool { return serves(f, two) })

	mixed := files(t, three)
	mixed["tls.key"] = files(t, one)["tls.key"]
	v.swap(mixed)
	eventually(t, "it says that the pair is none", func() bool { return strings.Contains(log.String(), "does not match") })
	if !serves(f, two) {
		t.Error("the last good one did not stay")
	}
	v.swap(files(t, three))
	eventually(t, "the third is served", func() bool { return serves(f, three) })
	if strings.Contains(log.String(), "PRIVATE KEY") {
		t.Error("a key was logged")
	}
}

func TestFilesWrittenInPlace(t *testing.T) {
	one, two := made(t, time.Now()), made(t, time.Now())
	certs, keys := t.TempDir(), t.TempDir() // two folders
	f := NewFiles(FilesOptions{CertFile: filepath.Join(certs, "a.pem"), KeyFile: filepath.Join(keys, "b.pem"), Poll: time.Hour})
	write := func(a *authority) {
		t.Helper()
		if err := os.WriteFile(f.options.CertFile, files(t, a)["tls.crt"], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.options.KeyFile, files(t, a)["tls.key"], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one)
	follow(t, f)
	eventually(t, "the first is served", func() bool { return serves(f, one) })
	write(two)
	eventually(t, "the second is served", func() bool { return serves(f, two) })
}

// TestFilesArePolled: a folder that is not there at the start cannot be watched.
func TestFilesArePolled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later", "still")
	log := &lockedBuffer{}
	f := NewFiles(FilesOptions{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), Poll: 5 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil))})
	follow(t, f)
	a := made(t, time.Now())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files(t, a) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "what came later is served", func() bool { return serves(f, a) })
	told := func() int { return strings.Count(log.String(), "no such file") }
	before := told()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says that they are gone", func() bool { return told() > before })
	if !serves(f, a) {
		t.Error("what is served went with its files")
	}
}
