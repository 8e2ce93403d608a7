package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// reword gives an error of OPA (those of 1.9 and later) in the words of who writes
// policies: what is wrong, and the nearest thing that is valid.
func reword(e *ast.Error) string {
	text := e.Message
	if m := unsafeVar.FindStringSubmatch(text); m != nil {
		text = fmt.Sprintf("%s has no value here: it is misspelt, or nothing but a negation or a comparison speaks of it (%s)", m[1], text)
	}
	if m := undefinedFunction.FindStringSubmatch(text); m != nil {
		text += didYouMean(schema.Nearest(m[1], builtinNames()))
	}
	if strings.Contains(text, "keyword is required") {
		text += "; write `deny contains reason if { ... }` (opa fmt --v0-v1 converts older files)"
	}
	if text == "unexpected eof token" {
		text += ": a { is not closed"
	}
	if e.Details == nil {
		return text
	}
	lines := e.Details.Lines()
	switch d := e.Details.(type) {
	case *ast.RefErrInvalidDetail:
		var known []string
		for _, v := range d.OneOf {
			if s, ok := v.(ast.String); ok {
				known = append(known, string(s))
			}
		}
		slices.Sort(known)
		if d.Pos < len(d.Ref) {
			wrong := strings.Trim(d.Ref[d.Pos].String(), `"`)
			return fmt.Sprintf("there is no %s%s\n  %s has: %s", d.Ref[:d.Pos+1], didYouMean(schema.Nearest(wrong, known)), d.Ref[:d.Pos], strings.Join(known, ", "))
		}
	default:
		if m := matchSides.FindStringSubmatch(strings.Join(lines, "\n")); m != nil && text == "match error" {
			return fmt.Sprintf("compares a %s with a %s, which are never equal", m[1], m[2])
		}
	}
	if len(lines) > 0 {
		text += "\n  " + strings.Join(lines, "\n  ")
	}
	return text
}

var (
	unsafeVar         = regexp.MustCompile(`^var (\S+) is unsafe$`)
	undefinedFunction = regexp.MustCompile(`^undefined function (\S+)$`)
	matchSides        = regexp.MustCompile(`^left *: (\w+)\nright *: (\w+)$`)
)

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

func builtinNames() []string {
	var names []string
	for _, b := range pure().Builtins {
		names = append(names, b.Name)
	}
	slices.Sort(names)
	return names
}

// shapes are the keys that what a rule adds to a set must have.
var shapes = map[string][]string{
	"ignore": {"id", "msg"}, "deny": {"id", "msg"}, "warn": {"id", "msg"},
	"candidates": {"template", "weight", "id", "msg"},
	"set":        {"path", "value", "id", "msg"},
}

// misshapen says what is wrong with what a rule adds to one of the questions, as far as
// that is spelt out in the rule; "" if nothing is.
func misshapen(rule *ast.Rule) string {
	path := rule.Ref().GroundPrefix()
	question := path.String()
	if rule.Head.Key == nil || !slices.Contains(questions, question) {
		return ""
	}
	wanted := shapes[strings.Trim(path[len(path)-1].String(), `"`)]
	if wanted == nil {
		return ""
	}
	want := fmt.Sprintf("%s is a set of objects with %s", strings.TrimPrefix(question, "data."), strings.Join(wanted, ", "))
	switch v := spelled(rule, rule.Head.Key).Value.(type) {
	case ast.String, ast.Number, ast.Boolean, ast.Null, *ast.Array, ast.Set:
		return fmt.Sprintf("%s, and this adds %s", want, kind(v))
	case ast.Object:
		var missing []string
		for _, key := range wanted {
			if v.Get(ast.StringTerm(key)) == nil {
				missing = append(missing, key)
			}
		}
		if len(missing) > 0 {
			return fmt.Sprintf("%s, and this one has no %s", want, strings.Join(missing, " and no "))
		}
	}
	return ""
}

func kind(v ast.Value) string {
	switch name := ast.ValueName(v); name {
	case "array":
		return "an array"
	default:
		return "a " + name
	}
}

// spelled follows a variable to the term that the rule's body gives it.
func spelled(rule *ast.Rule, t *ast.Term) *ast.Term {
	name, ok := t.Value.(ast.Var)
	if !ok {
		return t
	}
	for _, e := range rule.Body {
		if !e.IsEquality() && !e.IsAssignment() || e.Negated {
			continue
		}
		if left, ok := e.Operand(0).Value.(ast.Var); ok && left.Equal(name) {
			return e.Operand(1)
		}
	}
	return t
}
