package template

import (
	"regexp"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Origin says where a value of a definition came from.
type Origin struct {
	problem.Problem
	// Default is set when an annotation may change the value.
	Default bool
	// Expression is the CUE text that gave the value.
	Expression string
}

// Origins returns the origin of every value of the definition that the template
// gave, keyed by its JSON path with "." between keys. What stands inside a list
// has the origin of the list, and what stands inside a struct that is a default as a
// whole may have that of the struct alone.
func (r Rendered) Origins() map[string]Origin {
	origins := map[string]Origin{}
	if r.skeleton != nil {
		evaluated, err := r.again()
		if err != nil {
			return origins
		}
		r = evaluated
	}
	r.whole.LookupPath(pathAPI).Walk(func(v cue.Value) bool {
		at := v.Path().Selectors()
		for i, sel := range at {
			if sel.String() == "api" {
				at = at[i+1:]
				break
			}
		}
		if len(at) > 0 {
			origins[r.joinPath(at)] = r.origin(v)
		}
		return v.IncompleteKind() != cue.ListKind
	}, nil)
	return origins
}

var reference = regexp.MustCompile(`^\*?defaults\.(\w+)( \||$)`)

// origin finds the origin of a value; a value that takes one of #Base's `defaults`
// has the origin of that.
func (r Rendered) origin(v cue.Value) Origin {
	o := r.set.origin(v)
	m := reference.FindStringSubmatch(o.Expression)
	if m == nil {
		return o
	}
	from := r.whole.LookupPath(cue.MakePath(cue.Str("defaults"), cue.Str(m[1])))
	if !from.Exists() {
		return o
	}
	behind := r.set.origin(from)
	behind.Default = o.Default
	return behind
}

// origin looks for the conjunct that gave v its value: one of a template rather
// than of the schema, and a fixed one rather than a default.
func (s *Set) origin(v cue.Value) Origin {
	var best Origin
	rank := -1
	for _, c := range conjuncts(v) {
		o := Origin{Problem: position(c.Pos())}
		if o.File == "" || o.File == "values" {
			continue
		}
		if i := strings.LastIndexByte(o.File, '/'); strings.HasPrefix(o.File, "cue/tyk/") && i == len("cue/tyk") {
			continue
		}
		_, o.Default = c.Default()
		this := 1
		if !o.Default {
			this = 2
		}
		if this > rank {
			o.Expression = s.expressions[where(o.Problem)]
			best, rank = o, this
		}
	}
	return best
}

func conjuncts(v cue.Value) []cue.Value {
	op, args := v.Expr()
	if op != cue.AndOp {
		return []cue.Value{v}
	}
	var all []cue.Value
	for _, a := range args {
		all = append(all, conjuncts(a)...)
	}
	return all
}

// note remembers the string literals and the expressions of a source file.
func (s *Set) note(n ast.Node) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if text, err := literal.Unquote(n.Value); err == nil {
			s.spelled[text] = true
		}
	case *ast.SelectorExpr:
		if name, _, err := ast.LabelName(n.Sel); err == nil {
			s.spelled[name] = true
		}
	case *ast.Field:
		name, _, err := ast.LabelName(n.Label)
		if err == nil {
			s.spelled[name] = true
		}
		if body, ok := n.Value.(*ast.StructLit); ok {
			if name == "templates" {
				s.noteTemplates(body)
			}
			return
		}
		if text, err := format.Node(n.Value); err == nil && len(text) < 120 {
			s.expressions[where(position(n.Pos()))] = string(text)
		}
	}
}

// noteTemplates remembers where each template begins.
func (s *Set) noteTemplates(list *ast.StructLit) {
	for _, d := range list.Elts {
		f, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		if name, isIdent, err := ast.LabelName(f.Label); err == nil && (isIdent || name != "") {
			s.places[name] = position(f.Pos())
		}
	}
}

func where(p problem.Problem) string {
	p.Message = ""
	return p.String()
}

// joinPath writes selectors as a JSON path; a "." inside a key is written "\.".
func (r Rendered) joinPath(sels []cue.Selector) string {
	parts := make([]string, len(sels))
	for i, sel := range sels {
		switch sel.Type() {
		case cue.StringLabel:
			parts[i] = strings.ReplaceAll(r.hidden.reveal(sel.Unquoted()), ".", `\.`)
		default:
			parts[i] = sel.String()
		}
	}
	return strings.Join(parts, ".")
}
