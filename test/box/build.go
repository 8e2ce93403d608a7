package box

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// version is that of k8s.io/kubernetes in the go.mod of test/kubebox, for /version.
const version = "v1.37.2"

var buildArguments = []string{
	"build", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join([]string{
		"-s -w",
		"-X k8s.io/component-base/version.gitVersion=" + version,
		"-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/component-base/version.gitMinor=37",
	}, " "),
}

// Build gives the path of the program, in the user's cache folder. If it is not there
// it is built, which takes minutes: out is told so.
func Build(out io.Writer) (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	key, err := cacheKey(source)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", source, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "cuegate", "kubebox-"+key)
	program := filepath.Join(dir, "kubebox")
	if there(program) {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"), func() {
		fmt.Fprintln(out, "kubebox: waiting for another process that builds the API server")
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if there(program) {
		return program, nil
	}
	return program, compile(source, program, out)
}

// sourceDir finds test/kubebox from where the go command runs tests and programs:
// in the module.
func sourceDir() (string, error) {
	mod, err := goEnv("GOMOD")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(mod), "test", "kubebox")
	if !there(filepath.Join(dir, "go.mod")) {
		return "", errors.New("test/kubebox was not found: the working directory is not in the module github.com/cuegate/cuegate")
	}
	return dir, nil
}

// cacheKey changes with all that changes the program.
func cacheKey(source string) (string, error) {
	platform, err := goEnv("GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintln(hash, platform, buildArguments)
	names, err := filepath.Glob(filepath.Join(source, "*"))
	if err != nil {
		return "", err
	}
	for _, name := range names { // sorted
		if !strings.HasSuffix(name, ".go") && !strings.HasPrefix(filepath.Base(name), "go.") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, filepath.Base(name), len(text))
		hash.Write(text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

// compile builds beside the final name, so that what has that name is complete.
func compile(source, program string, out io.Writer) error {
	fmt.Fprintf(out, "kubebox: building a Kubernetes API server (%s) from Go modules, into %s\n", version, filepath.Dir(program))
	fmt.Fprintln(out, "kubebox: the first time that takes 5 to 8 minutes on two cores, and 3 GB of Go's caches; later builds take seconds")
	began := time.Now()
	stop := progress(out, began)
	defer stop()

	var output bytes.Buffer
	cmd := goCommand(append(buildArguments, "-o", program+".new", ".")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = source, &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building test/kubebox: %w\n%s", err, output.Bytes())
	}
	if err := os.Rename(program+".new", program); err != nil {
		return err
	}
	fmt.Fprintf(out, "kubebox: built in %s\n", time.Since(began).Round(time.Second))
	return nil
}

// progress says every half a minute that something is going on.
func progress(out io.Writer, began time.Time) (stop func()) {
	done := make(chan struct{})
	go func() {
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
	return func() { close(done) }
}

// goCommand runs go without what the caller's flags and workspace would change: a
// module that is nested has only its own go.mod.
func goCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	return cmd
}

func goEnv(names ...string) (string, error) {
	text, err := goCommand(append([]string{"env"}, names...)...).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", strings.Join(names, " "), err)
	}
	return strings.TrimSpace(string(text)), nil
}

func there(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
