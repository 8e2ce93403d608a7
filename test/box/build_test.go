//go:build e2e

package box

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// small is a builder of a program that is built in a second.
func small(t *testing.T) (builder, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	b := builder{source: t.TempDir(), cache: filepath.Join(t.TempDir(), "cache"), out: &out}
	write(t, filepath.Join(b.source, "go.mod"), "module example.com/small\n\ngo 1.26.0\n")
	write(t, filepath.Join(b.source, "main.go"), "package main\n\nfunc main() {}\n")
	return b, &out
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b builder) must(t *testing.T) string {
	t.Helper()
	program, err := b.build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestBuildIsKept(t *testing.T) {
	b, out := small(t)
	program := b.must(t)
	if err := exec.Command(program).Run(); err != nil {
		t.Error(err)
	}
	if said := out.String(); !strings.Contains(said, "5 to 8 minutes") || !strings.Contains(said, "built in") {
		t.Errorf("who waits is told %q", said)
	}

	out.Reset()
	write(t, filepath.Join(b.source, "notes.txt"), "of no use to the program")
	if again := b.must(t); again != program || out.Len() != 0 {
		t.Errorf("the second time gives %s and not %s, and says %q", again, program, out)
	}
	edits := []struct{ name, text string }{
		{"more.go", "package main\n"},
		{"go.mod", "module example.com/small\n\ngo 1.26.1\n"},
		{"go.sum", ""},
	}
	for _, edit := range edits {
		write(t, filepath.Join(b.source, edit.name), edit.text)
		other := b.must(t)
		if other == program {
			t.Errorf("another %s gives the same program", edit.name)
		}
		program = other
	}
}

// TestBuildOnce lets processes ask at the same time.
func TestBuildOnce(t *testing.T) {
	b, _ := small(t)
	var asking [4]struct {
		cmd          *exec.Cmd
		program, out bytes.Buffer
	}
	for i := range asking {
		a := &asking[i]
		a.cmd = playing(t, roleBuilder, b.source, b.cache)
		a.cmd.Stdout, a.cmd.Stderr = &a.program, &a.out
		if err := a.cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	built := 0
	for i := range asking {
		a := &asking[i]
		if err := a.cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, &a.out)
		}
		if a.program.String() != asking[0].program.String() {
			t.Errorf("one got %s, another %s", &asking[0].program, &a.program)
		}
		built += strings.Count(a.out.String(), "built in")
	}
	if built != 1 {
		t.Errorf("it was built %d times", built)
	}
}

// TestBuildFails shows what who waits for a program is told instead, and that nothing
// stays that would be taken for one.
func TestBuildFails(t *testing.T) {
	b, _ := small(t)
	write(t, filepath.Join(b.source, "main.go"), "package main\n\nfunc main() { missing() }\n")
	_, err := b.build()
	if err == nil {
		t.Fatal("what does not compile was built")
	}
	for _, part := range []string{"building the API server of test/kubebox: ", "main.go:3:15: undefined: missing"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q:\n%v", part, err)
		}
	}
	if left := folders(t, b.cache); len(left) != 0 {
		t.Errorf("the cache has %v", left)
	}
	write(t, filepath.Join(b.source, "main.go"), "package main\n\nfunc main() {}\n")
	b.must(t)
}

// TestBuildNoticesEdits changes the source when the build has begun.
func TestBuildNoticesEdits(t *testing.T) {
	b, _ := small(t)
	b.out = writerFunc(func(said []byte) (int, error) {
		write(t, filepath.Join(b.source, "more.go"), "package main\n")
		return len(said), nil
	})
	if program, err := b.build(); err == nil || !strings.Contains(err.Error(), "was changed while it was being built") {
		t.Errorf("it gives %q and the error %v", program, err)
	}
	b.must(t)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(said []byte) (int, error) { return f(said) }

// TestCacheIsSwept builds three programs, of which the oldest is in use.
func TestCacheIsSwept(t *testing.T) {
	b, _ := small(t)
	edit := func(text string) string {
		write(t, filepath.Join(b.source, "edit.go"), "package main\n\n// "+text+"\n")
		return b.must(t)
	}
	one, two := edit("one"), edit("two")
	if edit("one") != one {
		t.Error("it was built again")
	}
	// What others build is not touched, unless they gave up long ago.
	long := time.Now().Add(-2 * abandonedAfter)
	for name, changed := range map[string]time.Time{"new-1": time.Now(), "new-2": long} {
		if err := os.Mkdir(filepath.Join(b.cache, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(b.cache, name), changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	three := edit("three")

	want := []string{filepath.Base(filepath.Dir(one)), filepath.Base(filepath.Dir(three)), "new-1"}
	slices.Sort(want)
	if got := folders(t, b.cache); !slices.Equal(got, want) {
		t.Errorf("the cache has %v, and not %v; %s goes", got, want, two)
	}
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// TestSource holds the module of the program to what its go.mod says, and to go vet.
func TestSource(t *testing.T) {
	source, err := sourceDir()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "k8s.io/kubernetes "+version+"\n") {
		t.Errorf("go.mod does not require k8s.io/kubernetes %s", version)
	}
	// With the flag of the build: its packages serve here too.
	for _, args := range [][]string{{"vet", "-trimpath", "./..."}, {"mod", "tidy", "-diff"}} {
		if _, err := runGo(source, args...); err != nil {
			t.Error(err)
		}
	}
}
