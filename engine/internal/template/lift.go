package template

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// Most of what a template does with the texts of a route is to hand them on and to
// compare them: it cannot tell one text from another of which the same comparisons
// hold. Whatever a rendering gives, it gives for other texts too, with these in
// their places. Only few expressions look into a text:
//
//	"\(x)", x + y, x =~ y, x < y, len(x), strings.ToUpper(x), (x): y, =~"..."
//
// Where such an expression depends on `in` alone (see closed.go) it is replaced by a
// field of `in` that is worked out beforehand. A template that has no other ones
// is plain: a rendering of it serves for every route that has the same shape.

// derivedField names the n-th field that lifting adds to `in`. As a definition it is
// never part of what is rendered.
func derivedField(n int) string { return fmt.Sprintf("%s%d", derivedMark, n) }

const derivedMark = "#derived"

// lifted is what lifting found in the files of a bundle.
type lifted struct {
	// derived are the expressions that were replaced.
	derived []closed
	// parts of the bundle; what stands outside of its templates belongs to the name "".
	parts map[part]*found
	// nested is set when something refers to `templates`: each may hold any other.
	nested bool
}

// part names a template, and the folder of its package.
type part struct{ dir, name string }

// found is what lifting found in a part.
type found struct {
	// opaque is set when it looks into texts in a way that only CUE can follow.
	opaque bool
	// used are the paths in `in` of what it mentions.
	used map[string]bool
	// derived are the numbers of what it uses of these.
	derived []int
}

// behind puts together what was found in all that a template may hold; own is set
// when it is one of ours, and can hold nothing of an operator's bundle.
func (l *lifted) behind(name string, own bool) found {
	all := found{used: map[string]bool{}}
	for p, f := range l.parts {
		if own && !strings.HasPrefix(p.dir, vendored) || !l.nested && p.name != "" && p.name != name {
			continue
		}
		all.opaque = all.opaque || f.opaque
		maps.Copy(all.used, f.used)
		all.derived = append(all.derived, f.derived...)
	}
	slices.Sort(all.derived)
	return all
}

// lift rewrites the files of a bundle so that as many templates as possible are plain.
// isList tells whether a list stands at a path of the API definition.
func lift(files map[string][]byte, isList func(path []string) bool) (*lifted, error) {
	all := &lifted{parts: map[part]*found{}}
	parsed := map[string]*ast.File{}
	for name, data := range files {
		dir := path.Dir(name)
		if strings.HasPrefix(name, "cue.mod/") && path.Ext(name) != ".cue" || name == "cue.mod/module.cue" || dir == vendored+"schema" || dir == vendored+"sidecar" {
			continue
		}
		f, err := parser.ParseFile(root+name, data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		parsed[name] = f
	}
	for name, f := range parsed {
		l := &lifter{lifted: all, dir: path.Dir(name), isList: isList}
		for _, d := range f.Decls {
			if isSidecar(d) {
				continue // rendered by CUE alone
			}
			if mentions(d, sidecarField) {
				l.refuse()
			}
			l.decl(d)
		}
		for prune(f) {
		}
		text, err := format.Node(f)
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	return all, nil
}

func isSidecar(d ast.Decl) bool {
	f, ok := d.(*ast.Field)
	if !ok {
		return false
	}
	name, _, err := ast.LabelName(f.Label)
	return err == nil && name == sidecarField
}

func mentions(n ast.Node, name string) bool {
	found := false
	ast.Walk(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == name
		return !found
	}, nil)
	return found
}

// lifter walks a file.
type lifter struct {
	*lifted
	dir    string
	isList func([]string) bool
	// at are the labels of the fields around.
	at []string
}

// here gives the part that is walked.
func (l *lifter) here() *found {
	p := part{dir: l.dir}
	if len(l.at) > 1 && l.at[0] == "templates" {
		p.name = l.at[1]
	}
	if l.parts[p] == nil {
		l.parts[p] = &found{used: map[string]bool{}}
	}
	return l.parts[p]
}

// refuse notes that what is around is not plain.
func (l *lifter) refuse() { l.here().opaque = true }

// prune takes away one generation of imports and `let` that nothing refers to any
// more, which CUE forbids. It returns false when there are none.
func prune(f *ast.File) bool {
	used := map[ast.Node]bool{}
	ast.Walk(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			used[id.Node] = true
		}
		return true
	}, nil)
	pruned := false
	f.Decls = slices.DeleteFunc(f.Decls, func(d ast.Decl) bool {
		if imports, ok := d.(*ast.ImportDecl); ok {
			n := len(imports.Specs)
			imports.Specs = slices.DeleteFunc(imports.Specs, func(s *ast.ImportSpec) bool { return !used[s] })
			pruned = pruned || len(imports.Specs) < n
			return len(imports.Specs) == 0
		}
		return false
	})
	unused := func(d ast.Decl) bool {
		let, ok := d.(*ast.LetClause)
		pruned = pruned || ok && !used[let]
		return ok && !used[let]
	}
	f.Decls = slices.DeleteFunc(f.Decls, unused)
	ast.Walk(f, func(n ast.Node) bool {
		if body, ok := n.(*ast.StructLit); ok {
			body.Elts = slices.DeleteFunc(body.Elts, unused)
		}
		return true
	}, nil)
	return pruned
}

func (l *lifter) decl(d ast.Decl) {
	switch d := d.(type) {
	case *ast.Field:
		l.field(d)
	case *ast.EmbedDecl:
		l.expr(&d.Expr)
	case *ast.LetClause:
		l.expr(&d.Expr)
	case *ast.Comprehension:
		l.comprehension(d)
	case *ast.Ellipsis:
		if d.Type != nil {
			l.expr(&d.Type)
		}
	case *ast.ImportDecl:
		for _, spec := range d.Specs {
			if text, err := literal.Unquote(spec.Path.Value); err != nil || strings.HasPrefix(text, schemaPackage) {
				l.refuse()
			}
		}
	case *ast.Package, *ast.CommentGroup, *ast.Attribute:
	default:
		l.refuse()
	}
}

func (l *lifter) field(f *ast.Field) {
	if !fixed(f.Label) || f.Alias != nil {
		l.refuse()
	}
	name, canBeReferredTo, err := ast.LabelName(f.Label)
	if err != nil {
		name = ""
	}
	switch {
	case !canBeReferredTo:
	case isCallable(name) && len(l.at) == 0, name == "in" && !l.isRoute(f.Value), name == "api" && !l.isOutermost():
		l.refuse()
	}
	l.at = append(l.at, name)
	l.expr(&f.Value)
	l.at = l.at[:len(l.at)-1]
}

// isOutermost tells whether what is met here is a field of a template, and not of
// something in it.
func (l *lifter) isOutermost() bool {
	return len(l.at) == 1 && l.at[0] != "templates" || len(l.at) == 2 && l.at[0] == "templates"
}

// isRoute tells whether the field `in` that is met here is that of the template, and
// nothing is added to it.
func (l *lifter) isRoute(value ast.Expr) bool {
	own := l.isOutermost()
	switch v := value.(type) {
	case *ast.Ident:
		return own && (v.Name == "_" || v.Name == "#In")
	case *ast.SelectorExpr:
		name, _, err := ast.LabelName(v.Sel)
		pkg, ok := v.X.(*ast.Ident)
		if err != nil || !ok {
			return false
		}
		_, imported := pkg.Node.(*ast.ImportSpec)
		return own && imported && name == "#In"
	}
	return false
}

func (l *lifter) exprs(list []ast.Expr) {
	for i := range list {
		l.expr(&list[i])
	}
}

// expr walks an expression. What looks into texts is replaced, or refused.
func (l *lifter) expr(at *ast.Expr) {
	switch e := (*at).(type) {
	case *ast.BasicLit, *ast.BottomLit:
	case *ast.Ident:
		l.ident(e)
	case *ast.ParenExpr:
		l.expr(&e.X)
	case *ast.StructLit:
		for _, d := range e.Elts {
			l.decl(d)
		}
	case *ast.ListLit:
		if hasLoop(e) && l.tryReplace(at) {
			return
		}
		l.exprs(e.Elts)
	case *ast.Ellipsis:
		if e.Type != nil {
			l.expr(&e.Type)
		}
	case *ast.Comprehension:
		l.comprehension(e)
	case *ast.SelectorExpr, *ast.IndexExpr:
		l.selection(e)
	case *ast.UnaryExpr:
		if !isHarmless(e) {
			l.refuse()
		}
		l.expr(&e.X)
	case *ast.BinaryExpr:
		if !l.isBlind(e) {
			l.replace(at)
			return
		}
		l.expr(&e.X)
		l.expr(&e.Y)
	case *ast.CallExpr:
		if !l.isBlindCall(e) {
			l.replace(at)
			return
		}
		l.exprs(e.Args)
	default:
		l.replace(at)
	}
}

func hasLoop(e *ast.ListLit) bool {
	for _, elt := range e.Elts {
		if c, ok := elt.(*ast.Comprehension); ok {
			if _, ok := c.Clauses[0].(*ast.ForClause); ok {
				return true
			}
		}
	}
	return false
}

func (l *lifter) ident(id *ast.Ident) {
	switch {
	case id.Name == "templates":
		l.nested = true
	case id.Name == "in":
		l.here().used[""] = true
	}
	if _, ok := id.Node.(*ast.Alias); ok || id.Name == "self" {
		l.refuse()
	}
}

// selection walks x.y and x["y"].
func (l *lifter) selection(e ast.Expr) {
	if in, path := selection(e); in != nil {
		l.here().used[path.dotted()] = true
		return
	}
	switch e := e.(type) {
	case *ast.SelectorExpr:
		name, _, err := ast.LabelName(e.Sel)
		if err != nil {
			l.refuse()
		}
		l.selected(name)
		pkg, ok := e.X.(*ast.Ident)
		if !ok {
			l.expr(&e.X)
			return
		}
		// What a package of CUE's holds may be a constraint.
		if spec, ok := pkg.Node.(*ast.ImportSpec); ok && !strings.Contains(firstElement(spec.Path.Value), ".") {
			l.refuse()
		}
		l.ident(pkg)
	case *ast.IndexExpr:
		lit, ok := e.Index.(*ast.BasicLit)
		if !ok {
			l.refuse()
		}
		if ok && lit.Kind == token.STRING {
			name, err := literal.Unquote(lit.Value)
			if err != nil {
				l.refuse()
			}
			l.selected(name)
		}
		l.expr(&e.X)
	}
}

// selected notes that a field is selected from something other than `in`.
func (l *lifter) selected(name string) {
	switch name {
	case "in":
		l.here().used[""] = true
	case "templates":
		l.nested = true
	}
}

func firstElement(quoted string) string {
	first, _, _ := strings.Cut(strings.Trim(quoted, `"`), "/")
	return first
}

// isHarmless tells whether x, !x, *x and the bounds of numbers are no more than
// that.
func isHarmless(e *ast.UnaryExpr) bool {
	switch e.Op {
	case token.NOT, token.MUL, token.ADD, token.SUB:
		return true
	case token.NEQ:
		_, ok := e.X.(*ast.BasicLit)
		return ok
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		return isNumber(e.X)
	}
	return false
}

func isNumber(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return isNumber(e.X)
	case *ast.UnaryExpr:
		return (e.Op == token.ADD || e.Op == token.SUB) && isNumber(e.X)
	case *ast.BasicLit:
		return e.Kind == token.INT || e.Kind == token.FLOAT
	case *ast.CallExpr:
		return called(e) == "len"
	case *ast.SelectorExpr:
		in, path := selection(e)
		return in != nil && path.dotted() == "service.port"
	case *ast.BinaryExpr:
		switch e.Op {
		case token.ADD, token.SUB, token.MUL, token.QUO:
			return isNumber(e.X) && isNumber(e.Y)
		}
	}
	return false
}

// isBlind tells whether the operation cannot tell one text from another, but for
// whether they are equal.
func (l *lifter) isBlind(e *ast.BinaryExpr) bool {
	switch e.Op {
	case token.AND, token.OR, token.LAND, token.LOR, token.EQL, token.NEQ:
		return true
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		return isNumber(e.X) || isNumber(e.Y)
	}
	return isNumber(e)
}

// isBlindCall tells the same of a call: the length of a text says something about it,
// that of a list does not.
func (l *lifter) isBlindCall(e *ast.CallExpr) bool {
	switch called(e) {
	case "close", "and", "or", "list.Concat", "list.Contains":
		return true
	case "len":
		if len(e.Args) != 1 {
			return false
		}
		path := pathInAPI(e.Args[0])
		return len(path) > 0 && l.isList(path)
	}
	return false
}

func isCallable(name string) bool {
	switch name {
	case "len", "close", "and", "or":
		return true
	}
	return false
}

// pathInAPI gives the names behind `api` of api.a.b, or nil.
func pathInAPI(e ast.Expr) []string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	name, _, err := ast.LabelName(sel.Sel)
	if err != nil {
		return nil
	}
	if id, ok := sel.X.(*ast.Ident); ok && isField(id, "api") {
		return []string{name}
	}
	above := pathInAPI(sel.X)
	if above == nil {
		return nil
	}
	return append(above, name)
}

func (l *lifter) comprehension(c *ast.Comprehension) {
	for _, clause := range c.Clauses {
		switch clause := clause.(type) {
		case *ast.ForClause:
			l.expr(&clause.Source)
		case *ast.IfClause:
			l.expr(&clause.Condition)
		case *ast.LetClause:
			l.expr(&clause.Expr)
		default:
			l.refuse()
		}
	}
	if c.Fallback != nil {
		l.refuse()
	}
	l.expr(&c.Value)
}

// replace replaces an expression that looks into texts by a field of `in`. Where
// that cannot be, the template is not plain.
func (l *lifter) replace(at *ast.Expr) {
	if !l.tryReplace(at) {
		l.refuse()
	}
}

func (l *lifter) tryReplace(at *ast.Expr) bool {
	c := closer{derived: l.derived, vars: map[ast.Node]bool{}}
	f := c.compile(*at)
	if f == nil || c.in == nil {
		return false
	}
	in, here := *c.in, l.here()
	here.derived = append(here.derived, len(l.derived))
	*at = &ast.SelectorExpr{X: &in, Sel: ast.NewIdent(derivedField(len(l.derived)))}
	l.derived = append(l.derived, f)
	return true
}
