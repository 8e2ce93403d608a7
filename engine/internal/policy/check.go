package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// What is misspelt in Rego and its data is mostly no error there: it is undefined, and
// the rule that was to forbid something never fires. These checks make it one.

// checkData holds the settings to their schema. Data of other names are the
// operator's own, unless a name is nearly that of the settings.
func (f *files) checkData(types Types) []problem.Problem {
	var ps []problem.Problem
	for _, v := range types.Settings(f.data["settings"]) {
		v.Path = append([]string{"settings"}, v.Path...)
		p := f.place(v.Path)
		if v.Nearest != "" {
			v.Nearest = "settings." + v.Nearest
		}
		p.Message = v.Error()
		ps = append(ps, p)
	}
	for name := range f.data {
		if name != "settings" && schema.Nearest(name, []string{"settings"}) != "" {
			p := f.place([]string{name})
			p.Message = fmt.Sprintf("no rule of ours reads %s; did you mean settings?", name)
			ps = append(ps, p)
		}
	}
	return ps
}

// checkRules finds rules of an operator that nothing asks for, and what their rules
// read that is not there.
func (f *files) checkRules(c *ast.Compiler, types Types) []problem.Problem {
	asked := reachable(c, "data.cuegate.decision", "data.cuegate.verdict")
	var ps []problem.Problem
	for name, m := range c.Modules {
		if f.builtin[f.modules[name]] {
			continue
		}
		for _, rule := range m.Rules {
			if !asked[rule] {
				ps = append(ps, at(rule.Location, unasked(c, rule)))
			}
			if wrong := misshapen(rule); wrong != "" {
				ps = append(ps, at(rule.Location, wrong))
			}
		}
		ps = append(ps, f.checkReads(c, m, types)...)
	}
	return ps
}

func at(l *ast.Location, message string) problem.Problem {
	return problem.Problem{File: l.File, Line: l.Row, Column: l.Col, Message: message}
}

// unasked says of a rule that nothing reads it, and what may have been meant.
func unasked(c *ast.Compiler, rule *ast.Rule) string {
	path := rule.Ref().GroundPrefix().String()
	message := fmt.Sprintf("nothing asks for %s, so the rule has no effect", path)
	if near := schema.Nearest(path, questions); near != "" && near != path {
		return message + fmt.Sprintf("; did you mean %s?", near)
	}
	if strings.HasPrefix(path, "data.cuegate.") {
		message += "\n  the rules of a bundle add to: " + strings.Join(questions, ", ")
	}
	return message
}

// questions are the sets that rules of operators add to.
var questions = []string{
	"data.cuegate.own.ignore", "data.cuegate.own.warn",
	"data.cuegate.template.candidates", "data.cuegate.template.deny", "data.cuegate.template.warn",
	"data.cuegate.override.deny", "data.cuegate.override.denied", "data.cuegate.override.set", "data.cuegate.override.warn",
	"data.cuegate.guard.deny", "data.cuegate.guard.warn",
	"data.cuegate.check.deny", "data.cuegate.check.warn",
}

// reachable gives every rule that the answers may depend on.
func reachable(c *ast.Compiler, from ...string) map[*ast.Rule]bool {
	seen := map[*ast.Rule]bool{}
	var todo []*ast.Rule
	visit := func(rules []*ast.Rule) {
		for _, rule := range rules {
			if !seen[rule] {
				seen[rule] = true
				todo = append(todo, rule)
			}
		}
	}
	for _, question := range from {
		visit(c.GetRules(ast.MustParseRef(question)))
	}
	for len(todo) > 0 {
		rule := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			if ref.HasPrefix(ast.DefaultRootRef) {
				visit(rulesOf(c, ref))
			}
			return false
		})
		if rule.Else != nil {
			visit([]*ast.Rule{rule.Else})
		}
	}
	return seen
}

// rulesOf gives the rules that a reference may mean.
func rulesOf(c *ast.Compiler, ref ast.Ref) []*ast.Rule {
	return c.GetRulesDynamicWithOpts(ref, ast.RulesOptions{IncludeHiddenModules: true})
}

// checkReads finds what the rules of a module read below data that is not there.
func (f *files) checkReads(c *ast.Compiler, m *ast.Module, types Types) []problem.Problem {
	var ps []problem.Problem
	ast.WalkTerms(m, func(t *ast.Term) bool {
		ref, ok := t.Value.(ast.Ref)
		if !ok || !ref.HasPrefix(ast.DefaultRootRef) || len(ref) < 2 || len(rulesOf(c, ref)) > 0 {
			return false
		}
		if message := f.unread(constants(ref[1:]), types); message != "" {
			ps = append(ps, at(t.Location, message))
		}
		return false
	})
	return slices.CompactFunc(ps, func(a, b problem.Problem) bool { return a == b })
}

// constants gives the keys of a reference up to the first that is a variable.
func constants(ref ast.Ref) []string {
	var keys []string
	for _, t := range ref {
		s, ok := t.Value.(ast.String)
		if !ok {
			break
		}
		keys = append(keys, string(s))
	}
	return keys
}

// unread says what is wrong with a path below data, or nothing.
func (f *files) unread(path []string, types Types) string {
	if len(path) == 0 {
		return ""
	}
	if path[0] == "settings" {
		v := types.Setting(path[1:])
		if v == nil {
			return ""
		}
		if v.Nearest != "" {
			v.Nearest = "data.settings." + v.Nearest
		}
		return "data.settings." + v.Error()
	}
	if _, ok := f.data[path[0]]; !ok {
		return fmt.Sprintf("there is no data.%s: neither a rule nor a data file gives it", strings.Join(path, "."))
	}
	return ""
}
