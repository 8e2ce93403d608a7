package box

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// version is that of k8s.io/kubernetes in the go.mod of test/kubebox, for /version.
const version = "v1.37.2"

// programName is the name of the program in its folder of the cache.
const programName = "kubebox"

// Build gives the path of the program, in the user's cache folder. If it is not there
// it is built, which takes minutes: out is told so. Processes that ask at the same
// time build once. An error of the compiler comes with what it said.
func Build(out io.Writer) (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return builder{source, filepath.Join(cache, "cuegate", "kubebox"), out}.build()
}

// sourceDir finds test/kubebox from where the go command runs tests and programs:
// in the module.
func sourceDir() (string, error) {
	mod, err := runGo("", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(mod)), "test", "kubebox")
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", errors.New("test/kubebox was not found: the working directory is not in the module github.com/cuegate/cuegate")
	}
	return dir, nil
}

// builder keeps what it builds of the source in the cache: one folder for each key,
// whose program was last used when its modification time says.
type builder struct {
	source, cache string
	out           io.Writer
}

func (b builder) build() (string, error) {
	key, err := b.key()
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", b.source, err)
	}
	program := filepath.Join(b.cache, key, programName)
	if use(program) {
		return program, nil
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(b.cache, "lock"), func() {
		fmt.Fprintln(b.out, "kubebox: waiting for another process that builds the API server")
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if use(program) {
		return program, nil
	}
	if err := b.compile(key, filepath.Dir(program)); err != nil {
		return "", err
	}
	use(program)
	return program, sweep(b.cache)
}

// key changes with all that changes the program.
func (b builder) key() (string, error) {
	platform, err := runGo(b.source, "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, platform, buildFlags())
	files, err := os.ReadDir(b.source) // sorted
	if err != nil {
		return "", err
	}
	for _, file := range files {
		name := file.Name()
		if name != "go.mod" && name != "go.sum" && filepath.Ext(name) != ".go" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(b.source, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, name, len(text))
		hash.Write(text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// use tells whether the program is there, and notes that somebody wants it.
func use(program string) bool {
	if _, err := os.Stat(program); err != nil {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(program, now, now) // a cache that may only be read is as good
	return true
}

// compile builds elsewhere first, so that what has its final name is complete.
func (b builder) compile(key, folder string) error {
	fmt.Fprintf(b.out, "kubebox: building a Kubernetes API server (%s) from Go modules, into %s\n", version, folder)
	fmt.Fprintln(b.out, "kubebox: the first time that takes 5 to 8 minutes on two idle cores, and 3 GB of Go's caches; later builds take some 10 seconds")
	began := time.Now()
	stop := progress(b.out, began)
	defer stop()

	fresh, err := os.MkdirTemp(b.cache, freshPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	args := append([]string{"build"}, buildFlags()...)
	_, err = runGo(b.source, append(args, "-o", filepath.Join(fresh, programName), ".")...)
	// The compiler comes to our source last, minutes after the key was made.
	if now, keyErr := b.key(); keyErr == nil && now != key {
		return fmt.Errorf("%s was changed while it was being built: try again", b.source)
	}
	if err != nil {
		return fmt.Errorf("building the API server of test/kubebox: %w", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.Rename(fresh, folder); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "kubebox: built in %s\n", time.Since(began).Round(time.Second))
	return nil
}

func buildFlags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", strings.Join([]string{
		"-s -w",
		"-X k8s.io/component-base/version.gitVersion=" + version,
		"-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/component-base/version.gitMinor=37",
	}, " ")}
}

// progress says every half a minute that something is going on.
func progress(out io.Writer, began time.Time) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(30 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(out, "kubebox: still building, %s so far\n", time.Since(began).Round(time.Second))
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}
