package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

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
