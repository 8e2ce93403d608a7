package policy

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Mutants changes each rule of a source in every way that could matter, one way at a
// time: rules that are never true, conditions that are turned round or left out, other
// constants. Files of tests stay as they are, and so do texts for people and the ids of
// reasons. The files must be such that Load takes them.
//
// What is put in has as many lines as what it replaces.
func Mutants(src Source) ([]problem.Mutant, error) {
	var all []problem.Mutant
	err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".rego" || strings.HasSuffix(name, "_test.rego") {
			return err
		}
		text, err := fs.ReadFile(src.FS, name)
		if err != nil {
			return err
		}
		m := mutation{file: path.Join(src.Name, name), text: text}
		module, err := ast.ParseModuleWithOpts(m.file, string(text), ast.ParserOptions{ProcessAnnotation: true})
		if err != nil {
			return err
		}
		for _, rule := range module.Rules {
			m.rule(rule)
		}
		all = append(all, m.mutants...)
		return nil
	})
	slices.SortStableFunc(all, func(a, b problem.Mutant) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	return all, err
}

// Mutated loads the rules again, with other files in place of those that are not built in.
// What a mutant leaves over may be read by nothing.
func (r *Rules) Mutated(ctx context.Context, operator fs.FS) (*Rules, []problem.Problem) {
	sources, types := slices.Clone(r.sources), r.types
	for i := range sources {
		if !sources[i].Builtin {
			sources[i].FS = operator
		}
	}
	types.Lenient = true
	return Load(ctx, types, sources...)
}

// mutation collects the mutants of one file.
type mutation struct {
	file    string
	text    []byte
	mutants []problem.Mutant
}

// Why it matters that nobody noticed.
const (
	whyNever    = "No test needs this rule: it could be gone."
	whyWider    = "No test shows what this condition is there to leave out."
	whyTurned   = "No test tells this condition from its opposite."
	whyConstant = "No test depends on this value."
)

// splice adds the mutant in which the text of a place is another; it gives up where OPA
// does not say where the place is.
func (m *mutation) splice(at *ast.Location, old, new, what, why string) {
	if at == nil || at.Offset < 0 || at.Offset+len(old) > len(m.text) || string(m.text[at.Offset:at.Offset+len(old)]) != old {
		return
	}
	new += strings.Repeat("\n", strings.Count(old, "\n")-strings.Count(new, "\n"))
	text := slices.Concat(m.text[:at.Offset], []byte(new), m.text[at.Offset+len(old):])
	m.mutants = append(m.mutants, problem.Mutant{
		At:   problem.Problem{File: m.file, Line: at.Row, Column: at.Col},
		What: what, Why: why, Text: text,
	})
}

func (m *mutation) rule(rule *ast.Rule) {
	if hasBody(rule) {
		at := rule.Body[0].Location
		m.never(rule, at)
		m.body(rule.Body)
	} else if !rule.Default && len(rule.Head.Args) == 0 && rule.Else == nil && rule.Head.DocKind() != ast.CompleteDoc {
		text := string(rule.Location.Text)
		m.splice(rule.Location, text, "", "the rule is removed", whyNever)
	}
	m.head(rule.Head)
	if rule.Else != nil {
		m.rule(rule.Else)
	}
}

// hasBody tells whether a rule has conditions that somebody wrote.
func hasBody(rule *ast.Rule) bool {
	return len(rule.Body) > 0 && !rule.Default && !rule.Body[0].Generated && !isTrue(rule.Body)
}

// isTrue tells of the body that OPA gives a rule without one.
func isTrue(b ast.Body) bool {
	t, ok := b[0].Terms.(*ast.Term)
	return ok && len(b) == 1 && t.Value.Compare(ast.Boolean(true)) == 0
}

// never puts a condition that is false before the first one.
func (m *mutation) never(rule *ast.Rule, first *ast.Location) {
	if first == nil || first.Offset < 0 || first.Offset > len(m.text) || rule.Head.Location == nil {
		return
	}
	end := first.Offset + len(first.Text)
	if end > len(m.text) {
		return
	}
	text := slices.Concat(m.text[:first.Offset], []byte("false; "), m.text[first.Offset:])
	if !inBraces(m.text[:first.Offset]) {
		text = slices.Concat(m.text[:first.Offset], []byte("{false; "), m.text[first.Offset:end], []byte("}"), m.text[end:])
	}
	l := rule.Location
	m.mutants = append(m.mutants, problem.Mutant{
		At:   problem.Problem{File: m.file, Line: l.Row, Column: l.Col},
		What: "the rule is never true", Why: whyNever, Text: text,
	})
}

// inBraces tells whether a body that begins after a text is in braces: one that is not is
// a single condition.
func inBraces(before []byte) bool {
	for {
		before = bytes.TrimRight(before, " \t\r\n")
		line := before[bytes.LastIndexByte(before, '\n')+1:]
		if i := bytes.IndexByte(line, '#'); i < 0 || len(bytes.TrimSpace(line[:i])) > 0 {
			return bytes.HasSuffix(before, []byte("{"))
		}
		before = before[:len(before)-len(line)]
	}
}

func (m *mutation) body(body ast.Body) {
	for _, e := range body {
		m.condition(e, len(body) > 1)
		if every, ok := e.Terms.(*ast.Every); ok {
			m.constantsIn(every.Domain) // its body was seen
		} else {
			m.constantsIn(e)
		}
	}
}

// opposites of comparisons, by the name of the operator in OPA.
var opposites = map[string][2]string{
	"equal": {"==", "!="}, "neq": {"!=", "=="},
	"lt": {"<", ">="}, "gte": {">=", "<"}, "gt": {">", "<="}, "lte": {"<=", ">"},
}

// condition turns a condition round, and leaves it out. Those that give variables their
// values are left alone: without them nothing compiles.
func (m *mutation) condition(e *ast.Expr, others bool) {
	if e.Location == nil || len(e.With) > 0 {
		return
	}
	text := string(e.Location.Text)
	switch terms := e.Terms.(type) {
	case *ast.SomeDecl:
		return
	case *ast.Every:
		m.body(terms.Body)
		m.splice(e.Location, text, "true", "a condition is left out: "+shown(text), whyWider)
		return
	case []*ast.Term:
		name := terms[0].Value.String()
		if name == "assign" || name == "eq" {
			return
		}
		if op, ok := opposites[name]; ok && !e.Negated && len(terms) == 3 {
			m.operator(terms, op)
			break
		}
		m.negate(e, text)
	case *ast.Term:
		m.negate(e, text)
	}
	if others {
		m.splice(e.Location, text, "true", "a condition is left out: "+shown(text), whyWider)
	}
}

func (m *mutation) negate(e *ast.Expr, text string) {
	if rest, ok := strings.CutPrefix(text, "not "); ok && e.Negated {
		m.splice(e.Location, text, rest, "`not` is removed: "+shown(text), whyTurned)
	} else if !e.Negated {
		m.splice(e.Location, text, "not "+text, "`not` is put before: "+shown(text), whyTurned)
	}
}

// operator replaces the operator between two terms.
func (m *mutation) operator(terms []*ast.Term, op [2]string) {
	l := terms[1].Location
	if l == nil || terms[2].Location == nil {
		return
	}
	from, to := l.Offset+len(l.Text), terms[2].Location.Offset
	if from > to || to > len(m.text) {
		return
	}
	i := strings.Index(string(m.text[from:to]), op[0])
	if i < 0 {
		return
	}
	at := *l
	at.Offset = from + i
	at.Col += at.Offset - l.Offset
	if n := bytes.Count(m.text[l.Offset:at.Offset], []byte("\n")); n > 0 {
		at.Row, at.Col = at.Row+n, at.Offset-bytes.LastIndexByte(m.text[:at.Offset], '\n')
	}
	m.splice(&at, op[0], op[1], "`"+op[0]+"` is `"+op[1]+"`", whyTurned)
}

// unread are the fields of reasons that are for people, and their ids.
var unread = []string{"id", "msg", "field", "fix", "rule"}

func (m *mutation) head(h *ast.Head) {
	for _, t := range []*ast.Term{h.Key, h.Value} {
		if t == nil {
			continue
		}
		if o, ok := t.Value.(ast.Object); ok {
			o.Foreach(m.member)
			continue
		}
		m.constantsIn(t)
	}
}

// member changes the constants in a value of an object. Of weights only their order counts.
func (m *mutation) member(k, v *ast.Term) {
	name, _ := k.Value.(ast.String)
	switch {
	case slices.Contains(unread, string(name)):
	case name == "weight" && v.Location != nil && isNumber(v):
		text := string(v.Location.Text)
		least := "0"
		if text == least {
			least = "1"
		}
		m.splice(v.Location, text, least, text+" is "+least, whyConstant)
	default:
		m.constantsIn(v)
	}
}

func isNumber(t *ast.Term) bool {
	_, ok := t.Value.(ast.Number)
	return ok
}

// constantsIn changes the constants that are written in a term or an expression. The
// keys of objects stay, and what is written after a dot.
func (m *mutation) constantsIn(x any) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.Expr:
			if terms, ok := x.Terms.([]*ast.Term); ok && len(terms) > 0 && terms[0].Value.String() == "sprintf" {
				return true
			}
		case ast.Call:
			return len(x) > 0 && x[0].Value.String() == "sprintf"
		case *ast.Term:
			if o, ok := x.Value.(ast.Object); ok {
				o.Foreach(m.member)
				return true
			}
			m.constant(x)
		}
		return false
	}).Walk(x)
}

func (m *mutation) constant(t *ast.Term) {
	if t.Location == nil {
		return
	}
	old, new := string(t.Location.Text), ""
	switch v := t.Value.(type) {
	case ast.String:
		s, err := strconv.Unquote(old)
		if err != nil || s != string(v) {
			return
		}
		new = strconv.Quote(s + "x")
	case ast.Number:
		n, err := strconv.Atoi(old)
		if err != nil {
			return
		}
		new = strconv.Itoa(n + 1)
	case ast.Boolean:
		new = strconv.FormatBool(!bool(v))
	default:
		return
	}
	m.splice(t.Location, old, new, shown(old)+" is "+shown(new), whyConstant)
}

// shown puts a piece of code on one line.
func shown(text string) string {
	return shortened(strings.Join(strings.Fields(text), " "))
}
