package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestDocs runs the documents in docs/ that show a terminal session, and holds what
// they show to what happens. With -update it writes down what happens. Each document
// has a folder of its own, in which its blocks are run in order:
//
//	```yaml file=NAME   a file is written; so with any language
//	```console          each line that begins with "$ " is run by bash, a line that
//	                    ends with "\" goes on in the next; what follows up to the next
//	                    one is what it prints, to both outputs
//
// Other blocks are left alone. In what a command prints, a line "..." stands for any
// lines, and "..." inside a line for anything in it. A command that fails has to
// print something, or to be followed by `$ echo $?`. The commands are cuegate, the
// stock cue and opa, and those of the machine. Where a document speaks of examples/,
// there is a copy of ours.
func TestDocs(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\n```console\n") {
			continue
		}
		sessions++
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			got, err := newTerminal(t, string(text)).document(string(text))
			if err != nil {
				t.Fatalf("%s:%s", name, err)
			}
			diff := cmp.Diff(string(text), got)
			if diff == "" {
				return
			}
			if !*update {
				t.Fatalf("%s shows something else than what happens (-shown +happens):\n%s", name, diff)
			}
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
	if sessions == 0 {
		t.Error("no document shows a session")
	}
}

// terminal is where the commands of one document are run.
type terminal struct {
	ctx context.Context
	dir string
	// now is the working directory, code the exit code of the last command.
	now  string
	code int
	env  []string
}

func newTerminal(t *testing.T, text string) *terminal {
	t.Helper()
	base := t.TempDir()
	bin := filepath.Join(base, "bin")
	if err := linkTools(bin); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "work")
	home := filepath.Join(base, "home")
	for _, d := range []string{dir, home} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(text, "examples/") {
		if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS("../../examples")); err != nil {
			t.Fatal(err)
		}
	}
	return &terminal{
		ctx: t.Context(), dir: dir, now: dir,
		// Nothing of the machine's settings; CUE is to find all that it needs in the bundle.
		env: append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+home,
			"TERM=dumb", "LC_ALL=C", "CUE_CACHE_DIR="+filepath.Join(home, "cue"), "CUE_REGISTRY=none"),
	}
}

var fence = regexp.MustCompile("^```(.*)$")

var fileInfo = regexp.MustCompile(`\bfile=(\S+)`)

// document runs the blocks of a document, and gives the document as it should be. The
// error begins with the line at fault.
func (c *terminal) document(text string) (string, error) {
	var out strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i])
		m := fence.FindStringSubmatch(strings.TrimRight(lines[i], "\n"))
		if m == nil {
			continue
		}
		begin := i + 1
		for i++; i < len(lines) && strings.TrimRight(lines[i], "\n") != "```"; i++ {
		}
		if i == len(lines) {
			return "", fmt.Errorf("%d: the block has no end", begin)
		}
		block := lines[begin:i]
		body, err := c.block(m[1], block, begin+1)
		if err != nil {
			return "", err
		}
		out.WriteString(body)
		out.WriteString(lines[i])
	}
	return out.String(), nil
}

// block runs a block that begins at a line, and gives it as it should be.
func (c *terminal) block(info string, block []string, line int) (string, error) {
	text := strings.Join(block, "")
	if m := fileInfo.FindStringSubmatch(info); m != nil {
		name := filepath.Join(c.now, filepath.FromSlash(m[1]))
		if !filepath.IsLocal(filepath.FromSlash(m[1])) {
			return "", fmt.Errorf("%d: the file %s is outside of the folder", line, m[1])
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return "", err
		}
		return text, os.WriteFile(name, []byte(text), 0o644)
	}
	if strings.TrimSpace(info) != "console" {
		return text, nil
	}
	var out strings.Builder
	for i := 0; i < len(block); {
		begin := i
		if !strings.HasPrefix(block[i], "$ ") {
			return "", fmt.Errorf("%d: a block of a session begins with \"$ \"", line+i)
		}
		for strings.HasSuffix(block[i], "\\\n") && i+1 < len(block) {
			i++
		}
		i++
		command := strings.Join(block[begin:i], "")
		shown := i
		for i < len(block) && !strings.HasPrefix(block[i], "$ ") {
			i++
		}
		got, err := c.command(strings.TrimPrefix(command, "$ "))
		if err != nil {
			return "", fmt.Errorf("%d: %w", line+begin, err)
		}
		asked := i < len(block) && strings.TrimSpace(block[i]) == "$ echo $?"
		if c.code != 0 && got == "" && !asked {
			return "", fmt.Errorf("%d: the command fails with exit code %d and prints nothing: follow it by `$ echo $?`", line+begin, c.code)
		}
		if want := strings.Join(block[shown:i], ""); matches(want, got) {
			got = want
		}
		out.WriteString(command)
		out.WriteString(got)
	}
	return out.String(), nil
}

// command runs a command and gives what it prints. The folder and the exit code go on
// to the next.
func (c *terminal) command(text string) (string, error) {
	left := filepath.Join(c.dir, "..", "left")
	script := fmt.Sprintf("trap 'pwd -P >\"$DOCS_LEFT\"' EXIT\n(exit %d)\n%s", c.code, text)
	cmd := exec.CommandContext(c.ctx, "bash", "-c", script)
	cmd.Dir = c.now
	cmd.Env = append(c.env, "DOCS_LEFT="+left, "PWD="+c.now)
	output, err := cmd.CombinedOutput()
	c.code = 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		c.code = exit.ExitCode()
	} else if err != nil {
		return "", err
	}
	if now, err := os.ReadFile(left); err == nil {
		c.now = strings.TrimSpace(string(now))
	}
	got := string(output)
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	return got, nil
}

// matches tells whether got is what want shows.
func matches(want, got string) bool {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(want) {
		if line == "...\n" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		for i, part := range strings.Split(line, "...") {
			if i > 0 {
				b.WriteString(`.*`)
			}
			b.WriteString(regexp.QuoteMeta(part))
		}
	}
	b.WriteString(`\z`)
	return regexp.MustCompile(b.String()).MatchString(got)
}

// stockTools says where the commands cue and opa are that tools/go.mod pins, by name.
var stockTools = sync.OnceValues(func() (map[string]string, error) {
	paths := map[string]string{}
	for _, name := range []string{"cue", "opa"} {
		// Go builds a tool where it has not yet, and says where it is.
		cmd := exec.Command("go", "tool", "-modfile=../../tools/go.mod", "-n", name)
		cmd.Env = append(os.Environ(), "GOWORK=off")
		path, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return nil, fmt.Errorf("building %s: %w: %s", name, err, exit.Stderr)
		} else if err != nil {
			return nil, fmt.Errorf("building %s: %w", name, err)
		}
		paths[name] = strings.TrimSpace(string(path))
	}
	return paths, nil
})

// linkTools puts the stock tools into a new folder.
func linkTools(dir string) error {
	paths, err := stockTools()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for name, path := range paths {
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// stock is a command of stories: it puts the stock cue and opa on the PATH, and shuts
// the CUE registry.
func stock(ts *testscript.TestScript, _ bool, _ []string) {
	bin := ts.MkAbs(".stock")
	ts.Check(linkTools(bin))
	ts.Setenv("PATH", bin+string(filepath.ListSeparator)+ts.Getenv("PATH"))
	ts.Setenv("CUE_REGISTRY", "none")
	ts.Setenv("CUE_CACHE_DIR", ts.MkAbs(".cue-cache"))
}

// TestTerminal holds the runner of documents to what it promises.
func TestTerminal(t *testing.T) {
	const document = "# Title\n\n```text\n$ not run\n```\n\n```yaml file=a/b.yaml\nkey: 1\n```\n\n```console\n$ cat a/b.yaml\n%s$ cd a\n$ ls; false\n%s$ echo $? \\\n  more\n%s```\n"
	write := func(outputs ...any) string { return fmt.Sprintf(document, outputs...) }
	right := write("key: 1\n", "b.yaml\n", "1 more\n")
	for _, s := range []struct{ name, text, want string }{
		{"as shown", right, right},
		{"any lines", write("...\n", "...\nb.yaml\n", "1 m...e\n"), write("...\n", "...\nb.yaml\n", "1 m...e\n")},
		{"nothing shown", write("", "", ""), right},
		{"something else", write("key: 2\n", "...\nc.yaml\n", "1 m...x\n"), right},
	} {
		t.Run(s.name, func(t *testing.T) {
			got, err := newTerminal(t, s.text).document(s.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, s := range []struct{ text, want string }{
		{"```console\n$ true\n$ false\n```\n", "3: the command fails with exit code 1 and prints nothing"},
		{"```console\noutput\n```\n", "2: a block of a session begins"},
		{"\n```console\n$ true\n", "2: the block has no end"},
		{"```yaml file=../a.yaml\n```\n", "2: the file ../a.yaml is outside"},
	} {
		_, err := newTerminal(t, s.text).document(s.text)
		if err == nil || !strings.HasPrefix(err.Error(), s.want) {
			t.Errorf("%s: got %v, want %q", strconv.Quote(s.text), err, s.want)
		}
	}
}
