package policy

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Uses notes which rules were true. It is safe for concurrent use.
type Uses struct {
	mu    sync.Mutex
	rules map[place]bool
}

// place tells a rule from another, also where it was compiled with other files: by its
// text as well, because a file of an operator may have the name of one of ours.
type place struct {
	file     string
	row, col int
	text     string
}

func placeOf(l *ast.Location) place { return place{l.File, l.Row, l.Col, string(l.Text)} }

// NewUses returns what notes no use so far.
func NewUses() *Uses { return &Uses{rules: map[place]bool{}} }

// Enabled implements topdown.QueryTracer.
func (u *Uses) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (u *Uses) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent implements topdown.QueryTracer: a rule is left when it was true.
func (u *Uses) TraceEvent(e topdown.Event) {
	rule, ok := e.Node.(*ast.Rule)
	if e.Op != topdown.ExitOp || !ok {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rules[placeOf(rule.Location)] = true
}

// Watched returns rules that answer as r does, and note in u which of them were true.
func (r *Rules) Watched(u *Uses) *Rules {
	return &Rules{decision: r.decision, verdict: r.verdict, files: r.files, sources: r.sources, types: r.types, uses: u}
}

// Rule is a rule of a bundle, or a branch of one that begins with `else`.
type Rule struct {
	// At is where its head is, without a message.
	At problem.Problem
	// Name is its path, e.g. "cuegate.guard.deny".
	Name string
	// Title is that of its METADATA, or "".
	Title string
	// Used tells whether it was true.
	Used bool
}

// List gives the rules, and which of them u has noted; those that are built in only
// when asked for.
func (r *Rules) List(u *Uses, builtin bool) []Rule {
	u.mu.Lock()
	defer u.mu.Unlock()
	var rules []Rule
	for _, m := range r.files.modules {
		if r.files.builtin[m] && !builtin {
			continue
		}
		ast.WalkRules(m, func(rule *ast.Rule) bool {
			rules = append(rules, Rule{
				At:    at(rule.Location, ""),
				Name:  strings.TrimPrefix(rule.Ref().GroundPrefix().String(), "data."),
				Title: title(rule),
				Used:  u.rules[placeOf(rule.Location)],
			})
			return false
		})
	}
	slices.SortFunc(rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column), cmp.Compare(a.Name, b.Name))
	})
	return rules
}

func title(rule *ast.Rule) string {
	for _, a := range rule.Annotations {
		if a.Title != "" {
			return a.Title
		}
	}
	return ""
}
