package template

import (
	"path"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// A sidecar is blind to the names of a workload when all that it does with them is to
// hand them on and to compare them: then a rendering serves for any other names, of
// which the same comparisons hold, with these in their places.
//
// Whether it is so is told from its text. What an expression gives may hold a name when
// it mentions one, or a field that may hold one. Fields are told apart by their labels
// alone, wherever they stand, so a field counts as holding a name more often than it
// does, and never less. What looks into a text that may hold a name ends it; and so does
// what could look into any text, such as a pattern, and what is not understood.

// blindTo are the fields of `in` that are different for each workload.
var blindTo = map[string]bool{"namespace": true, "name": true, "tags": true, "tagList": true}

// isBlind tells whether the sidecar of a bundle is.
func isBlind(files map[string][]byte) bool {
	b := &blindness{fields: map[string]bool{}, vars: map[ast.Node]bool{}}
	var decls []ast.Decl
	for name, data := range files {
		dir := path.Dir(name)
		if dir != vendored+"sidecar" && dir != "templates" {
			continue
		}
		f, err := parser.ParseFile(root+name, data, parser.ParseComments)
		if err != nil {
			return false
		}
		for _, d := range f.Decls {
			if dir == "templates" && isFieldOf(d, "templates") {
				continue // templates of definitions, unless something refers to them
			}
			decls = append(decls, d)
		}
	}
	for more := true; more && !b.looks; {
		known := len(b.fields) + len(b.vars)
		for _, d := range decls {
			b.decl(d)
		}
		more = len(b.fields)+len(b.vars) > known
	}
	return !b.looks
}

func isFieldOf(d ast.Decl, name string) bool {
	f, ok := d.(*ast.Field)
	if !ok {
		return false
	}
	label, _, err := ast.LabelName(f.Label)
	return err == nil && label == name
}

// blindness walks the files again and again, until it finds no more fields that may hold
// a name.
type blindness struct {
	// fields, by their labels, and variables that may hold a name.
	fields map[string]bool
	vars   map[ast.Node]bool
	// looks is set when something may look into a name.
	looks bool
}

// refuse notes that something may look into a name.
func (b *blindness) refuse() bool {
	b.looks = true
	return true
}

// decl tells whether what is declared may hold a name.
func (b *blindness) decl(d ast.Decl) bool {
	switch d := d.(type) {
	case *ast.Field:
		return b.field(d)
	case *ast.EmbedDecl:
		return b.expr(d.Expr)
	case *ast.LetClause:
		b.variable(d, b.expr(d.Expr))
		return false
	case *ast.Comprehension:
		return b.comprehension(d)
	case *ast.Ellipsis:
		return d.Type != nil && b.expr(d.Type)
	case *ast.ImportDecl, *ast.Package, *ast.CommentGroup, *ast.Attribute:
		return false
	}
	return b.refuse()
}

func (b *blindness) variable(n ast.Node, holds bool) {
	if holds {
		b.vars[n] = true
	}
}

func (b *blindness) field(f *ast.Field) bool {
	if f.Alias != nil || !fixed(f.Label) {
		return b.refuse()
	}
	label, _, err := ast.LabelName(f.Label)
	if err == nil && label == "in" {
		// Nothing may be said of what the engine fills in.
		return !isIn(f.Value) && b.refuse()
	}
	holds := b.expr(f.Value)
	switch {
	case holds && err != nil:
		return b.refuse() // of every field that there is
	case holds:
		b.fields[label] = true
	}
	return holds
}

// isIn tells whether an expression says no more of `in` than the package sidecar does.
func isIn(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "_" || e.Name == "#In"
	case *ast.SelectorExpr:
		label, _, err := ast.LabelName(e.Sel)
		pkg, ok := e.X.(*ast.Ident)
		return err == nil && label == "#In" && ok && importPath(pkg) == sidecarPackage
	}
	return false
}

// importPath is that of the package that an identifier names, or "".
func importPath(id *ast.Ident) string {
	spec, ok := id.Node.(*ast.ImportSpec)
	if !ok {
		return ""
	}
	text, err := literal.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	text, _, _ = strings.Cut(text, "@")
	text, _, _ = strings.Cut(text, ":")
	return text
}

// any tells whether one of the expressions may hold a name.
func (b *blindness) any(list ...ast.Expr) bool {
	holds := false
	for _, e := range list {
		holds = b.expr(e) || holds
	}
	return holds
}

// expr tells whether what an expression gives may hold a name.
func (b *blindness) expr(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.BottomLit:
		return false
	case *ast.Ident:
		switch e.Name {
		case "in", "self", "templates":
			return b.refuse()
		}
		return b.vars[e.Node] || b.fields[e.Name]
	case *ast.ParenExpr:
		return b.expr(e.X)
	case *ast.StructLit:
		holds := false
		for _, d := range e.Elts {
			holds = b.decl(d) || holds
		}
		return holds
	case *ast.ListLit:
		return b.any(e.Elts...)
	case *ast.Ellipsis:
		return e.Type != nil && b.expr(e.Type)
	case *ast.Comprehension:
		return b.comprehension(e)
	case *ast.SelectorExpr, *ast.IndexExpr:
		return b.selection(e)
	case *ast.UnaryExpr:
		return b.unary(e)
	case *ast.BinaryExpr:
		return b.binary(e)
	case *ast.CallExpr:
		return b.call(e)
	case *ast.Interpolation:
		return b.any(e.Elts...) && b.refuse()
	}
	return b.refuse()
}

// selection judges x.y and x["y"] by the label y, whatever x is.
func (b *blindness) selection(e ast.Expr) bool {
	var x ast.Expr
	var label string
	switch e := e.(type) {
	case *ast.SelectorExpr:
		name, _, err := ast.LabelName(e.Sel)
		if err != nil {
			return b.refuse()
		}
		x, label = e.X, name
	case *ast.IndexExpr:
		lit, ok := e.Index.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return b.any(e.Index) && b.refuse() || b.expr(e.X)
		}
		name, err := literal.Unquote(lit.Value)
		if err != nil {
			return b.refuse()
		}
		x, label = e.X, name
	}
	if label == "in" || label == "templates" {
		return b.refuse()
	}
	id, ok := x.(*ast.Ident)
	switch {
	case ok && id.Name == "in":
		return blindTo[label] || b.fields[label]
	case ok && importPath(id) == sidecarPackage:
	case ok && importPath(id) != "":
		return b.refuse() // it may be a constraint
	default:
		b.expr(x)
	}
	return b.fields[label]
}

func (b *blindness) unary(e *ast.UnaryExpr) bool {
	holds := b.expr(e.X)
	switch e.Op {
	case token.MUL:
		return holds
	case token.NOT, token.ADD, token.SUB:
		return holds && b.refuse()
	case token.NEQ:
		if _, ok := e.X.(*ast.BasicLit); ok {
			return false
		}
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		if isNumber(e.X) {
			return false
		}
	}
	return b.refuse()
}

func (b *blindness) binary(e *ast.BinaryExpr) bool {
	holds := b.any(e.X, e.Y)
	switch e.Op {
	case token.AND, token.OR:
		return holds
	case token.EQL, token.NEQ, token.LAND, token.LOR:
		return false
	}
	return holds && b.refuse()
}

func (b *blindness) call(e *ast.CallExpr) bool {
	holds, name := b.any(e.Args...), called(e)
	switch name {
	case "close", "and", "or", "list.Concat":
		return holds
	case "list.Contains":
		return false
	}
	if _, known := builtins[name]; !known && name != "len" {
		return b.refuse()
	}
	return holds && b.refuse()
}

func (b *blindness) comprehension(c *ast.Comprehension) bool {
	for _, clause := range c.Clauses {
		switch clause := clause.(type) {
		case *ast.ForClause:
			b.variable(clause.Value, b.expr(clause.Source))
		case *ast.IfClause:
			b.expr(clause.Condition)
		case *ast.LetClause:
			b.variable(clause, b.expr(clause.Expr))
		default:
			return b.refuse()
		}
	}
	if c.Fallback != nil {
		return b.refuse()
	}
	return b.expr(c.Value)
}
