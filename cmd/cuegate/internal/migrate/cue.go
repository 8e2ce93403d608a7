package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// scope are the clauses around a place: "for t in in.tags", "if in.host != \"\"".
type scope []string

func (s scope) with(clause string) scope { return append(s[:len(s):len(s)], clause) }

// binding is how tightly an expression of CUE binds.
type binding uint8

const (
	bindOr binding = iota
	bindAnd
	bindCompare
	bindTight
)

// quote writes a string of CUE.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	writeEscaped(&b, text)
	b.WriteByte('"')
	return b.String()
}

func writeEscaped(b *strings.Builder, text string) {
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r == 0xfeff || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
}

var plainLabel = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// label writes the name of a field. A name that something refers to is quoted: in quotes
// it hides nothing.
func (w *writer) label(name string) string {
	if plainLabel.MatchString(name) && !reserved[name] && !w.loopNames[name] {
		return name
	}
	return quote(name)
}

// reserved are names that a template refers to, and words of CUE.
var reserved = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`in api errors templates template strings list html net nth item
		len error close and or div mod quo rem self matchN matchIf
		string bool int float number bytes null true false for if let import package func try else fallback otherwise
		uint int8 int16 int32 int64 int128 uint8 uint16 uint32 uint64 uint128 float32 float64 rune`) {
		all[name] = true
	}
	return all
}()

// nameLoops gives the variables of loops names, those of the template where that is
// possible. Loops inside of others get other names than these.
func (w *writer) nameLoops(code []step) {
	w.keys, w.elems, w.loopNames = map[*loop]string{}, map[*loop]string{}, map[string]bool{}
	var open [][]string
	for _, s := range code {
		switch s.kind {
		case stepIf:
			open = append(open, nil)
		case stepEnd:
			open = open[:len(open)-1]
		case stepRange:
			taken := map[string]bool{}
			for _, names := range open {
				for _, n := range names {
					taken[n] = true
				}
			}
			l := s.loop
			w.elems[l] = freeName(l.elem, defaultElem(l), taken)
			taken[w.elems[l]] = true
			w.keys[l] = freeName(l.key, "i", taken)
			w.loopNames[w.elems[l]], w.loopNames[w.keys[l]] = true, true
			open = append(open, []string{w.elems[l], w.keys[l]})
		}
	}
}

func defaultElem(l *loop) string {
	if l.list.op == opVariable {
		switch l.list.name {
		case "GatewayTags":
			return "tag"
		case certificateID:
			return "certificate"
		case hostName:
			return "host"
		}
	}
	return "x"
}

func freeName(wanted, otherwise string, taken map[string]bool) string {
	name := strings.TrimPrefix(wanted, "$")
	if !plainLabel.MatchString(name) || reserved[name] {
		name = otherwise
	}
	for base, n := name, 2; taken[name]; n++ {
		name = base + strconv.Itoa(n)
	}
	return name
}

// expression writes an expression. at is where it is asked for: what cannot be written
// there, or may fail for some routes, is noted.
func (w *writer) expression(e *expr, s scope, need binding) string {
	text, has := w.bare(e, s)
	if has < need {
		return "(" + text + ")"
	}
	return text
}

// condition writes a truth.
func (w *writer) condition(e *expr, s scope) string { return w.expression(e, s, bindOr) }

func (w *writer) bare(e *expr, s scope) (string, binding) {
	arg := func(i int, need binding) string { return w.expression(e.args[i], s, need) }
	switch e.op {
	case opLiteral:
		return w.literal(e), bindTight
	case opVariable:
		return w.variable(e.name), bindTight
	case opKey:
		return w.keys[e.loop], bindTight
	case opElem:
		return w.elems[e.loop], bindTight
	case opPick:
		c := arg(0, bindOr)
		not := w.condition(negation(e.args[0]), s)
		return fmt.Sprintf("[if %s {%s}, %s][0]", c,
			w.expression(e.args[1], s.with("if "+c), bindOr), w.expression(e.args[2], s.with("if "+not), bindOr)), bindTight
	case opNot:
		return w.negated(e.args[0], s)
	case opAnd:
		left := arg(0, bindAnd)
		return left + " && " + w.expression(e.args[1], s.with("if "+left), bindAnd), bindAnd
	case opOr:
		not := w.condition(negation(e.args[0]), s)
		return arg(0, bindOr) + " || " + w.expression(e.args[1], s.with("if "+not), bindOr), bindOr
	case opEqual:
		return arg(0, bindTight) + " == " + arg(1, bindTight), bindCompare
	case opLess, opLessOrEqual:
		sign := map[op]string{opLess: "<", opLessOrEqual: "<="}[e.op]
		a, b := arg(0, bindTight), arg(1, bindTight)
		if e.args[0].isLiteral() {
			a, b, sign = b, a, strings.Replace(sign, "<", ">", 1)
		}
		return a + " " + sign + " " + b, bindCompare
	case opLen:
		return "len(" + arg(0, bindOr) + ")", bindTight
	case opIndices:
		return "[for nth, _ in " + arg(0, bindOr) + " {nth}]", bindTight
	case opIndex:
		list, n := arg(0, bindOr), arg(1, bindTight)
		if !s.has(fmt.Sprintf("if len(%s) > %s", list, n)) && !s.has(fmt.Sprintf("if len(%s) >= %s", list, successor(n))) {
			w.guard(s, fmt.Sprintf("len(%s) <= %s", list, n), e.at, "the original fails where a list has no such element")
		}
		zero := `""`
		if e.kind == whole {
			zero = "0"
		}
		return fmt.Sprintf("[for nth, item in %s if nth == %s {item}, %s][0]", list, n, zero), bindTight
	case opSlice:
		return w.slice(e, s), bindTight
	case opListText:
		return `"[` + `\(` + w.joinedList(e.args[0], s) + `)]"`, bindTight
	case opHTML:
		w.imports["html"] = true
		return "html.Escape(" + w.asText(e.args[0], s) + ")", bindTight
	case opQuery:
		w.imports["net"] = true
		return "net.QueryEscape(" + w.asText(e.args[0], s) + ")", bindTight
	case opJoined:
		return w.asText(e, s), bindTight
	case opEscaped:
		return w.unable(e.at, "what js or %q gives is converted only where it stands in a text"), bindTight
	case opBad:
		return w.unable(e.at, e.why), bindTight
	}
	return w.unable(e.at, "the variables as a whole have no text"), bindTight
}

// has tells whether a clause is among those around a place.
func (s scope) has(clause string) bool { return slices.Contains(s, clause) }

// successor is n+1 where that is a number.
func successor(n string) string {
	i, err := strconv.Atoi(n)
	if err != nil {
		return "?"
	}
	return strconv.Itoa(i + 1)
}

// negated writes what holds where e does not.
func (w *writer) negated(e *expr, s scope) (string, binding) {
	sides := func(between string) (string, binding) {
		return w.expression(e.args[0], s, bindTight) + between + w.expression(e.args[1], s, bindTight), bindCompare
	}
	switch e.op {
	case opEqual:
		if e.args[0].op == opLen && e.args[1].is(int64(0)) || e.args[0].op == opKey && e.args[1].is(int64(0)) {
			return sides(" > ")
		}
		return sides(" != ")
	case opLess:
		return w.bare(&expr{op: opLessOrEqual, kind: truth, args: []*expr{e.args[1], e.args[0]}}, s)
	case opLessOrEqual:
		return w.bare(&expr{op: opLess, kind: truth, args: []*expr{e.args[1], e.args[0]}}, s)
	case opAnd, opOr:
		o := &expr{op: opAnd + opOr - e.op, kind: truth, args: []*expr{negation(e.args[0]), negation(e.args[1])}}
		return w.bare(o, s)
	}
	return "!" + w.expression(e, s, bindTight), bindTight
}

func (w *writer) literal(e *expr) string {
	switch v := e.literal.(type) {
	case string:
		return quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []int64:
		texts := make([]string, len(v))
		for i, n := range v {
			texts[i] = strconv.FormatInt(n, 10)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return fmt.Sprint(e.literal)
}

// variable writes a variable of the old controller. In the field `domain` a host is
// written as the gateway compares it.
func (w *writer) variable(name string) string {
	text := w.vars[name].cue
	if name == hostName && w.inDomain {
		return strings.ReplaceAll(text, "in.host", "in.domain")
	}
	return text
}

// slice writes a part of a list or of a text that is there in any case.
func (w *writer) slice(e *expr, s scope) string {
	of := w.expression(e.args[0], s, bindTight)
	from, to := w.expression(e.args[1], s, bindTight), w.expression(e.args[2], s, bindTight)
	var outside, inside []string
	add := func(a, b string) {
		if a != b && a != "0" {
			outside, inside = append(outside, a+" > "+b), append(inside, a+" <= "+b)
		}
	}
	add(from, to)
	add(to, "len("+of+")")
	if len(outside) > 0 {
		w.guard(s, strings.Join(outside, " || "), e.at, "the original fails where a slice is out of range")
	}
	switch {
	case e.kind.isList():
		return fmt.Sprintf("[for nth, item in %s if nth >= %s && nth < %s {item}]", of, from, to)
	case len(inside) == 0:
		return of
	}
	w.imports["strings"] = true
	return fmt.Sprintf(`[if %s {"\(strings.ByteSlice(%s, %s, %s))"}, ""][0]`, strings.Join(inside, " && "), of, from, to)
}

// joinedList writes the elements of a list with blanks between them.
func (w *writer) joinedList(list *expr, s scope) string {
	w.imports["strings"] = true
	text := w.expression(list, s, bindOr)
	if list.kind == wholes {
		text = `[for item in ` + text + ` {"\(item)"}]`
	}
	return "strings.Join(" + text + `, " ")`
}

// asText writes what is printed of an expression.
func (w *writer) asText(e *expr, s scope) string {
	if e.op == opJoined {
		parts := make([]any, len(e.args))
		for i, a := range e.args {
			parts[i] = &printed{expr: a, at: a.at}
			if a.isLiteral() && a.kind == text {
				parts[i] = a.literal.(string)
			}
		}
		return w.text(parts, s)
	}
	return w.text([]any{&printed{expr: e, at: e.at}}, s)
}

// text writes the parts of a string.
func (w *writer) text(parts []any, s scope) string {
	if len(parts) == 1 {
		switch p := parts[0].(type) {
		case *printed:
			if p.expr.kind == text && p.expr.op != opEscaped {
				return w.expression(p.expr, s, bindTight)
			}
			if p.expr.op == opEscaped {
				return w.asText(p.expr.args[0], s)
			}
		case *when:
			return w.textIf(p, s)
		case *forEach:
			return w.textFor(p, s)
		}
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, p := range parts {
		if text, ok := p.(string); ok {
			writeEscaped(&b, text)
			continue
		}
		b.WriteString(`\(` + w.interpolated(p, s) + `)`)
	}
	b.WriteByte('"')
	return b.String()
}

func (w *writer) interpolated(p any, s scope) string {
	switch p := p.(type) {
	case *printed:
		if p.expr.op == opEscaped {
			return w.asText(p.expr.args[0], s)
		}
		if p.expr.op == opPick && p.expr.kind == unknown {
			return w.unable(p.at, "an expression that is text or something else")
		}
		return w.expression(p.expr, s, bindOr)
	case *when:
		return w.textIf(p, s)
	case *forEach:
		return w.textFor(p, s)
	case *failing:
		w.refuse(s, p)
	}
	return `""`
}

func (w *writer) textIf(p *when, s scope) string {
	a, b := p.a, p.b
	c, not := w.condition(p.cond, s), w.condition(negation(p.cond), s)
	if len(a) == 0 {
		a, b, c, not = b, a, not, c
	}
	return fmt.Sprintf("[if %s {%s}, %s][0]", c, w.text(a, s.with("if "+c)), w.text(b, s.with("if "+not)))
}

// textFor writes a loop in a text. What stands between elements becomes the separator.
func (w *writer) textFor(p *forEach, s scope) string {
	w.imports["strings"] = true
	separator, body := separated(p)
	list := ""
	if isElement(body, p.loop) && p.loop.list.kind == texts {
		list = w.expression(p.loop.list, s, bindOr)
	} else {
		clause := w.forClause(p.loop, partsUseKey(body, p.loop), s)
		list = fmt.Sprintf("[%s {%s}]", clause, w.text(body, s.with(clause)))
	}
	return fmt.Sprintf("strings.Join(%s, %s)", list, quote(separator))
}

// forClause writes the head of a loop.
func (w *writer) forClause(l *loop, key bool, s scope) string {
	name := w.elems[l]
	if key {
		name = w.keys[l] + ", " + name
	}
	return "for " + name + " in " + w.expression(l.list, s, bindOr)
}

// separated takes {{if $i}}, {{end}} from the begin of a body.
func separated(p *forEach) (string, []any) {
	if len(p.body) == 0 {
		return "", p.body
	}
	first, ok := p.body[0].(*when)
	if !ok || partsUseKey(p.body[1:], p.loop) {
		return "", p.body
	}
	key := &expr{op: opKey, kind: whole, loop: p.loop}
	notFirst := truthOf(key)
	branch, other := first.a, first.b
	if same(first.cond, negation(notFirst)) {
		branch, other = other, branch
	} else if !same(first.cond, notFirst) {
		return "", p.body
	}
	if len(other) > 0 || len(branch) != 1 {
		return "", p.body
	}
	text, ok := branch[0].(string)
	if !ok {
		return "", p.body
	}
	return text, p.body[1:]
}

// isElement tells whether parts are the element of a loop and nothing else.
func isElement(parts []any, l *loop) bool {
	if len(parts) != 1 {
		return false
	}
	p, ok := parts[0].(*printed)
	for ok && p.expr.op == opEscaped {
		p = &printed{expr: p.expr.args[0]}
	}
	return ok && p.expr.op == opElem && p.expr.loop == l
}

// partsUseKey tells whether anything in a document depends on the index of a loop.
func partsUseKey(list []any, l *loop) bool {
	found := false
	for _, x := range list {
		eachExpr(x, func(e *expr) { found = found || e.uses(opKey, l) })
	}
	return found
}
