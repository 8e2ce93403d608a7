package template

import (
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

// Origins returns the origin of every leaf of the definition that the template
// gave, keyed by the JSON path of the leaf with "." between keys.
func (r Rendered) Origins() map[string]Origin {
	origins := map[string]Origin{}
	r.value.Walk(nil, func(v cue.Value) {
		switch v.IncompleteKind() {
		case cue.StructKind, cue.ListKind:
			if !empty(v) {
				return
			}
		}
		at := v.Path().Selectors()
		for i, sel := range at {
			if sel.String() == "api" {
				at = at[i+1:]
				break
			}
		}
		origins[joinPath(at)] = r.set.origin(v)
	})
	return origins
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

func empty(v cue.Value) bool {
	if v.IncompleteKind() == cue.ListKind {
		n, err := v.Len().Int64()
		return err == nil && n == 0
	}
	it, err := v.Fields()
	return err == nil && !it.Next()
}

// note remembers the string literals and the expressions of a source file.
func (s *Set) note(n ast.Node) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if text, err := literal.Unquote(n.Value); err == nil {
			s.spelled[text] = true
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
func joinPath(sels []cue.Selector) string {
	parts := make([]string, len(sels))
	for i, sel := range sels {
		switch sel.Type() {
		case cue.StringLabel:
			parts[i] = strings.ReplaceAll(sel.Unquoted(), ".", `\.`)
		default:
			parts[i] = sel.String()
		}
	}
	return strings.Join(parts, ".")
}
