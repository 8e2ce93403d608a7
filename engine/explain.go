package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// Explanation says how a decision came about.
type Explanation struct {
	// Object is "Kind/namespace/name".
	Object  string  `json:"object"`
	Outcome Outcome `json:"outcome"`
	// Reasons say why an object is ignored or refused.
	Reasons []Reason `json:"reasons,omitempty"`
	// Facts are what the rules saw; nil unless traced.
	Facts *Facts `json:"facts,omitempty"`
	// Rules are the ids of the policies that fired, in no defined order; none
	// unless traced.
	Rules    []string `json:"rules,omitempty"`
	Template string   `json:"template,omitempty"`
	// Steps are in the order in which they happened.
	Steps []Step `json:"steps"`
	// Definitions has one for each route; none unless traced.
	Definitions []DefinitionTrace `json:"definitions,omitempty"`
}

// Step is one thing that a stage found or did.
type Step struct {
	// Stage is facts, own, decide, override, render, validate or check.
	Stage string `json:"stage"`
	Reason
}

// DefinitionTrace says where each value of a definition came from.
type DefinitionTrace struct {
	ID     string       `json:"id"`
	Field  string       `json:"field"`
	Values []ValueTrace `json:"values"`
}

// ValueTrace is the origin of one leaf.
type ValueTrace struct {
	// Path in the definition, with "." between keys.
	Path string `json:"path"`
	// Value is the leaf, as far as redact.go lets it be shown.
	Value json.RawMessage `json:"value"`
	// From is annotation, policy, template (a fixed value), default (a template's
	// default, which an annotation may change), fact (what the template takes from
	// the route), or engine.
	From string `json:"from"`
	// Where is the annotation's key, the policy's id, or file:line of the template.
	Where string `json:"where"`
	// Expression is the CUE text behind it.
	Expression string `json:"expression,omitempty"`
}

func (w *walk) step(stage string, reasons ...Reason) {
	for _, r := range reasons {
		w.explanation.Steps = append(w.explanation.Steps, Step{stage, r})
	}
}

// explain traces every leaf of a finished definition.
func (w *walk) explain(d *draft, sets []policy.Set, x *rendered, def Definition) {
	if !w.trace {
		return
	}
	t := DefinitionTrace{ID: def.ID, Field: def.Field}
	doc, err := decode(def.JSON)
	if err != nil {
		return
	}
	leaves := map[string]any{}
	eachLeaf(nil, doc, func(path []string, v any) { leaves[schema.Join(path)] = v })
	for _, path := range slices.Sorted(maps.Keys(leaves)) {
		v := ValueTrace{Path: path, Value: Shown(path, leaves[path])}
		v.From, v.Where, v.Expression = w.origin(d, sets, x, path)
		t.Values = append(t.Values, v)
	}
	w.explanation.Definitions = append(w.explanation.Definitions, t)
}

// origin finds the last stage that had a say in a value.
func (w *walk) origin(d *draft, sets []policy.Set, x *rendered, path string) (from, where, expression string) {
	parts := splitPath(path)
	if parts[0] == "api_id" || parts[0] == "org_id" || covered(parts, []string{"config_data", markKey}) {
		return "engine", "identity", ""
	}
	if x.secured[parts[0]] {
		return "engine", "mesh", ""
	}
	for _, s := range sets {
		if covered(parts, splitPath(s.Path)) {
			return "policy", s.ID, ""
		}
	}
	for _, o := range slices.Backward(d.overridesOf(x.route.facts.Role)) {
		if covered(parts, o.path) {
			return "annotation", o.key, ""
		}
	}
	o := x.origins[path]
	for i := len(parts) - 1; o.File == "" && i > 0; i-- {
		o = x.origins[schema.Join(parts[:i])]
	}
	if o.File == "" {
		return "template", x.route.template, ""
	}
	where = fmt.Sprintf("%s:%d", o.File, o.Line)
	switch {
	case takesFact.MatchString(o.Expression):
		return "fact", where, o.Expression
	case o.Default:
		return "default", where, o.Expression
	}
	return "template", where, o.Expression
}

// withoutStrings gives the facts of overrides as they may be shown.
func withoutStrings(list []OverrideFacts) []OverrideFacts {
	shown := slices.Clone(list)
	for i := range shown {
		shown[i].Strings = nil
	}
	return shown
}

// withoutValues gives annotations as they may be shown: what overrides set may be
// secret, and kubectl keeps a copy of all of it.
func withoutValues(annotations map[string]string) map[string]string {
	shown := maps.Clone(annotations)
	for k := range shown {
		if isOverride(k) || k == lastApplied {
			shown[k] = "[not shown]"
		}
	}
	return shown
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

var takesFact = regexp.MustCompile(`\bin\.\w`)
