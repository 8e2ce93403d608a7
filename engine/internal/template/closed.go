package template

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// An expression is closed when it depends on nothing but `in` and constants. Those
// of a few common forms are evaluated here, in Go, with the results that CUE gives:
//
//	in.x.y, in.x["y"]          fields of `in`
//	"...", 1, -1, name           constants; name is that of one of the package
//	"...\(x)..."               of strings and whole numbers
//	x + y                      of strings
//	x =~ y, x !~ y             of a string; y is a constant
//	x == y, x != y             of two strings or two numbers
//	len(x)                     of a string or a list
//	strings.ToUpper(x), ...    see builtins
//	[x, for v in y if z {w}]   lists of strings and numbers; v may be used in w and z
//
// An expression of any other form is not understood, which is no error: CUE
// evaluates it then.

// closed evaluates an expression. The value is a string, an int, a bool or a []any
// of these.
type closed func(*frame) (any, outcome)

// frame is what an expression is evaluated in.
type frame struct {
	in *In
	// variables of the comprehensions around it.
	vars map[ast.Node]any
}

type outcome int

const (
	good outcome = iota
	// missing: a label or an annotation that is not there was asked for.
	missing
	// failed: CUE shall evaluate it, and say what is wrong.
	failed
)

// closer compiles one closed expression. It is used once.
type closer struct {
	// derived are the expressions that stand for fields of `in` already.
	derived []closed
	// in is an identifier `in` that was met; there must be but one field of the name.
	in *ast.Ident
	// vars are the variables that may be used.
	vars map[ast.Node]bool
}

// compile gives nil for what is not understood.
func (c *closer) compile(e ast.Expr) closed {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return c.compile(e.X)
	case *ast.BasicLit:
		return constant(e)
	case *ast.UnaryExpr:
		return c.negative(e)
	case *ast.Interpolation:
		return c.interpolation(e)
	case *ast.Ident:
		return c.ident(e)
	case *ast.SelectorExpr, *ast.IndexExpr:
		return c.field(e)
	case *ast.BinaryExpr:
		return c.binary(e)
	case *ast.CallExpr:
		return c.call(e)
	case *ast.ListLit:
		return c.list(e)
	}
	return nil
}

func constant(lit *ast.BasicLit) closed {
	var value any
	var err error
	switch lit.Kind {
	case token.STRING:
		if value, err = literal.Unquote(lit.Value); strings.HasPrefix(strings.TrimLeft(lit.Value, "#"), "'") {
			return nil // bytes
		}
	case token.INT:
		value, err = strconv.Atoi(lit.Value)
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return func(*frame) (any, outcome) { return value, good }
}

func (c *closer) negative(e *ast.UnaryExpr) closed {
	if e.Op != token.SUB {
		return nil
	}
	return apply([]closed{c.compile(e.X)}, func(v []any) (any, bool) {
		n, ok := v[0].(int)
		return -n, ok
	})
}

// interpolation follows CUE's compiler: the fragments hold the quotes, and the
// parentheses of the expressions.
func (c *closer) interpolation(e *ast.Interpolation) closed {
	first, last := e.Quotes()
	info, prefix, _, err := literal.ParseQuotes(first.Value, last.Value)
	if err != nil || !info.IsDouble() || info.IsMulti() {
		return nil
	}
	var parts []closed
	for i, elt := range e.Elts {
		if i%2 == 1 {
			parts = append(parts, c.compile(elt))
			continue
		}
		lit, ok := elt.(*ast.BasicLit)
		if !ok || len(lit.Value) < prefix {
			return nil
		}
		text, err := info.Unquote(lit.Value[prefix:])
		if err != nil {
			return nil
		}
		prefix = 1 // the closing parenthesis
		parts = append(parts, func(*frame) (any, outcome) { return text, good })
	}
	return apply(parts, func(values []any) (any, bool) {
		var b strings.Builder
		for _, v := range values {
			switch v := v.(type) {
			case string:
				b.WriteString(v)
			case int:
				b.WriteString(strconv.Itoa(v))
			default:
				return nil, false
			}
		}
		return b.String(), true
	})
}

// apply evaluates args and gives their values to f, which returns false for values
// that it does not take. It is nil when one of args is.
func apply(args []closed, f func([]any) (any, bool)) closed {
	for _, a := range args {
		if a == nil {
			return nil
		}
	}
	return func(fr *frame) (any, outcome) {
		values := make([]any, len(args))
		for i, a := range args {
			v, o := a(fr)
			if o != good {
				return nil, o
			}
			values[i] = v
		}
		v, ok := f(values)
		if !ok {
			return nil, failed
		}
		return v, good
	}
}

// ident compiles a variable, a `let`, or a constant of the package. Such a constant
// can have no other value: the package was validated when it was loaded.
func (c *closer) ident(id *ast.Ident) closed {
	if c.vars[id.Node] {
		node := id.Node
		return func(fr *frame) (any, outcome) { return fr.vars[node], good }
	}
	switch node := id.Node.(type) {
	case *ast.LetClause:
		return c.compile(node.Expr)
	case *ast.BasicLit:
		if file, ok := id.Scope.(*ast.File); ok && isRegular(file, node) {
			return constant(node)
		}
	}
	return nil
}

// isRegular tells whether value is that of a field of the package that is there
// whatever happens.
func isRegular(file *ast.File, value *ast.BasicLit) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.Field)
		return ok && f.Value == value && f.Constraint == token.ILLEGAL
	})
}

// field compiles a selection from `in`.
func (c *closer) field(e ast.Expr) closed {
	in, path := selection(e)
	if in == nil || c.in != nil && c.in.Node != in.Node {
		return nil
	}
	for n, f := range c.derived {
		if len(path) == 1 && path[0] == derivedField(n) {
			c.in = in
			return f
		}
	}
	for _, l := range leaves {
		rest, ok := strings.CutPrefix(path.dotted(), l.path)
		if !ok || rest != "" && rest[0] != '.' {
			continue
		}
		below := path[strings.Count(l.path, ".")+1:]
		c.in = in
		return func(fr *frame) (any, outcome) { return valueAt(l.at(fr.in), below) }
	}
	return nil
}

func valueAt(at any, below selectors) (any, outcome) {
	switch at := at.(type) {
	case *map[string]string:
		if len(below) != 1 {
			return nil, failed
		}
		if v, ok := (*at)[below[0]]; ok {
			return v, good
		}
		return nil, missing
	case *[]string:
		list := make([]any, len(*at))
		for i, v := range *at {
			list[i] = v
		}
		return list, unless(len(below) > 0)
	case *int:
		return *at, unless(len(below) > 0)
	case *string:
		return *at, unless(len(below) > 0)
	}
	return nil, failed
}

func unless(bad bool) outcome {
	if bad {
		return failed
	}
	return good
}

// selectors are the names in a selection such as in.object.name.
type selectors []string

func (s selectors) dotted() string { return strings.Join(s, ".") }

// selection takes a selection apart whose names are constant; in is nil when it
// does not begin with the field `in`.
func selection(e ast.Expr) (in *ast.Ident, path selectors) {
	for {
		name := ""
		switch x := e.(type) {
		case *ast.Ident:
			if !isField(x, "in") {
				return nil, nil
			}
			return x, path
		case *ast.SelectorExpr:
			label, _, err := ast.LabelName(x.Sel)
			if err != nil {
				return nil, nil
			}
			name, e = label, x.X
		case *ast.IndexExpr:
			lit, ok := x.Index.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return nil, nil
			}
			text, err := literal.Unquote(lit.Value)
			if err != nil {
				return nil, nil
			}
			name, e = text, x.X
		default:
			return nil, nil
		}
		path = append(selectors{name}, path...)
	}
}

// isField tells whether an identifier refers to a field of that name around it.
func isField(id *ast.Ident, name string) bool {
	_, inStruct := id.Scope.(*ast.StructLit)
	switch id.Node.(type) {
	case nil, *ast.LetClause, *ast.Alias, *ast.Field:
		return false
	}
	return inStruct && id.Name == name
}

func (c *closer) binary(e *ast.BinaryExpr) closed {
	x, y := c.compile(e.X), c.compile(e.Y)
	switch e.Op {
	case token.ADD:
		return ofStrings([]closed{x, y}, func(s []string) any { return s[0] + s[1] })
	case token.MAT, token.NMAT:
		re := c.pattern(e.Y)
		if re == nil {
			return nil
		}
		return ofStrings([]closed{x}, func(s []string) any { return re.MatchString(s[0]) == (e.Op == token.MAT) })
	case token.EQL, token.NEQ:
		return apply([]closed{x, y}, func(v []any) (any, bool) {
			return v[0] == v[1] == (e.Op == token.EQL), comparable(v[0], v[1])
		})
	}
	return nil
}

// comparable tells whether both are strings or both are numbers.
func comparable(a, b any) bool {
	switch a.(type) {
	case string:
		_, ok := b.(string)
		return ok
	case int:
		_, ok := b.(int)
		return ok
	}
	return false
}

// pattern compiles a regular expression that is a constant.
func (c *closer) pattern(e ast.Expr) *regexp.Regexp {
	switch e.(type) {
	case *ast.BasicLit, *ast.Ident:
	default:
		return nil
	}
	text := c.compile(e)
	if text == nil {
		return nil
	}
	pattern, o := as[string](text, &frame{})
	if o != good {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	return re
}

func (c *closer) call(e *ast.CallExpr) closed {
	args := make([]closed, len(e.Args))
	for i, a := range e.Args {
		args[i] = c.compile(a)
	}
	name := called(e)
	if name == "len" && len(args) == 1 {
		return apply(args, func(v []any) (any, bool) {
			switch v := v[0].(type) {
			case string:
				return len(v), true
			case []any:
				return len(v), true
			}
			return nil, false
		})
	}
	f, ok := builtins[name]
	if !ok {
		return nil
	}
	return apply(args, f)
}

// called names the function that is called: that of a package of CUE's as
// "strings.Join", or one that is always there, such as "len".
func called(e *ast.CallExpr) string {
	switch f := e.Fun.(type) {
	case *ast.Ident:
		if f.Node == nil {
			return f.Name
		}
	case *ast.SelectorExpr:
		pkg, ok := f.X.(*ast.Ident)
		if !ok {
			return ""
		}
		spec, ok := pkg.Node.(*ast.ImportSpec)
		if !ok {
			return ""
		}
		path, err1 := literal.Unquote(spec.Path.Value)
		name, _, err2 := ast.LabelName(f.Sel)
		if err1 == nil && err2 == nil {
			return path + "." + name
		}
	}
	return ""
}

// builtins are functions of CUE that hand their arguments to the one of the same
// name in Go.
var builtins = map[string]func([]any) (any, bool){
	"strings.ToUpper":    one(strings.ToUpper),
	"strings.ToLower":    one(strings.ToLower),
	"strings.TrimSpace":  one(strings.TrimSpace),
	"strings.TrimPrefix": two(strings.TrimPrefix),
	"strings.TrimSuffix": two(strings.TrimSuffix),
	"strings.HasPrefix":  two(strings.HasPrefix),
	"strings.HasSuffix":  two(strings.HasSuffix),
	"strings.Contains":   two(strings.Contains),
	"strings.Join": func(args []any) (any, bool) {
		if len(args) != 2 {
			return nil, false
		}
		list, ok1 := args[0].([]any)
		sep, ok2 := args[1].(string)
		texts, ok3 := stringsOf(list)
		return strings.Join(texts, sep), ok1 && ok2 && ok3
	},
	"strings.Replace": func(args []any) (any, bool) {
		if len(args) != 4 {
			return nil, false
		}
		s, ok := stringsOf(args[:3])
		n, isInt := args[3].(int)
		if !ok || !isInt {
			return nil, false
		}
		return strings.Replace(s[0], s[1], s[2], n), true
	},
}

func one(f func(string) string) func([]any) (any, bool) {
	return func(args []any) (any, bool) {
		s, ok := stringsOf(args)
		if !ok || len(s) != 1 {
			return nil, false
		}
		return f(s[0]), true
	}
}

func two[T string | bool](f func(a, b string) T) func([]any) (any, bool) {
	return func(args []any) (any, bool) {
		s, ok := stringsOf(args)
		if !ok || len(s) != 2 {
			return nil, false
		}
		return f(s[0], s[1]), true
	}
}

// list compiles a list whose elements are single values or come from a `for`.
func (c *closer) list(e *ast.ListLit) closed {
	elements := make([]closed, len(e.Elts))
	for i, elt := range e.Elts {
		if x, ok := elt.(*ast.Comprehension); ok {
			elements[i] = c.comprehension(x)
		} else {
			elements[i] = single(c.compile(elt))
		}
	}
	return apply(elements, func(parts []any) (any, bool) {
		all := []any{}
		for _, part := range parts {
			all = append(all, part.([]any)...)
		}
		return all, true
	})
}

// single makes a list of one string or number.
func single(x closed) closed {
	if x == nil {
		return nil
	}
	return apply([]closed{x}, func(v []any) (any, bool) {
		switch v[0].(type) {
		case string, int:
			return v, true
		}
		return nil, false
	})
}

// comprehension compiles `for v in x {y}` and `for v in x if z {y}`.
func (c *closer) comprehension(e *ast.Comprehension) closed {
	loop, ok := e.Clauses[0].(*ast.ForClause)
	if !ok || loop.Key != nil || e.Fallback != nil || len(e.Clauses) > 2 {
		return nil
	}
	body, ok := e.Value.(*ast.StructLit)
	if !ok || len(body.Elts) != 1 {
		return nil
	}
	embedded, ok := body.Elts[0].(*ast.EmbedDecl)
	source := c.compile(loop.Source)
	if !ok || source == nil {
		return nil
	}
	c.vars[loop.Value] = true
	defer delete(c.vars, loop.Value)
	condition := closed(func(*frame) (any, outcome) { return true, good })
	if len(e.Clauses) == 2 {
		test, ok := e.Clauses[1].(*ast.IfClause)
		if !ok {
			return nil
		}
		condition = c.compile(test.Condition)
	}
	value := single(c.compile(embedded.Expr))
	if value == nil || condition == nil {
		return nil
	}
	return func(fr *frame) (any, outcome) {
		items, o := as[[]any](source, fr)
		if o != good {
			return nil, o
		}
		all := []any{}
		for _, item := range items {
			fr.vars[loop.Value] = item
			holds, o := as[bool](condition, fr)
			if o != good {
				return nil, o
			}
			if !holds {
				continue
			}
			v, o := as[[]any](value, fr)
			if o != good {
				return nil, o
			}
			all = append(all, v...)
		}
		return all, good
	}
}

// as evaluates f, whose value must be of type T.
func as[T any](f closed, fr *frame) (T, outcome) {
	v, o := f(fr)
	t, ok := v.(T)
	if o == good && !ok {
		o = failed
	}
	return t, o
}

func ofStrings(args []closed, f func([]string) any) closed {
	return apply(args, func(values []any) (any, bool) {
		texts, ok := stringsOf(values)
		if !ok {
			return nil, false
		}
		return f(texts), true
	})
}

func stringsOf(values []any) ([]string, bool) {
	texts := make([]string, len(values))
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			return nil, false
		}
		texts[i] = text
	}
	return texts, true
}
