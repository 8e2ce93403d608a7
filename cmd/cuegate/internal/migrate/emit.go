package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// writer writes one template as CUE.
type writer struct {
	*definition
	name     string
	vars     map[string]variableOf
	findings []Finding
	imports  map[string]bool
	// errors are the lines of the template's own `errors`.
	errors []string
	// keys and elems name the variables of loops; loopNames are all of these names.
	keys, elems map[*loop]string
	loopNames   map[string]bool
	// comments of the template that no field has yet, in order.
	comments []step
	steps    []int
	// failed counts what could not be converted; why is the latest.
	failed int
	why    string
	// hidden are those of these that stand under a condition: no route that `vet` tries
	// may meet them.
	hidden []string
	// plain is set within a list, which is a default as a whole.
	plain bool
	// inDomain is set while the field `domain` is written.
	inDomain bool
	// listens is set when the listen path is that of the route as it is written.
	listens bool
}

// template writes the fields of a template: api, and errors where there are any.
func (w *writer) template(doc any) []line {
	api := line{label: "api"}
	api.body = []line{{label: "api_id", value: "in.id"}, {label: "org_id", value: "in.org"}}
	fields := w.root(doc, nil)
	for _, why := range w.hidden {
		api.body = append(api.body, line{head: "if error(" + quote(why) + ")"})
	}
	api.body = append(api.body, fields...)
	if rest := w.commentsBefore(int(^uint(0) >> 1)); len(rest) > 0 {
		api.body = append(api.body, line{comments: rest})
	}
	lines := []line{api}
	if w.listens {
		// As the built-in template legacy says it.
		w.errors = append(w.errors, "if in.path !~ #\"^/([^{}\\p{Z}\\p{Cc}]|\\{([^{}\\p{Z}\\p{Cc}]|\\{[^{}\\p{Z}\\p{Cc}]*\\})*\\})*$\"# {\"it writes the path as it is, and the gateway serves none with white space or with braces that do not pair; the template default encodes them\"}")
	}
	if len(w.errors) > 0 {
		lines = append(lines, line{label: "errors", value: "[\n\t" + strings.Join(w.errors, ",\n\t") + ",\n]"})
	}
	return lines
}

// root writes the document, which is an object for every route.
func (w *writer) root(doc any, s scope) []line {
	switch doc := doc.(type) {
	case *object:
		return w.object(nil, doc.entries, s)
	case *either:
		return w.branches(doc.cond, s, func(s scope) []line { return w.root(doc.a, s) }, func(s scope) []line { return w.root(doc.b, s) })
	case *failing:
		w.refuse(s, doc)
		return nil
	}
	return []line{w.stuck(s, placeOf(doc), "the JSON is no object")}
}

// branches writes lines under a condition and under its contrary.
func (w *writer) branches(cond *expr, s scope, a, b func(scope) []line) []line {
	var lines []line
	for i, f := range []func(scope) []line{a, b} {
		c := cond
		if i == 1 {
			c = negation(cond)
		}
		before := w.failed
		head := "if " + w.condition(c, s)
		w.hide(before, s)
		if body := f(s.with(head)); len(body) > 0 {
			lines = append(lines, line{head: head, body: body})
		}
	}
	return lines
}

// unable notes what cannot be converted, and gives the error that stands for it.
func (w *writer) unable(at place, why string) string {
	w.failed++
	w.why = todo(at, why)
	w.find(Unconverted, at, why)
	return "error(" + quote(w.why) + ")"
}

// stuck stands for fields that cannot be converted: an error in the struct around them.
func (w *writer) stuck(s scope, at place, why string) line {
	before := w.failed
	l := line{head: "if " + w.unable(at, why)}
	w.hide(before, s)
	return l
}

// hide notes what was found to be unable since before, if that stands under a condition.
func (w *writer) hide(before int, s scope) {
	if w.failed > before && len(s) > 0 && !slices.Contains(w.hidden, w.why) {
		w.hidden = append(w.hidden, w.why)
	}
}

func (w *writer) find(kind Kind, at place, message string) {
	w.findings = addFinding(w.findings, Finding{Kind: kind, At: at, Template: w.name, Message: message})
}

// guard refuses routes for which the condition holds in the scope.
func (w *writer) guard(s scope, condition string, at place, why string) {
	clauses := append(slices.Clone(s), "if "+condition)
	text := fmt.Sprintf("%s {%s}", strings.Join(clauses, " "), quote(fmt.Sprintf("%s (%s)", why, at)))
	if !slices.Contains(w.errors, text) {
		w.errors = append(w.errors, text)
	}
}

// refuse refuses the routes of the scope: the original gives no JSON for them.
func (w *writer) refuse(s scope, f *failing) {
	condition := "true"
	if n := len(s); n > 0 && strings.HasPrefix(s[n-1], "if ") {
		s, condition = s[:n-1], strings.TrimPrefix(s[n-1], "if ")
	}
	w.guard(s, condition, f.at, "the original gives no JSON here: "+f.why)
}

// object writes the entries of an object.
func (w *writer) object(path []string, entries []any, s scope) []line {
	return w.entries(path, w.lastOnes(entries), s)
}

func (w *writer) entries(path []string, entries []any, s scope) []line {
	var lines []line
	for _, e := range entries {
		var more []line
		switch e := e.(type) {
		case *field:
			more = w.field(path, e, s)
		case *when:
			more = w.branches(e.cond, s, func(s scope) []line { return w.entries(path, e.a, s) }, func(s scope) []line { return w.entries(path, e.b, s) })
		case *forEach:
			clause := w.forClause(e.loop, partsUseKey(e.body, e.loop), s)
			if body := w.entries(path, e.body, s.with(clause)); len(body) > 0 {
				more = []line{{head: clause, body: body}}
			}
		case *failing:
			w.refuse(s, e)
		}
		if n := len(lines); n > 0 && len(more) > 0 && lines[n-1].label+lines[n-1].head == "" {
			more[0].comments = append(lines[n-1].comments, more[0].comments...)
			lines = lines[:n-1]
		}
		lines = append(lines, more...)
	}
	return lines
}

// field writes a field of an object; path leads to the object.
func (w *writer) field(path []string, f *field, s scope) []line {
	var notes []string
	if !w.plain {
		notes = w.commentsBefore(f.step)
	}
	key, isConstant := f.key.constant()
	if !isConstant {
		before := w.failed
		label := w.text(f.key.parts, s)
		w.hide(before, s)
		if !strings.HasPrefix(label, `"`) {
			label = `"\(` + label + `)"`
		}
		inner := append(slices.Clone(path), "*")
		if w.hasFixedNames(path) {
			return noted(notes, []line{w.stuck(s, f.at, "a key that depends on the route, where the API definition has certain fields only")})
		}
		return noted(notes, w.value(label, inner, f.value, s))
	}
	if len(path) == 0 && isIdentity(key) {
		w.identity(key, f)
		return noted(notes, nil)
	}
	inner := append(slices.Clone(path), key)
	if near, unknown := w.unknown(inner); unknown {
		name, ok := w.folded(path, key)
		if !ok {
			return noted(append(notes, w.leaveOut(inner, near, f)), nil)
		}
		w.find(Note, f.at, fmt.Sprintf("%s was taken for %s, as JSON in Go does not mind capitals", dotted(inner), name))
		key = name
		inner[len(inner)-1] = name
	}
	if len(path) == 0 && key == "domain" {
		w.inDomain = true
		defer func() { w.inDomain = false }()
	}
	if slices.Equal(inner, []string{"proxy", "listen_path"}) && usesVariable(f.value, listenPath) {
		w.listens = true
	}
	return noted(notes, w.value(w.label(key), inner, f.value, s))
}

// isIdentity tells which fields the engine alone writes.
func isIdentity(key string) bool { return key == "api_id" || key == "org_id" || key == "id" }

// identity says of a field that the engine writes what becomes of what stood there.
func (w *writer) identity(key string, f *field) {
	if t, ok := f.value.(*textValue); ok && key == "org_id" && len(t.parts) == 1 {
		if p, ok := t.parts[0].(*printed); ok && p.expr.op == opVariable && p.expr.name == "Org" {
			return
		}
	}
	w.find(Note, f.at, key+" is part of the identity of a definition, which the engine alone writes")
}

func (w *writer) leaveOut(path []string, near string, f *field) string {
	message := fmt.Sprintf("the API definition has no field %s", dotted(path))
	if near != "" {
		message += fmt.Sprintf("; did you mean %s?", near)
	}
	w.find(LeftOut, f.at, message)
	return fmt.Sprintf("Left out (%s): %s", f.at, message)
}

// noted puts comments above the first of some lines; where there are none, comments
// stand alone.
func noted(comments []string, lines []line) []line {
	switch {
	case len(comments) == 0:
		return lines
	case len(lines) == 0:
		return []line{{comments: comments}}
	}
	lines[0].comments = append(comments, lines[0].comments...)
	return lines
}

// commentsBefore takes the comments of the template that stand before a step.
func (w *writer) commentsBefore(step int) []string {
	var texts []string
	for len(w.steps) > 0 && w.steps[0] < step {
		for _, l := range strings.Split(w.comments[0].text, "\n") {
			texts = append(texts, strings.TrimSpace(l))
		}
		w.comments, w.steps = w.comments[1:], w.steps[1:]
	}
	return texts
}

// value writes a field with its value: one line, or none, or several with conditions.
func (w *writer) value(label string, path []string, v any, s scope) []line {
	switch v := v.(type) {
	case *object:
		if x := w.violation(path, map[string]any{}); x != nil {
			before := w.failed
			value := w.unable(v.at, dotted(path)+" "+x.Message)
			w.hide(before, s)
			return []line{{label: label, value: value}}
		}
		return []line{{label: label, body: w.object(path, v.entries, s)}}
	case *either:
		if e := asTruth(v); e != nil {
			return w.value(label, path, &printed{e, v.at}, s)
		}
		return w.valueIf(label, path, v, s)
	case *failing:
		w.refuse(s, v)
		return nil
	case *scalar:
		if v.text == "null" {
			w.find(Note, v.at, fmt.Sprintf("%s is null, which says nothing, so it is left out", dotted(path)))
			return nil
		}
	}
	return []line{{label: label, value: w.changeable(path, v, s)}}
}

func (w *writer) valueIf(label string, path []string, v *either, s scope) []line {
	a, b := groupOf(v.a), groupOf(v.b)
	switch {
	case a == objects && b == objects && !isEither(v.a) && !isEither(v.b):
		entries := []any{&when{cond: v.cond, a: v.a.(*object).entries, b: v.b.(*object).entries, at: v.at}}
		return w.value(label, path, &object{entries: entries, at: v.at}, s)
	case a == b && a >= strs && a <= lists:
		return []line{{label: label, value: w.changeable(path, v, s)}}
	}
	if f, ok := v.a.(*failing); ok {
		w.refuse(s.with("if "+w.condition(v.cond, s)), f)
		return w.value(label, path, v.b, s)
	}
	if f, ok := v.b.(*failing); ok {
		w.refuse(s.with("if "+w.condition(negation(v.cond), s)), f)
		return w.value(label, path, v.a, s)
	}
	return w.branches(v.cond, s,
		func(s scope) []line { return w.value(label, path, v.a, s) },
		func(s scope) []line { return w.value(label, path, v.b, s) })
}

// asTruth gives the expression of a value that is true or false, or nil.
func asTruth(v any) *expr {
	switch v := v.(type) {
	case *scalar:
		if v.text == "true" || v.text == "false" {
			return literal(v.text == "true")
		}
	case *printed:
		if v.expr.kind == truth {
			return v.expr
		}
	case *either:
		a, b := asTruth(v.a), asTruth(v.b)
		if a != nil && b != nil {
			return pick(v.cond, a, b)
		}
	}
	return nil
}

func isEither(v any) bool {
	_, ok := v.(*either)
	return ok
}

// groupOf tells what kind of JSON a value is, when that is always the same.
func groupOf(v any) group {
	switch v := v.(type) {
	case *object:
		return objects
	case *array:
		return lists
	case *textValue:
		return strs
	case *scalar:
		switch v.text[0] {
		case 't', 'f':
			return bools
		case 'n':
			return nulls
		}
		return numbers
	case *printed:
		switch v.expr.kind {
		case truth:
			return bools
		case whole, decimal:
			return numbers
		}
	case *either:
		if a := groupOf(v.a); a == groupOf(v.b) {
			return a
		}
	}
	return noGroup
}

// changeable writes a value as a default.
func (w *writer) changeable(path []string, v any, s scope) string {
	before, imports := w.failed, maps.Clone(w.imports)
	w.check(path, v)
	text := ""
	if w.failed == before {
		text = w.inline(path, v, s)
	}
	switch {
	case w.failed > before:
		// An error within a default would only make the default go away.
		w.imports = imports
		w.hide(before, s)
		return "error(" + quote(w.why) + ")"
	case w.plain:
		return text
	}
	g := groupOf(v)
	if g == lists {
		return "*" + text + " | " + w.openList(path)
	}
	if needsParentheses(v) {
		text = "(" + text + ")"
	}
	return "*" + text + " | " + w.open(path, g)
}

// needsParentheses: a mark of a default binds tighter than operators.
func needsParentheses(v any) bool {
	p, ok := v.(*printed)
	if !ok {
		return false
	}
	switch p.expr.op {
	case opAnd, opOr, opEqual, opLess, opLessOrEqual, opNot:
		return true
	}
	return false
}

// check notes what the API definition does not take. The old controller refused what is
// of another type altogether.
func (w *writer) check(path []string, v any) {
	var x any
	switch v := v.(type) {
	case *textValue:
		text, ok := v.constant()
		if !ok {
			if w.takesSome(path, strs) {
				return
			}
		}
		x = text
	case *scalar:
		if x = decodeScalar(v.text); x == nil {
			return
		}
	case *printed:
		switch groupOf(v) {
		case bools:
			x = true
		case numbers:
			x = json.Number("1")
		default:
			return
		}
	case *either:
		w.check(path, v.a)
		w.check(path, v.b)
		return
	case *array:
		x = []any{}
	case *object:
		x = map[string]any{}
	default:
		return
	}
	if bad := w.violation(path, x); bad != nil {
		w.unable(placeOf(v), fmt.Sprintf("%s %s", dotted(path), bad.Message))
	}
}

func decodeScalar(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	return json.Number(text)
}

// inline writes a value as one expression.
func (w *writer) inline(path []string, v any, s scope) string {
	switch v := v.(type) {
	case *textValue:
		return w.text(v.parts, s)
	case *scalar:
		return v.text
	case *printed:
		if g := groupOf(v); g != bools && g != numbers {
			if b := v.expr.firstBad(); b != nil {
				return w.unable(b.at, b.why)
			}
			return w.unable(v.at, "text without quotes around it would have to be JSON itself")
		}
		return w.expression(v.expr, s, bindOr)
	case *array:
		return w.list(path, v, s)
	case *object:
		return w.inlineObject(path, v, s)
	case *either:
		if e := asTruth(v); e != nil {
			return w.inline(path, &printed{e, v.at}, s)
		}
		return w.inlineIf(path, v, s)
	case *unable:
		return w.unable(v.at, v.why)
	case *failing:
		w.refuse(s, v)
		return "null"
	}
	return w.unable(placeOf(v), "this is not understood")
}

func (w *writer) inlineIf(path []string, v *either, s scope) string {
	c, not := w.condition(v.cond, s), w.condition(negation(v.cond), s)
	if f, ok := v.a.(*failing); ok {
		w.refuse(s.with("if "+c), f)
		return w.inline(path, v.b, s)
	}
	if f, ok := v.b.(*failing); ok {
		w.refuse(s.with("if "+not), f)
		return w.inline(path, v.a, s)
	}
	return fmt.Sprintf("[if %s {%s}, %s][0]", c, w.inline(path, v.a, s.with("if "+c)), w.inline(path, v.b, s.with("if "+not)))
}

// maxLine is the length from which lists have a line for each element.
const maxLine = 80

// list writes a list. A list that is a variable is that variable.
func (w *writer) list(path []string, a *array, s scope) string {
	if len(a.elems) == 1 {
		if f, ok := a.elems[0].(*forEach); ok && len(f.body) == 1 && f.loop.list.kind == texts {
			if t, ok := f.body[0].(*textValue); ok && isElement(t.parts, f.loop) {
				return w.expression(f.loop.list, s, bindTight)
			}
		}
	}
	elems := w.elements(append(slices.Clone(path), "0"), a.elems, s)
	text := "[" + strings.Join(elems, ", ") + "]"
	if len(text) <= maxLine || len(elems) == 1 && len(text) <= 2*maxLine {
		return text
	}
	for i := range elems {
		elems[i] = strings.ReplaceAll(elems[i], "\n", "\n\t")
	}
	return "[\n\t" + strings.Join(elems, ",\n\t") + ",\n]"
}

// elements writes what stands in a list. An element of CUE's list makes one or none, so
// several under one condition or loop go through a list of their own.
func (w *writer) elements(path []string, elems []any, s scope) []string {
	var all []string
	for _, e := range elems {
		switch e := e.(type) {
		case *when:
			c, not := w.condition(e.cond, s), w.condition(negation(e.cond), s)
			all = append(all, w.conditional("if "+c, path, e.a, s)...)
			all = append(all, w.conditional("if "+not, path, e.b, s)...)
		case *forEach:
			all = append(all, w.conditional(w.forClause(e.loop, partsUseKey(e.body, e.loop), s), path, e.body, s)...)
		case *failing:
			w.refuse(s, e)
		default:
			w.check(path, e)
			all = append(all, w.inline(path, e, s))
		}
	}
	return all
}

func (w *writer) conditional(clause string, path []string, body []any, s scope) []string {
	elems := w.elements(path, body, s.with(clause))
	switch {
	case len(elems) == 0:
		return nil
	case len(elems) == 1 && isClause(elems[0]):
		return []string{clause + " " + elems[0]}
	case len(elems) == 1:
		return []string{clause + " {" + elems[0] + "}"}
	case strings.HasPrefix(clause, "if ") && !slices.ContainsFunc(elems, isClause):
		all := make([]string, len(elems))
		for i, e := range elems {
			all[i] = clause + " {" + e + "}"
		}
		return all
	}
	return []string{clause + " for item in [" + strings.Join(elems, ", ") + "] {item}"}
}

func isClause(elem string) bool {
	return strings.HasPrefix(elem, "if ") || strings.HasPrefix(elem, "for ")
}

// inlineObject writes an object in a list.
func (w *writer) inlineObject(path []string, o *object, s scope) string {
	outside := w.plain
	w.plain = true
	defer func() { w.plain = outside }()
	return "{" + inlineLines(w.object(path, o.entries, s)) + "}"
}

func inlineLines(lines []line) string {
	texts := make([]string, 0, len(lines))
	for _, l := range lines {
		switch {
		case l.label == "" && l.head == "":
		case l.head != "":
			texts = append(texts, l.head+" {"+inlineLines(l.body)+"}")
		case l.value != "":
			texts = append(texts, l.label+": "+l.value)
		default:
			texts = append(texts, l.label+": {"+inlineLines(l.body)+"}")
		}
	}
	return strings.Join(texts, ", ")
}
