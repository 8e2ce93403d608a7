package template

import (
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Mutants changes the templates of an operator's bundle, and what it asks of objects, one
// thing at a time: conditions that always or never hold, and other constants. Labels stay, and so does the wording of
// `errors`. The files must be such that Load takes them.
func Mutants(operator fs.FS) ([]problem.Mutant, error) {
	var all []problem.Mutant
	var failed error
	err := eachCUE(operator, func(name string, text []byte) {
		if !ofOperator(name) && !strings.HasPrefix(name, "schema/") {
			return
		}
		f, err := parser.ParseFile(root+name, text, parser.ParseComments)
		if err != nil {
			failed = err
			return
		}
		m := mutation{text: text}
		for _, d := range f.Decls {
			m.node(d, false)
		}
		slices.SortStableFunc(m.mutants, func(a, b problem.Mutant) int {
			if a.At.Line != b.At.Line {
				return a.At.Line - b.At.Line
			}
			return a.At.Column - b.At.Column
		})
		all = append(all, m.mutants...)
	})
	if err == nil {
		err = failed
	}
	return all, err
}

// mutation collects the mutants of one file.
type mutation struct {
	text    []byte
	mutants []problem.Mutant
}

// Why it matters that nobody noticed.
const (
	whyAlways   = "No test has a route for which the condition does not hold."
	whyNever    = "No test has a route for which the condition holds."
	whyConstant = "No test depends on this value."
)

// splice adds the mutant in which the text of a node is another.
func (m *mutation) splice(n ast.Node, new, what, why string) {
	from, to := n.Pos().Offset(), n.End().Offset()
	if !n.Pos().IsValid() || from > to || to > len(m.text) {
		return
	}
	new += strings.Repeat("\n", strings.Count(string(m.text[from:to]), "\n"))
	m.mutants = append(m.mutants, problem.Mutant{
		At: position(n.Pos()), What: what, Why: why,
		Text: slices.Concat(m.text[:from], []byte(new), m.text[to:]),
	})
}

// node finds what can be changed in a node. Texts are left alone where they are for
// people.
func (m *mutation) node(n ast.Node, texts bool) {
	ast.Walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportDecl, *ast.Attribute, *ast.Interpolation, *ast.CommentGroup:
			return false
		case *ast.Field:
			label, _, err := ast.LabelName(n.Label)
			m.node(n.Value, texts || err == nil && label == "errors")
			return false
		case *ast.IfClause:
			text := textOf(n.Condition)
			m.splice(n.Condition, "true", "the condition always holds: "+text, whyAlways)
			m.splice(n.Condition, "false", "the condition never holds: "+text, whyNever)
			m.node(n.Condition, false)
			return false
		case *ast.SelectorExpr:
			m.node(n.X, texts)
			return false
		case *ast.BasicLit:
			m.constant(n, texts)
		}
		return true
	}, nil)
}

func (m *mutation) constant(n *ast.BasicLit, texts bool) {
	var new string
	switch n.Kind {
	case token.TRUE:
		new = "false"
	case token.FALSE:
		new = "true"
	case token.INT:
		v, err := strconv.Atoi(n.Value)
		if err != nil {
			return
		}
		new = strconv.Itoa(v + 1)
	case token.STRING:
		text, err := literal.Unquote(n.Value)
		if err != nil || texts || strings.HasPrefix(n.Value, "'") {
			return
		}
		new = literal.String.Quote(text + "x")
	default:
		return
	}
	m.splice(n, new, textOf(n)+" is "+new, whyConstant)
}
