package migrate

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what an expression is when the template runs.
type kind uint8

const (
	unknown kind = iota
	text
	whole   // int
	decimal // float64
	truth   // bool
	texts   // []string
	wholes  // []int
	root    // the variables themselves
)

func (k kind) String() string {
	return [...]string{"nothing", "text", "a whole number", "a number", "true or false", "a list of texts", "a list of numbers", "all variables"}[k]
}

func (k kind) isList() bool { return k == texts || k == wholes }

func (k kind) elem() kind {
	if k == texts {
		return text
	}
	return whole
}

// op says how an expression is made from its args.
type op uint8

const (
	opLiteral op = iota
	opRoot
	opVariable // of the old controller, by name
	opKey      // of a loop
	opElem     // of a loop
	opPick     // args[0] ? args[1] : args[2]
	opNot
	opAnd
	opOr
	opEqual
	opLess
	opLessOrEqual
	opLen
	opIndex    // args[0][args[1]]
	opSlice    // args[0][args[1]:args[2]]
	opIndices  // 0, 1, ... of a list
	opJoined   // texts, one after the other
	opListText // a list as %v prints it
	opHTML
	opQuery
	opEscaped // of %q and js: escapes that JSON takes back
	opBad
)

// expr is what an action prints, or a condition asks. It is never changed.
type expr struct {
	op   op
	kind kind
	// literal is a string, int64, float64, bool or []int64.
	literal any
	// name of a variable.
	name string
	loop *loop
	args []*expr
	// at and why say of a bad expression where it stands and why it cannot be converted.
	at  place
	why string
}

// loop is a {{ range }}.
type loop struct {
	id   int
	list *expr
	// names that the template gave to index and element; "" where it gave none.
	key, elem string
}

func bad(at place, format string, args ...any) *expr {
	return &expr{op: opBad, at: at, why: fmt.Sprintf(format, args...)}
}

func literal(v any) *expr {
	e := &expr{literal: v}
	switch v := v.(type) {
	case string:
		e.kind = text
	case int64:
		e.kind = whole
	case float64:
		e.kind = decimal
	case bool:
		e.kind = truth
	case []int64:
		e.kind = wholes
	default:
		panic(fmt.Sprintf("no literal can be a %T", v))
	}
	return e
}

func (e *expr) isLiteral() bool { return e.op == opLiteral }

func (e *expr) is(v any) bool { return e.isLiteral() && e.kind != wholes && e.literal == v }

// printed is what the template prints for a literal.
func (e *expr) printed() string { return fmt.Sprint(e.literal) }

// identity is the same for two expressions exactly when they are the same.
func (e *expr) identity() string {
	var b strings.Builder
	e.writeIdentity(&b)
	return b.String()
}

func (e *expr) writeIdentity(b *strings.Builder) {
	fmt.Fprintf(b, "(%d", e.op)
	switch e.op {
	case opLiteral:
		fmt.Fprintf(b, " %d %q", e.kind, fmt.Sprint(e.literal))
	case opVariable:
		b.WriteString(" " + e.name)
	case opKey, opElem:
		b.WriteString(" " + strconv.Itoa(e.loop.id))
	case opBad:
		b.WriteString(" " + e.at.String() + e.why)
	}
	for _, a := range e.args {
		a.writeIdentity(b)
	}
	b.WriteByte(')')
}

func same(a, b *expr) bool { return a == b || a.identity() == b.identity() }

// firstBad finds what cannot be converted in an expression.
func (e *expr) firstBad() *expr {
	if e.op == opBad {
		return e
	}
	for _, a := range e.args {
		if b := a.firstBad(); b != nil {
			return b
		}
	}
	return nil
}

// uses tells whether an expression depends on index or element of a loop.
func (e *expr) uses(o op, l *loop) bool {
	if e.op == o && e.loop == l {
		return true
	}
	for _, a := range e.args {
		if a.uses(o, l) {
			return true
		}
	}
	return false
}

// size counts the parts of an expression, up to some limit.
func (e *expr) size() int {
	n := 1
	for _, a := range e.args {
		if n += a.size(); n > maxExpression {
			break
		}
	}
	return n
}

// maxExpression bounds an expression: variables that are assigned in many branches
// double it with each.
const maxExpression = 2000

// truthOf is what {{ if }} asks: whether the value is not empty.
func truthOf(e *expr) *expr {
	switch e.op {
	case opBad:
		return e
	case opLiteral:
		switch v := e.literal.(type) {
		case string:
			return literal(v != "")
		case int64:
			return literal(v != 0)
		case float64:
			return literal(v != 0)
		case []int64:
			return literal(len(v) > 0)
		}
		return e
	case opPick:
		return pick(e.args[0], truthOf(e.args[1]), truthOf(e.args[2]))
	}
	switch e.kind {
	case truth:
		return e
	case text:
		return negation(equal(e, literal("")))
	case whole:
		return negation(equal(e, literal(int64(0))))
	case texts, wholes:
		return negation(equal(length(e), literal(int64(0))))
	case root:
		return literal(true)
	}
	return bad(e.at, "a condition on %s", e.kind)
}

// pick gives a where c holds, and b elsewhere. Of truths it makes `and` and `or`.
func pick(c, a, b *expr) *expr {
	switch {
	case c.op == opBad:
		return c
	case c.is(true):
		return a
	case c.is(false):
		return b
	case same(a, b):
		return a
	}
	if a.kind == truth && b.kind == truth {
		switch {
		case a.is(true) && b.is(false):
			return c
		case a.is(false) && b.is(true):
			return negation(c)
		case a.is(true), same(a, c):
			return or(c, b)
		case b.is(false), same(b, c):
			return and(c, a)
		case b.is(true), same(b, negation(c)):
			return or(negation(c), a)
		case a.is(false), same(a, negation(c)):
			return and(negation(c), b)
		}
	}
	e := &expr{op: opPick, args: []*expr{c, a, b}}
	if a.kind == b.kind {
		e.kind = a.kind
	}
	return e
}

func negation(e *expr) *expr {
	switch {
	case e.op == opBad:
		return e
	case e.isLiteral():
		return literal(e.literal != true)
	case e.op == opNot:
		return e.args[0]
	}
	return &expr{op: opNot, kind: truth, args: []*expr{e}}
}

func and(a, b *expr) *expr {
	switch {
	case a.op == opBad || a.is(false) || b.is(true) || same(a, b):
		return a
	case a.is(true) || b.is(false):
		return b
	case same(a, negation(b)):
		return literal(false)
	}
	return &expr{op: opAnd, kind: truth, args: []*expr{a, b}}
}

func or(a, b *expr) *expr {
	switch {
	case a.op == opBad || a.is(true) || b.is(false) || same(a, b):
		return a
	case a.is(false) || b.is(true):
		return b
	case same(a, negation(b)):
		return literal(true)
	}
	return &expr{op: opOr, kind: truth, args: []*expr{a, b}}
}

func equal(a, b *expr) *expr {
	if a.isLiteral() && b.isLiteral() {
		return literal(a.literal == b.literal)
	}
	if same(a, b) {
		return literal(true)
	}
	return &expr{op: opEqual, kind: truth, args: []*expr{a, b}}
}

func length(e *expr) *expr {
	switch {
	case e.op == opBad:
		return e
	case e.isLiteral() && e.kind == text:
		return literal(int64(len(e.literal.(string))))
	case e.isLiteral() && e.kind == wholes:
		return literal(int64(len(e.literal.([]int64))))
	}
	return &expr{op: opLen, kind: whole, args: []*expr{e}}
}

// joined puts texts, and what prints as such, one after the other.
func joined(parts ...*expr) *expr {
	var all []*expr
	for _, p := range parts {
		switch {
		case p.op == opBad:
			return p
		case p.op == opJoined:
			all = append(all, p.args...)
			continue
		case p.isLiteral() && p.kind != wholes:
			p = literal(p.printed())
		}
		if n := len(all); n > 0 && all[n-1].isLiteral() && p.isLiteral() {
			all[n-1] = literal(all[n-1].printed() + p.printed())
			continue
		}
		all = append(all, p)
	}
	if len(all) == 1 && all[0].kind == text {
		return all[0]
	}
	if len(all) == 0 {
		return literal("")
	}
	return &expr{op: opJoined, kind: text, args: all}
}
