package template

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	cuejson "cuelang.org/go/encoding/json"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// What templates do is told from a copy of the operator's files with probes: beside each
// `if` a hidden list of what its condition was, and beside each default a hidden pair of
// the field and the default. A rendering is repeated with the copy, and its probes are
// read. They are in the struct that holds the `if`, so they see what it sees.
//
// An `if` in a clause of another comprehension has none, for the variables that it may
// use are not known in the struct; nor has one at the top of a file, which is the same for
// all routes; nor have the conditions of sidecars.

// Hidden fields of probes: the number of the branch follows.
const (
	probeIf      = "_cuegate_if_"
	probeDefault = "_cuegate_default_"
)

// Uses notes which templates were rendered, for which routes. It is safe for concurrent
// use.
type Uses struct {
	mu     sync.Mutex
	routes map[string]use // by template and id
}

// use is the last rendering of a route: where annotations set values, the template is
// rendered without them first.
type use struct {
	template string
	in       In
	values   []byte
}

// NewUses returns what notes no use so far.
func NewUses() *Uses { return &Uses{routes: map[string]use{}} }

// Watched returns templates that render as s does, and note it in u.
func (s *Set) Watched(u *Uses) *Set {
	c := *s
	c.uses = u
	return &c
}

func (u *Uses) note(name string, in In, values []byte) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	key := name + "\x00" + in.ID
	if _, known := u.routes[key]; !known || values != nil {
		u.routes[key] = use{name, in, values}
	}
}

// Branch is a place where a template goes one of two ways: an `if`, or a default.
type Branch struct {
	// At is where it is, without a message.
	At problem.Problem
	// Default tells a default from an `if`.
	Default bool
	// Text is the condition, or the field with its value.
	Text string
	// True: the condition held, or the field had its default.
	True bool
	// False: it did not, or the field had another value.
	False bool
}

// Probes tell what templates do. Their methods are not for concurrent use.
type Probes struct {
	set      *Set
	branches []Branch
	used     map[string]bool // templates
	seen     map[string]bool // renderings
}

// NewProbes compiles the copy with probes. The bundle is one that Load takes.
func NewProbes(builtin, operator fs.FS) (*Probes, error) {
	files, err := collect(builtin, operator)
	if err != nil {
		return nil, err
	}
	p := &Probes{used: map[string]bool{}, seen: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !ofOperator(name) {
			continue
		}
		f, err := parser.ParseFile(root+name, files[name], parser.ParseComments)
		if err != nil {
			return nil, err
		}
		p.plant(f)
		if files[name], err = format.Node(f); err != nil {
			return nil, err
		}
	}
	var ps []problem.Problem
	if p.set, ps = compile(files, nil); len(ps) > 0 {
		return nil, fmt.Errorf("compiling templates for coverage: %s", ps[0])
	}
	return p, nil
}

// ofOperator tells the files of an operator that templates are made of: from ours, from
// what is vendored, and from what is said of objects.
func ofOperator(name string) bool {
	top, _, below := strings.Cut(name, "/")
	return below && top != "cue.mod" && top != "schema" && top != "tests" && top != "manifests"
}

// Templates gives the names of the templates that may be used, those that are built in
// only when asked for, and whether they were.
func (p *Probes) Templates(builtin bool) (names []string, used map[string]bool) {
	for _, name := range p.set.names {
		if builtin || !p.set.own[name] {
			names = append(names, name)
		}
	}
	return names, p.used
}

// Place says where a template begins.
func (p *Probes) Place(name string) problem.Problem { return p.set.Place(name) }

// Branches gives all branches in the order of the files.
func (p *Probes) Branches() []Branch { return p.branches }

// plant puts the probes into a file.
func (p *Probes) plant(f *ast.File) {
	for _, d := range f.Decls {
		if isFieldOf(d, sidecarField) {
			continue
		}
		p.plantIn(d, nil)
	}
}

// plantIn plants the probes of a node into the struct that holds it.
func (p *Probes) plantIn(n ast.Node, holder *ast.StructLit) {
	ast.Walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructLit:
			for _, d := range slices.Clone(n.Elts) {
				if field, ok := d.(*ast.Field); ok {
					p.plantDefault(field, n)
				}
				p.plantIn(d, n)
			}
			return false
		case *ast.Comprehension:
			p.plantIf(n, holder)
			p.plantIn(n.Value, holder)
			return false
		}
		return true
	}, nil)
}

func (p *Probes) plantIf(c *ast.Comprehension, holder *ast.StructLit) {
	if holder == nil {
		return
	}
	for i, clause := range c.Clauses {
		cond, ok := clause.(*ast.IfClause)
		if !ok {
			continue
		}
		var probe ast.Expr = cond.Condition
		if i > 0 {
			probe = &ast.Comprehension{Clauses: c.Clauses[:i], Value: &ast.StructLit{Elts: []ast.Decl{&ast.EmbedDecl{Expr: cond.Condition}}}}
		}
		p.add(holder, probeIf, ast.NewList(probe), Branch{At: position(cond.Condition.Pos()), Text: "if " + textOf(cond.Condition)})
	}
}

func (p *Probes) plantDefault(f *ast.Field, holder *ast.StructLit) {
	value := defaultOf(f.Value)
	label, _, err := ast.LabelName(f.Label)
	if value == nil || err != nil || !fixed(f.Label) {
		return
	}
	p.add(holder, probeDefault, ast.NewList(ast.NewString(label), value), Branch{
		At: position(f.Pos()), Default: true, Text: label + ": " + textOf(f.Value),
	})
}

func (p *Probes) add(holder *ast.StructLit, prefix string, probe ast.Expr, b Branch) {
	holder.Elts = append(holder.Elts, &ast.Field{Label: ast.NewIdent(prefix + strconv.Itoa(len(p.branches))), Value: probe})
	p.branches = append(p.branches, b)
}

// defaultOf finds the default in the value of a field, or gives nil.
func defaultOf(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return defaultOf(e.X)
	case *ast.UnaryExpr:
		if e.Op == token.MUL {
			return e.X
		}
	case *ast.BinaryExpr:
		if e.Op != token.OR && e.Op != token.AND {
			return nil
		}
		if x := defaultOf(e.X); x != nil {
			return x
		}
		return defaultOf(e.Y)
	}
	return nil
}

// textOf writes an expression on one line, and not all of a long one.
func textOf(e ast.Expr) string {
	b, err := format.Node(e)
	if err != nil {
		return ""
	}
	text := []rune(strings.Join(strings.Fields(string(b)), " "))
	if len(text) > 80 {
		return string(text[:80]) + "..."
	}
	return string(text)
}

// Read repeats what was noted, and reads the probes.
func (p *Probes) Read(u *Uses) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(u.routes)) {
		x := u.routes[key]
		p.used[x.template] = true
		id, err := json.Marshal([]any{x.template, x.in, string(x.values)})
		if err != nil {
			return err
		}
		if p.seen[string(id)] {
			continue
		}
		p.seen[string(id)] = true
		if err := p.read(x); err != nil {
			return err
		}
	}
	return nil
}

func (p *Probes) read(x use) error {
	t, ok := p.set.templates[x.template]
	if !ok {
		return nil
	}
	v := t.FillPath(pathIn, p.set.ctx.Encode(p.set.limited(x.in)))
	if x.values != nil {
		expr, err := cuejson.Extract("values", x.values)
		if err != nil {
			return nil // the engine has refused them
		}
		v = v.FillPath(pathAPI, p.set.ctx.BuildExpr(expr))
	}
	p.walk(v)
	return nil
}

// walk reads the probes in a value and in what is below it.
func (p *Probes) walk(v cue.Value) {
	switch v.IncompleteKind() {
	case cue.ListKind:
		if it, err := v.List(); err == nil {
			for it.Next() {
				p.walk(it.Value())
			}
		}
		if !hasProbes(v) {
			return
		}
		fallthrough
	default:
		it, err := v.Fields(cue.Hidden(true), cue.Definitions(false))
		if err != nil {
			return
		}
		for it.Next() {
			name := it.Selector().String()
			if n, ok := strings.CutPrefix(name, probeIf); ok {
				p.readIf(n, it.Value())
			} else if n, ok := strings.CutPrefix(name, probeDefault); ok {
				p.readDefault(n, it.Value(), v)
			} else if name != "in" {
				p.walk(it.Value())
			}
		}
	}
}

// hasProbes tells whether a list has fields too, as one that is embedded in a struct.
func hasProbes(v cue.Value) bool {
	it, err := v.Fields(cue.Hidden(true))
	return err == nil && it.Next()
}

func (p *Probes) branch(number string) *Branch {
	n, err := strconv.Atoi(number)
	if err != nil || n >= len(p.branches) {
		return nil
	}
	return &p.branches[n]
}

func (p *Probes) readIf(number string, probe cue.Value) {
	b := p.branch(number)
	it, err := probe.List()
	if b == nil || err != nil {
		return
	}
	for it.Next() {
		// A condition that is not known, as one on a label that is not there, does not hold.
		held, err := it.Value().Bool()
		held = held && err == nil
		b.True, b.False = b.True || held, b.False || !held
	}
}

// readDefault compares a field with its default.
func (p *Probes) readDefault(number string, probe, holder cue.Value) {
	b := p.branch(number)
	if b == nil {
		return
	}
	label, err := probe.LookupPath(cue.MakePath(cue.Index(0))).String()
	if err != nil {
		return
	}
	want, ok := plainOf(probe.LookupPath(cue.MakePath(cue.Index(1))))
	if !ok {
		return
	}
	got, ok := plainOf(holder.LookupPath(cue.MakePath(cue.Str(label))))
	if !ok {
		return
	}
	same := reflect.DeepEqual(want, got)
	b.True, b.False = b.True || same, b.False || !same
}

// plainOf gives a value as encoding/json decodes it.
func plainOf(v cue.Value) (any, bool) {
	raw, err := v.MarshalJSON()
	if err != nil {
		return nil, false
	}
	var x any
	return x, json.Unmarshal(raw, &x) == nil
}
