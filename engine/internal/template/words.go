package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// CUE says what went wrong in its own terms. Those who write templates are told in
// theirs: what is wrong, what was expected, and the nearest thing that is valid. The
// messages are those of CUE 0.17.1; one that is not known here is told as it is.

// words is what is looked at to reword errors; its zero value knows nothing.
type words struct {
	// files of the bundle, for the text of a line.
	files map[string][]byte
	// definition is tyk.#Definition, and contract the package template.
	definition, contract cue.Value
}

// problems turns an error of CUE into problems, one per cause.
func (w words) problems(err error) []problem.Problem {
	var ps []problem.Problem
	all := errors.Errors(err)
	for i := 0; i < len(all); i++ {
		e := all[i]
		p := position(e.Position())
		var at []problem.Problem
		for _, pos := range e.InputPositions() {
			q := position(pos)
			at = append(at, q)
			if rank(q) > rank(p) {
				p = q
			}
		}
		text := message(e)
		if choice, n := oneOf(all[i:]); n > 0 {
			text, i = choice, i+n
			p = last(all[i])
		}
		p.Message = w.say(e.Path(), text, p, at)
		if at := e.Path(); len(at) > 0 {
			p.Message = strings.Join(at, ".") + ": " + p.Message
		}
		ps = append(ps, p)
	}
	return problem.Sort(ps)
}

// last gives the position of an error that is most likely the author's.
func last(e errors.Error) problem.Problem {
	var p problem.Problem
	for _, pos := range e.InputPositions() {
		if q := position(pos); rank(q) > rank(p) {
			p = q
		}
	}
	return p
}

var conflicting = regexp.MustCompile(`^conflicting values (.+) and (.+)$`)

// oneOf reads an empty disjunction and the conflicts behind it, one for each value that
// may be chosen. It gives how many there were; 0 where the errors are something else.
func oneOf(all []errors.Error) (text string, n int) {
	if format, _ := all[0].Msg(); !strings.Contains(format, "empty disjunction") {
		return "", 0
	}
	var choices []string
	value := ""
	for _, e := range all[1:] {
		m := conflicting.FindStringSubmatch(message(e))
		if m == nil || !slices.Equal(e.Path(), all[0].Path()) || strings.Contains(m[0], "mismatched") || value != "" && m[2] != value {
			break
		}
		value, n = m[2], n+1
		choices = append(choices, m[1])
	}
	if n < 2 {
		return "", 0
	}
	return fmt.Sprintf("wants one of %s, not %s", strings.Join(choices, ", "), value), n
}

// Reword gives the message of a fault in the words of who writes templates.
func (s *Set) Reword(f *Fault) string {
	var at problem.Problem
	if len(f.Positions) > 0 {
		at = f.Positions[0]
	}
	text := s.words.say(append([]string{"api"}, f.Path...), f.Message, at, f.Positions)
	if len(f.Path) == 0 {
		return text
	}
	return strings.Join(f.Path, ".") + ": " + text
}

// A rewording matches what CUE says, and gives what is said instead.
type rewording struct {
	cue *regexp.Regexp
	say func(w words, c complaint) string
}

// complaint is one message of CUE.
type complaint struct {
	path []string
	// part are the texts that the expression caught; 0 is the whole.
	part []string
	// where it is told to be, and all positions that CUE gave.
	where problem.Problem
	at    []problem.Problem
}

var rewordings = []rewording{
	{regexp.MustCompile(`^field not allowed$`), func(w words, c complaint) string {
		return "there is no such field" + didYouMean(w.nearestField(c.path))
	}},
	{regexp.MustCompile(`^undefined field: (#?\w+)$`), func(w words, c complaint) string {
		if c.part[1][0] == '#' {
			return "there is no " + c.part[1] + didYouMean(nearest(c.part[1], fieldsOf(w.contract)))
		}
		if unknown, near := w.unknownFact(c.where); unknown != "" {
			return fmt.Sprintf("there is no %s%s", unknown, didYouMean(near))
		}
		return "there is no field " + c.part[1]
	}},
	{regexp.MustCompile(`^invalid module file syntax$`), func(words, complaint) string {
		return `this is no module file; the shortest one is module: "example.com/bundle@v0" and language: version: "v0.17.0", on a line each`
	}},
	{regexp.MustCompile(`^conflicting values (.+) and (.+) \(mismatched types (\w+) and (\w+)\)$`), func(_ words, c complaint) string {
		value, kind := c.part[1], c.part[4]
		if !isLiteral(value) {
			value, kind = c.part[2], c.part[3]
		}
		if !isLiteral(value) {
			return c.part[0]
		}
		return fmt.Sprintf("wants %s, not %s", kindOf(kind), value)
	}},
	{conflicting, func(_ words, c complaint) string {
		if n := len(c.path); n > 1 && c.path[n-2] == "api" && (c.path[n-1] == "api_id" || c.path[n-1] == "org_id") {
			return "the engine gives this, and no template changes it; leave it out"
		}
		text := fmt.Sprintf("has two values that exclude each other, %s and %s", c.part[1], c.part[2])
		for _, q := range c.at {
			if rank(q) > 1 && (q.File != c.where.File || q.Line != c.where.Line) {
				text += fmt.Sprintf(" (%s:%d)", q.File, q.Line)
				break
			}
		}
		return text + "; leave one of them, or write one as a default (*value | type)"
	}},
	{regexp.MustCompile(`^incomplete value (.+)$`), func(_ words, c complaint) string {
		if strings.Contains(c.part[1], " | ") {
			return fmt.Sprintf("has several defaults, of which CUE takes none (%s): write the value without *, or into `defaults` where #Base has it there", c.part[1])
		}
		return fmt.Sprintf("has a type and no value: give it one, or a default such as *value | %s", c.part[1])
	}},
	{regexp.MustCompile(`^invalid value (\S+) \(out of bound (.+)\)$`), func(_ words, c complaint) string {
		return fmt.Sprintf("wants a value %s, not %s", c.part[2], c.part[1])
	}},
	{regexp.MustCompile(`^(".*") is not of the form that the schema asks for$`), func(_ words, c complaint) string {
		text := c.part[0]
		for _, q := range c.at {
			if strings.HasPrefix(q.File, "cue/tyk/") {
				return fmt.Sprintf("%s (%s:%d says which)", text, q.File, q.Line)
			}
		}
		return text
	}},
	{regexp.MustCompile(`^invalid interpolation$`), func(w words, c complaint) string {
		if unknown, near := w.unknownFact(c.where); unknown != "" {
			return fmt.Sprintf("there is no %s%s", unknown, didYouMean(near))
		}
		return `something in \( ) has no value, or is no text, number or boolean`
	}},
	{regexp.MustCompile(`^reference "(\w+)" not found$`), func(_ words, c complaint) string {
		switch name := c.part[1]; name {
		case "template", "tyk", "schema", "sidecar":
			return fmt.Sprintf("the file does not import %s: add import %q", name, modulePath+"/"+name)
		case "True", "False", "TRUE", "FALSE":
			return fmt.Sprintf("%s is no value of CUE; did you mean %s?", name, strings.ToLower(name))
		case "None", "nil", "Null", "NULL":
			return fmt.Sprintf("%s is no value of CUE; did you mean null?", name)
		default:
			if near := schema.Nearest(name, []string{"false", "null", "true"}); near != "" {
				return fmt.Sprintf("%s is not defined here; did you mean %s?", name, near)
			}
			return fmt.Sprintf("%s is not defined here; a text needs quotes", name)
		}
	}},
	{regexp.MustCompile(`^import failed$`), func(w words, c complaint) string {
		line := strings.TrimSpace(w.line(c.where))
		path := line[strings.Index(line, `"`)+1:]
		path, _, _ = strings.Cut(path, `"`)
		own := []string{schemaPackage, sidecarPackage, templatePackage, tykPackage}
		return fmt.Sprintf("there is no package %q here, and none is fetched%s", path, didYouMean(schema.Nearest(path, own)))
	}},
	{regexp.MustCompile(`^imported and not used: (".*")`), func(_ words, c complaint) string {
		return fmt.Sprintf("%s is imported and not used: remove the import", c.part[1])
	}},
	{regexp.MustCompile(`^unreferenced alias or let clause (\w+)$`), func(_ words, c complaint) string {
		return fmt.Sprintf("%[1]s = ... names an alias, which nothing uses; a field is written %[1]s: ...", c.part[1])
	}},
	{regexp.MustCompile(`^expected '}', found 'EOF'$`), func(_ words, c complaint) string {
		return c.part[0] + ": a { is not closed"
	}},
	{regexp.MustCompile(`^missing ',' in struct literal$`), func(_ words, c complaint) string {
		return c.part[0] + ": fields on one line need a comma between them"
	}},
	{regexp.MustCompile(`^expected '{', found .*$`), func(w words, c complaint) string {
		if strings.Contains(w.line(c.where), "if ") {
			return c.part[0] + ": what belongs to an if stands in braces, if condition { field: value }"
		}
		return c.part[0]
	}},
	{regexp.MustCompile(`^else requires @experiment\(try\)$`), func(words, complaint) string {
		return "there is no else: write a second if with the opposite condition"
	}},
	{regexp.MustCompile(`^(?:expected operand|illegal character).*$`), func(w words, c complaint) string {
		if strings.Contains(w.line(c.where), "{{") {
			return c.part[0] + "; {{ }} is of Go templates, which cuegate migrate converts"
		}
		return c.part[0]
	}},
}

// say gives a message in the words of who writes templates.
func (w words) say(path []string, text string, where problem.Problem, at []problem.Problem) string {
	for _, r := range rewordings {
		if m := r.cue.FindStringSubmatch(text); m != nil {
			if len(path) == 0 {
				path = []string{""}
			}
			return r.say(w, complaint{path, m, where, at})
		}
	}
	return text
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

var literals = regexp.MustCompile(`^(?:".*"|-?\d.*|true|false|null|\[[^.].*|\[\]|\{.*)$`)

func isLiteral(text string) bool { return literals.MatchString(text) && !strings.Contains(text, "...") }

// kindOf says what a kind of CUE is for people.
func kindOf(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "number", "float":
		return "a number"
	case "string":
		return "a text"
	case "list":
		return "a list"
	case "struct":
		return "a struct of fields"
	}
	return kind
}

// line is the text of the line that a problem is at.
func (w words) line(p problem.Problem) string {
	lines := strings.Split(string(w.files[p.File]), "\n")
	if p.Line < 1 || p.Line > len(lines) {
		return ""
	}
	return lines[p.Line-1]
}

// nearestField finds the field of an API definition that is most likely meant by the end
// of a path, which leads through api; "" where the path does not.
func (w words) nearestField(path []string) string {
	i := slices.Index(path, "api")
	if i < 0 || i == len(path)-1 {
		return ""
	}
	v := w.definition
	for _, label := range path[i+1 : len(path)-1] {
		v = child(v, label)
	}
	return nearest(path[len(path)-1], fieldsOf(v))
}

// nearest finds the name that is most likely meant: one that differs by little, or else
// the shortest one that begins with what was written, or that it begins with.
func nearest(name string, names []string) string {
	best := schema.Nearest(name, names)
	if best != "" {
		return best
	}
	for _, n := range names {
		if (strings.HasPrefix(n, name) || strings.HasPrefix(name, n)) && (best == "" || len(n) < len(best)) {
			best = n
		}
	}
	return best
}

// child is a field that a value has or may have.
func child(v cue.Value, label string) cue.Value {
	if !v.Exists() {
		return v
	}
	if c := v.LookupPath(cue.MakePath(cue.Str(label))); c.Exists() {
		return c
	}
	if c := v.LookupPath(cue.MakePath(cue.Str(label).Optional())); c.Exists() {
		return c
	}
	return v.LookupPath(cue.MakePath(cue.AnyString))
}

func fieldsOf(v cue.Value) []string {
	if !v.Exists() {
		return nil
	}
	var names []string
	it, err := v.Fields(cue.Optional(true), cue.Definitions(true))
	for err == nil && it.Next() {
		if sel := it.Selector(); sel.IsDefinition() {
			names = append(names, sel.String())
		} else {
			names = append(names, sel.Unquoted())
		}
	}
	slices.Sort(names)
	return names
}

var factPath = regexp.MustCompile(`\bin((?:\.\w+)+)`)

// unknownFact finds what a line asks of the route that there is not, and what is most
// likely meant.
func (w words) unknownFact(p problem.Problem) (unknown, near string) {
	for _, m := range factPath.FindAllStringSubmatch(w.line(p), -1) {
		if !w.contract.Exists() {
			return "", ""
		}
		v, known := w.contract.LookupPath(cue.ParsePath("#In")), "in"
		for _, label := range strings.Split(m[1], ".")[1:] {
			next := child(v, label)
			if !next.Exists() {
				if near = nearest(label, fieldsOf(v)); near != "" {
					near = known + "." + near
				}
				return "in" + m[1], near
			}
			v, known = next, known+"."+label
		}
	}
	return "", ""
}
