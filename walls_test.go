package cuegate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cuegate/cuegate"

// self stands for the room of the importing file: its top folder, or its adapter
// (adapters/k8s).
const self = "(the room itself)"

// A wall says what the Go files of some folders must not import or use. It holds
// for what is below the folders too, and not for tests.
type wall struct {
	why string
	// in are the folders that it holds in, except those it does not.
	in, except []string
	// never are import paths that, with all below them, must not be imported,
	// unless they are at or below one of these.
	never, unless []string
	// uses are names of packages that must not be used: "time.Now".
	uses []string
}

var walls = []wall{
	{
		why:   "The engine knows nobody who uses it: of this module it imports itself only.",
		in:    []string{"engine"},
		never: []string{module}, unless: []string{self},
	},
	{
		why:   "The engine does no I/O: what it needs to know, it is given.",
		in:    []string{"engine"},
		never: []string{"net", "os", "syscall", "io/ioutil"}, unless: []string{"net/netip", "net/url"},
	},
	{
		why:   "The engine explains, and does not log or count.",
		in:    []string{"engine"},
		never: []string{"log", "expvar", "k8s.io/klog", "github.com/prometheus"},
	},
	{
		why:   "The engine talks to no cluster.",
		in:    []string{"engine"},
		never: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
	},
	{
		why:  "The engine has no clock: the same input gives the same output at any time.",
		in:   []string{"engine"},
		uses: []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTicker", "time.NewTimer"},
	},
	{
		why:   "The engine draws nothing at random.",
		in:    []string{"engine"},
		never: []string{"math/rand", "crypto/rand"},
	},
	{
		why:   "Adapters and the webhook know the engine and themselves, never each other.",
		in:    []string{"adapters", "webhook"},
		never: []string{module}, unless: []string{module + "/engine", self},
	},
	{
		why:    "Nobody imports the command: it wires the others.",
		in:     []string{"."},
		except: []string{"cmd"},
		never:  []string{module + "/cmd"},
	},
	{
		why:    "Only engine/internal/policy knows OPA.",
		in:     []string{"."},
		except: []string{"engine/internal/policy"},
		never:  []string{"github.com/open-policy-agent"},
	},
	{
		why:    "Only engine/internal/template and engine/internal/schema know CUE.",
		in:     []string{"."},
		except: []string{"engine/internal/template", "engine/internal/schema"},
		never:  []string{"cuelang.org"},
	},
}

// TestWalls reads the files themselves: a test that asked the go command would
// be served from the cache although the imports changed.
func TestWalls(t *testing.T) {
	read := map[string]int{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if name != "." && notOurs(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		read[room(name)]++
		breaches, err := inspect(name, src)
		if err != nil {
			return err
		}
		for _, b := range breaches {
			t.Error(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []string{".", "engine", "cmd"} {
		if read[r] == 0 {
			t.Errorf("no Go file was found in %q", r)
		}
	}
}

// notOurs tells which folders the go command leaves out of this module as well.
func notOurs(dir string) bool {
	base := path.Base(dir)
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "vendor" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// breach is one place where a wall is broken.
type breach struct {
	at   token.Position
	what string
	why  string
}

func (b breach) String() string {
	return fmt.Sprintf("%s:%d: %s. %s", b.at.Filename, b.at.Line, b.what, b.why)
}

// inspect gives what is wrong with one file; name is its path in the module.
func inspect(name string, src []byte) ([]breach, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var breaches []breach
	for _, w := range walls {
		if !w.holds(name) {
			continue
		}
		report := func(n ast.Node, what string) {
			breaches = append(breaches, breach{fset.Position(n.Pos()), what, w.why})
		}
		names := map[string]string{} // import paths by the name they have in this file
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			if w.forbids(imported, name) {
				report(spec, "imports "+imported)
			}
			local := path.Base(imported)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			names[local] = imported
			if local == "." && w.watches(imported) {
				report(spec, "hides what it uses of "+imported)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok {
				if used := names[x.Name] + "." + selector.Sel.Name; slices.Contains(w.uses, used) {
					report(selector, "uses "+used)
				}
			}
			return true
		})
	}
	return breaches, nil
}

func (w wall) holds(name string) bool {
	under := func(dir string) bool { return below(name, dir) }
	return slices.ContainsFunc(w.in, under) && !slices.ContainsFunc(w.except, under)
}

// forbids tells whether the file may not import the path.
func (w wall) forbids(imported, file string) bool {
	under := func(p string) bool {
		if p == self {
			p = path.Join(module, room(file))
		}
		return below(imported, p)
	}
	return slices.ContainsFunc(w.never, under) && !slices.ContainsFunc(w.unless, under)
}

func (w wall) watches(imported string) bool {
	return slices.ContainsFunc(w.uses, func(use string) bool { return strings.HasPrefix(use, imported+".") })
}

// below tells whether name is dir or something in it.
func below(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// room of a file; that of the front door is ".".
func room(file string) string {
	parts := strings.Split(path.Dir(file), "/")
	if parts[0] == "adapters" && len(parts) > 1 {
		return path.Join(parts[:2]...)
	}
	return parts[0]
}

// TestWallsHold breaks every wall, and passes close by each of them.
func TestWallsHold(t *testing.T) {
	stories := []struct {
		file string
		// src is the file after its package clause.
		src string
		// want are the whats of the breaches; none means that all is well.
		want []string
	}{
		{"engine/a.go", `import "net/http"`, []string{"imports net/http"}},
		{"engine/a.go", `import "net"`, []string{"imports net"}},
		{"engine/internal/policy/a.go", `import _ "os"`, []string{"imports os"}},
		{"engine/a.go", `import "os/exec"`, []string{"imports os/exec"}},
		{"engine/a.go", `import ("net/netip"; "net/url"; "io/fs"; "path")`, nil},
		{"engine/a.go", `import "log"`, []string{"imports log"}},
		{"engine/a.go", `import l "log/slog"`, []string{"imports log/slog"}},
		{"engine/a.go", `import "github.com/prometheus/client_golang/prometheus"`, []string{"imports github.com/prometheus/client_golang/prometheus"}},
		{"engine/a.go", `import "k8s.io/client-go/kubernetes"`, []string{"imports k8s.io/client-go/kubernetes"}},
		{"engine/a.go", `import "k8s.io/api/networking/v1"`, nil},
		{"engine/a.go", `import "math/rand/v2"`, []string{"imports math/rand/v2"}},
		{"adapters/k8s/a.go", `import ("net/http"; "os"; "log/slog"; "math/rand/v2"; "k8s.io/client-go/kubernetes")`, nil},

		{"engine/a.go", "import \"time\"\nvar t = time.Now()", []string{"uses time.Now"}},
		{"engine/a.go", "import \"time\"\nvar now = time.Now", []string{"uses time.Now"}},
		{"engine/internal/problem/a.go", "import clock \"time\"\nfunc f(t clock.Time) any { return clock.Since(t) }", []string{"uses time.Since"}},
		{"engine/a.go", "import . \"time\"\nvar t = Now()", []string{"hides what it uses of time"}},
		{"engine/a.go", "import \"time\"\nvar t, _ = time.Parse(time.RFC3339, \"\")", nil},
		{"engine/a.go", "type clock struct{ Now func() }\nfunc f(time clock) { time.Now() }", nil},
		{"adapters/k8s/a.go", "import \"time\"\nvar t = time.Now()", nil},

		{"engine/a.go", `import "github.com/cuegate/cuegate/adapters/tyk"`, []string{"imports github.com/cuegate/cuegate/adapters/tyk"}},
		{"engine/internal/schema/a.go", `import "github.com/cuegate/cuegate/webhook"`, []string{"imports github.com/cuegate/cuegate/webhook"}},
		{"engine/a.go", `import "github.com/cuegate/cuegate"`, []string{"imports github.com/cuegate/cuegate"}},
		{"engine/a.go", `import "github.com/cuegate/cuegate/engine/internal/policy"`, nil},

		{"adapters/k8s/a.go", `import "github.com/cuegate/cuegate/adapters/tyk"`, []string{"imports github.com/cuegate/cuegate/adapters/tyk"}},
		{"adapters/tyk/embedded/a.go", `import "github.com/cuegate/cuegate/adapters/k8s"`, []string{"imports github.com/cuegate/cuegate/adapters/k8s"}},
		{"adapters/tyk/a.go", `import "github.com/cuegate/cuegate/adapters/tykish"`, []string{"imports github.com/cuegate/cuegate/adapters/tykish"}},
		{"adapters/tyk/a.go", `import "github.com/cuegate/cuegate/webhook"`, []string{"imports github.com/cuegate/cuegate/webhook"}},
		{"adapters/tyk/embedded/a.go", `import ("github.com/cuegate/cuegate/engine"; "github.com/cuegate/cuegate/adapters/tyk/contract")`, nil},
		{"webhook/a.go", `import "github.com/cuegate/cuegate/adapters/k8s"`, []string{"imports github.com/cuegate/cuegate/adapters/k8s"}},
		{"webhook/a.go", `import ("github.com/cuegate/cuegate/engine"; "github.com/cuegate/cuegate/webhook/certs")`, nil},

		{"embed.go", `import "github.com/cuegate/cuegate/cmd/cuegate"`, []string{"imports github.com/cuegate/cuegate/cmd/cuegate"}},
		{"test/e2e/a.go", `import "github.com/cuegate/cuegate/cmd/cuegate"`, []string{"imports github.com/cuegate/cuegate/cmd/cuegate"}},
		{"cmd/cuegate/a.go", `import ("github.com/cuegate/cuegate"; "github.com/cuegate/cuegate/engine"; "github.com/cuegate/cuegate/adapters/tyk"; "github.com/cuegate/cuegate/cmd/cuegate/complete")`, nil},

		{"engine/a.go", `import "github.com/open-policy-agent/opa/v1/rego"`, []string{"imports github.com/open-policy-agent/opa/v1/rego"}},
		{"cmd/cuegate/a.go", `import "github.com/open-policy-agent/opa/v1/rego"`, []string{"imports github.com/open-policy-agent/opa/v1/rego"}},
		{"engine/internal/policy/a.go", `import "github.com/open-policy-agent/opa/v1/rego"`, nil},
		{"engine/internal/policy/a.go", `import "cuelang.org/go/cue"`, []string{"imports cuelang.org/go/cue"}},
		{"embed.go", `import "cuelang.org/go/cue"`, []string{"imports cuelang.org/go/cue"}},
		{"engine/internal/template/a.go", `import "cuelang.org/go/cue"`, nil},
		{"engine/internal/schema/a.go", `import "cuelang.org/go/cue"`, nil},
	}
	broken := map[string]bool{}
	for _, s := range stories {
		breaches, err := inspect(s.file, []byte("package p\n"+s.src))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range breaches {
			broken[b.why] = true
			if !slices.Contains(got, b.what) {
				got = append(got, b.what)
			}
		}
		if !slices.Equal(got, s.want) {
			t.Errorf("%s: %s: got %q, want %q", s.file, s.src, got, s.want)
		}
	}
	for _, w := range walls {
		if !broken[w.why] {
			t.Errorf("no story breaks the wall: %s", w.why)
		}
	}
}
