package migrate

import (
	"fmt"
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
	return w.entries(path, w.lastOnes(path, entries), s)
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
