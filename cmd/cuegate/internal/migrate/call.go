package migrate

import (
	"fmt"

	"maps"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/nearest"
)

// frame is what pipelines are evaluated in.
type frame struct {
	sources *sources
	src     *source
	dot     *expr
	// vars are the variables in sight, the latest at the end; the first is "$".
	vars []variable
}

type variable struct {
	name  string
	value *expr
}

func (f *frame) place(n parse.Node) place { return f.src.at(int(n.Position())) }

func (f *frame) variable(name string) *expr {
	for i := len(f.vars) - 1; i >= 0; i-- {
		if f.vars[i].name == name {
			return f.vars[i].value
		}
	}
	return nil
}

// pipeline evaluates the commands of a pipeline, each with the value of the one before
// it as its last argument.
func (f *frame) pipeline(p *parse.PipeNode) *expr {
	var value *expr
	for _, c := range p.Cmds {
		value = f.command(c, value)
		if value.op == opBad {
			return value
		}
	}
	if value.size() > maxExpression {
		return bad(f.place(p), "the expression grows beyond any use, as it depends on too many conditions")
	}
	return value
}

func (f *frame) command(c *parse.CommandNode, last *expr) *expr {
	first := c.Args[0]
	if name, ok := first.(*parse.IdentifierNode); ok {
		args := make([]*expr, 0, len(c.Args))
		for _, a := range c.Args[1:] {
			args = append(args, f.value(a))
		}
		if last != nil {
			args = append(args, last)
		}
		return f.call(name.Ident, args, f.place(c))
	}
	if len(c.Args) > 1 || last != nil {
		return bad(f.place(c), "the original fails here: only functions take arguments")
	}
	return f.value(first)
}

// value evaluates an operand.
func (f *frame) value(n parse.Node) *expr {
	at := f.place(n)
	switch n := n.(type) {
	case *parse.DotNode:
		return f.fields(f.dot, nil, at)
	case *parse.FieldNode:
		return f.fields(f.dot, n.Ident, at)
	case *parse.VariableNode:
		v := f.variable(n.Ident[0])
		if v == nil {
			return bad(at, "there is no variable %s", n.Ident[0])
		}
		return f.fields(v, n.Ident[1:], at)
	case *parse.ChainNode:
		return f.fields(f.value(n.Node), n.Field, at)
	case *parse.PipeNode:
		return f.pipeline(n)
	case *parse.IdentifierNode:
		return f.call(n.Ident, nil, at)
	case *parse.BoolNode:
		return literal(n.True)
	case *parse.StringNode:
		return literal(n.Text)
	case *parse.NumberNode:
		return number(n, at)
	case *parse.NilNode:
		return bad(at, "the original fails here: nil is no value")
	}
	return bad(at, "%s is not understood", n)
}

// number follows text/template: what looks like a fraction is one.
func number(n *parse.NumberNode, at place) *expr {
	isHex := len(n.Text) > 2 && n.Text[0] == '0' && (n.Text[1] == 'x' || n.Text[1] == 'X')
	isRune := strings.HasPrefix(n.Text, "'")
	switch {
	case n.IsFloat && !isRune && (!isHex || strings.ContainsAny(n.Text, "pP")) && strings.ContainsAny(n.Text, ".eEpP"):
		return literal(n.Float64)
	case n.IsInt:
		return literal(n.Int64)
	}
	return bad(at, "the number %s is not one that JSON can hold", n.Text)
}

func (f *frame) fields(v *expr, names []string, at place) *expr {
	if v.op == opRoot {
		v = &expr{op: opRoot, kind: root, at: at}
	}
	for _, name := range names {
		switch {
		case v.op == opBad:
			return v
		case v.kind != root:
			return bad(at, "the original fails here: %s has no field %s", v.kind, name)
		}
		known, ok := f.sources.vars[name]
		if !ok {
			known := slices.Sorted(maps.Keys(f.sources.vars))
			if near := nearest.Name(name, known); near != "" {
				return bad(at, "the old controller had no variable .%s; did you mean .%s?", name, near)
			}
			return bad(at, "the old controller had no variable .%s", name)
		}
		v = &expr{op: opVariable, kind: known.kind, name: name, at: at}
	}
	return v
}

// functions are those that text/template has.
var functions = map[string]bool{
	"and": true, "or": true, "not": true, "eq": true, "ne": true, "lt": true, "le": true, "gt": true, "ge": true,
	"len": true, "index": true, "slice": true, "print": true, "println": true, "printf": true,
	"html": true, "urlquery": true, "js": true, "call": true,
}

// call evaluates one of the functions that text/template has.
func (f *frame) call(name string, args []*expr, at place) *expr {
	for _, a := range args {
		if a.op == opBad {
			return a
		}
	}
	fails := func(format string, a ...any) *expr {
		return bad(at, "the original fails here: %s: %s", name, fmt.Sprintf(format, a...))
	}
	need := func(n int) bool { return len(args) >= n }
	switch name {
	case "and", "or":
		if !need(1) {
			return fails("no arguments")
		}
		return andOr(name, args)
	case "not":
		if len(args) != 1 {
			return fails("it takes one argument")
		}
		return negation(truthOf(args[0]))
	case "eq", "ne", "lt", "le", "gt", "ge":
		return compare(name, args, at)
	case "len":
		if len(args) != 1 || args[0].kind != text && !args[0].kind.isList() {
			return fails("it takes one text or one list")
		}
		return length(args[0])
	case "index":
		return index(args, at)
	case "slice":
		return slice(args, at)
	case "print", "println":
		return printAll(args, name == "println")
	case "printf":
		if !need(1) || !args[0].isLiteral() || args[0].kind != text {
			return bad(at, "printf with a format that is not written out is not converted")
		}
		return printf(args[0].literal.(string), args[1:], at)
	case "html":
		return escape(opHTML, template.HTMLEscapeString, args)
	case "urlquery":
		return escape(opQuery, url.QueryEscape, args)
	case "js":
		return escape(opEscaped, template.JSEscapeString, args)
	case "call":
		return bad(at, "call is not converted: no variable of the old controller is a function")
	}
	return bad(at, "text/template has no function %s", name)
}

func andOr(name string, args []*expr) *expr {
	value := args[len(args)-1]
	for i := len(args) - 2; i >= 0; i-- {
		a := args[i]
		if name == "and" {
			value = pick(truthOf(a), value, a)
		} else {
			value = pick(truthOf(a), a, value)
		}
	}
	return value
}

// each applies f to what an expression may be, when its kinds differ by a condition.
func each(e *expr, f func(*expr) *expr) *expr {
	if e.op == opPick {
		return pick(e.args[0], each(e.args[1], f), each(e.args[2], f))
	}
	return f(e)
}

func compare(name string, args []*expr, at place) *expr {
	if len(args) < 2 || name != "eq" && len(args) > 2 {
		return bad(at, "the original fails here: %s with %d arguments", name, len(args))
	}
	one := func(a, b *expr) *expr {
		switch {
		case a.op == opEscaped || b.op == opEscaped:
			return bad(at, "comparing what js or %%q gives is not converted")
		case a.kind != b.kind:
			return bad(at, "the original fails here: %s compares %s with %s", name, a.kind, b.kind)
		case a.kind.isList() || a.kind == root, a.kind == truth && name != "eq" && name != "ne":
			return bad(at, "the original fails here: %s cannot compare %s", name, a.kind)
		}
		switch name {
		case "eq":
			return equal(a, b)
		case "ne":
			return negation(equal(a, b))
		case "lt":
			return less(opLess, a, b)
		case "le":
			return less(opLessOrEqual, a, b)
		case "gt":
			return less(opLess, b, a)
		}
		return less(opLessOrEqual, b, a)
	}
	result := literal(false)
	for i, b := range args[1:] {
		this := each(args[0], func(a *expr) *expr {
			return each(b, func(b *expr) *expr { return one(a, b) })
		})
		if this.firstBad() != nil {
			return this.firstBad()
		}
		if i == 0 {
			result = this
		} else {
			result = or(result, this)
		}
	}
	return result
}

func less(o op, a, b *expr) *expr {
	if a.isLiteral() && b.isLiteral() {
		smaller, equal := false, a.literal == b.literal
		switch x := a.literal.(type) {
		case string:
			smaller = x < b.literal.(string)
		case int64:
			smaller = x < b.literal.(int64)
		case float64:
			smaller = x < b.literal.(float64)
		}
		return literal(smaller || equal && o == opLessOrEqual)
	}
	// An index or a length is not below 0.
	counts := func(e *expr) bool { return e.op == opKey || e.op == opLen }
	switch {
	case counts(b) && (o == opLess && a.is(int64(0)) || o == opLessOrEqual && a.is(int64(1))):
		return truthOf(b)
	case counts(a) && (o == opLess && b.is(int64(1)) || o == opLessOrEqual && b.is(int64(0))):
		return negation(truthOf(a))
	}
	return &expr{op: o, kind: truth, args: []*expr{a, b}}
}

func index(args []*expr, at place) *expr {
	switch {
	case len(args) == 0:
		return bad(at, "the original fails here: index without arguments")
	case len(args) == 1:
		return args[0]
	case args[0].kind == text && len(args) == 2:
		return bad(at, "index of a text gives the number of a byte, which is not converted")
	case !args[0].kind.isList() || len(args) > 2 || args[1].kind != whole:
		return bad(at, "the original fails here: index takes a list and a whole number")
	case args[1].isLiteral() && args[1].literal.(int64) < 0:
		return bad(at, "the original fails here: an index below 0")
	}
	return &expr{op: opIndex, kind: args[0].kind.elem(), args: args, at: at}
}

func slice(args []*expr, at place) *expr {
	if len(args) == 0 || len(args) > 3 || args[0].kind != text && !args[0].kind.isList() {
		return bad(at, "slice is converted for a text or a list, and two numbers at most")
	}
	for _, a := range args[1:] {
		if a.kind != whole {
			return bad(at, "the original fails here: slice takes whole numbers")
		}
	}
	from, to := literal(int64(0)), length(args[0])
	if len(args) > 1 {
		from = args[1]
	}
	if len(args) > 2 {
		to = args[2]
	}
	return &expr{op: opSlice, kind: args[0].kind, args: []*expr{args[0], from, to}, at: at}
}

// printAll follows fmt.Sprint, which puts a blank between two values of which neither is
// a text, and fmt.Sprintln, which always does.
func printAll(args []*expr, line bool) *expr {
	var parts []*expr
	for i, a := range args {
		if i > 0 && (line || a.kind != text && args[i-1].kind != text) {
			parts = append(parts, literal(" "))
		}
		parts = append(parts, asText(a))
	}
	if line {
		parts = append(parts, literal("\n"))
	}
	return joined(parts...)
}

// asText is what is printed of a value in a longer text.
func asText(e *expr) *expr {
	return each(e, func(e *expr) *expr {
		switch {
		case e.op == opBad:
			return e
		case e.kind.isList():
			return &expr{op: opListText, kind: text, args: []*expr{e}}
		case e.kind == root, e.kind == unknown:
			return bad(e.at, "printing %s is not converted", e.kind)
		case e.isLiteral():
			return literal(e.printed())
		}
		return e
	})
}

// printf cuts a format into texts and values.
func printf(format string, args []*expr, at place) *expr {
	var parts []*expr
	next := 0
	for {
		before, rest, ok := strings.Cut(format, "%")
		parts = append(parts, literal(before))
		if !ok {
			break
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return unicode.IsLetter(r) || r == '%' })
		if end < 0 {
			return bad(at, "printf: the format ends within a verb")
		}
		flags, verb := rest[:end], rest[end]
		format = rest[end+1:]
		if verb >= utf8.RuneSelf || strings.ContainsAny(flags, "*[") {
			return bad(at, "printf: the verb %%%s is not converted", rest)
		}
		if verb == '%' {
			parts = append(parts, literal("%"))
			continue
		}
		if next >= len(args) {
			return bad(at, "printf: the format wants more arguments than there are")
		}
		a := args[next]
		next++
		if a.isLiteral() {
			v := a.literal
			if n, ok := v.(int64); ok {
				v = int(n) // fmt names types
			}
			parts = append(parts, literal(fmt.Sprintf("%"+flags+string(verb), v)))
			continue
		}
		part := each(a, func(a *expr) *expr { return verbOf(verb, flags, a, at) })
		if b := part.firstBad(); b != nil {
			return b
		}
		if verb == 'q' {
			parts = append(parts, literal(`"`), part, literal(`"`))
		} else {
			parts = append(parts, part)
		}
	}
	if next < len(args) {
		return bad(at, "printf: the format wants fewer arguments than there are")
	}
	return joined(parts...)
}

func verbOf(verb byte, flags string, a *expr, at place) *expr {
	fits := flags == ""
	switch verb {
	case 'v':
	case 's':
		fits = fits && (a.kind == text || a.kind == texts)
	case 'd':
		fits = fits && a.kind == whole
	case 't':
		fits = fits && a.kind == truth
	case 'q':
		if fits && a.kind == text {
			if a.isLiteral() {
				quoted := fmt.Sprintf("%q", a.literal)
				return literal(quoted[1 : len(quoted)-1])
			}
			return &expr{op: opEscaped, kind: text, args: []*expr{a}}
		}
		fits = false
	default:
		fits = false
	}
	if !fits {
		return bad(at, "printf: %%%s%c of %s is not converted", flags, verb, a.kind)
	}
	return asText(a)
}

// escape follows the escapers of text/template: several arguments are printed first.
func escape(o op, of func(string) string, args []*expr) *expr {
	return each(printAll(args, false), func(e *expr) *expr {
		switch {
		case e.op == opBad:
			return e
		case e.isLiteral():
			return literal(of(e.printed()))
		}
		return &expr{op: o, kind: text, args: []*expr{e}}
	})
}
