package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Outcomes of a Decision.
const (
	Manage = "manage"
	Ignore = "ignore"
	Refuse = "refuse"
)

// Decision is #Decision of cue/schema.
type Decision struct {
	Outcome  string `json:"outcome"`
	Template string `json:"template,omitempty"`
	// Templates are those of a workload, by role.
	Templates *Templates `json:"templates,omitempty"`
	Mesh      *Mesh      `json:"mesh,omitempty"`
	Rewrite   *Rewrite   `json:"rewrite,omitempty"`
	Overrides Overrides  `json:"overrides"`
	Set       []Set      `json:"set"`
	Reasons   []Reason   `json:"reasons"`
	Warnings  []Reason   `json:"warnings"`
}

// Templates are those of the two definitions of a workload.
type Templates struct {
	Inbound string `json:"inbound"`
	Mesh    string `json:"mesh"`
}

// Rewrite says which ports of a Service lead to sidecars.
type Rewrite struct {
	Ports []int `json:"ports"`
}

// Mesh is #Mesh of cue/schema.
type Mesh struct {
	Interception string   `json:"interception"`
	TLS          string   `json:"tls"`
	Port         int      `json:"port"`
	OtherPort    int      `json:"otherPort"`
	Host         string   `json:"host"`
	Group        string   `json:"group"`
	Callers      []string `json:"callers"`
}

// Overrides lists annotations by what may be done with them.
type Overrides struct {
	Allowed []string `json:"allowed"`
	Denied  []string `json:"denied"`
}

// Set is a value that policy puts into a definition.
type Set struct {
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
	ID    string          `json:"id"`
	Msg   string          `json:"msg"`
}

// Reason is #Reason of cue/schema.
type Reason struct {
	ID    string `json:"id"`
	Msg   string `json:"msg"`
	Field string `json:"field,omitempty"`
	Fix   string `json:"fix,omitempty"`
	Rule  string `json:"rule,omitempty"`
}

// Verdict is #Verdict of cue/schema.
type Verdict struct {
	Reasons  []Reason `json:"reasons"`
	Warnings []Reason `json:"warnings"`
}

// Fault is a policy that could not be evaluated.
type Fault struct {
	// File, Line and Column of the rule, where OPA knows them.
	File         string
	Line, Column int
	Message      string
}

func (f *Fault) Error() string {
	if f.File == "" {
		return f.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Decide evaluates data.cuegate.decision. facts are #Facts. Rules that fired are returned by their label `id` when trace is set. The error is a
// *Fault, or that of the context.
func (r *Rules) Decide(ctx context.Context, facts Input, trace bool) (Decision, []string, error) {
	var d Decision
	fired, err := evaluate(ctx, r.decision, facts, trace, r.uses, &d)
	if err != nil {
		return Decision{}, fired, err
	}
	if f := incomplete("data.cuegate.decision", d.Reasons, d.Warnings); f != nil {
		return Decision{}, fired, f
	}
	switch {
	case d.Outcome == Manage && (d.Template != "" || d.isMesh() || d.isRewrite()) && len(d.Overrides.Denied) == 0:
	case d.Outcome == Ignore, d.Outcome == Refuse:
		if len(d.Reasons) == 0 {
			return Decision{}, fired, &Fault{Message: "data.cuegate.decision gives no reason for the outcome " + d.Outcome}
		}
	default:
		return Decision{}, fired, &Fault{Message: "data.cuegate.decision is neither manage with a template, nor ignore, nor refuse"}
	}
	return d, fired, nil
}

// isMesh tells whether the decision is a whole one about a workload.
func (d Decision) isMesh() bool {
	m, t := d.Mesh, d.Templates
	return m != nil && t != nil && t.Inbound != "" && t.Mesh != "" && isPort(m.Port) && isPort(m.OtherPort) && m.Host != "" && m.Group != "" &&
		(m.Interception == "none" || m.Interception == "iptables") && (m.TLS == "off" || m.TLS == "tls" || m.TLS == "mtls")
}

func isPort(n int) bool { return n > 0 && n < 65536 }

// isRewrite tells whether the decision is a whole one about a Service.
func (d Decision) isRewrite() bool {
	return d.Rewrite != nil && len(d.Rewrite.Ports) > 0
}

// Judge evaluates data.cuegate.verdict; facts holds the definitions as well.
func (r *Rules) Judge(ctx context.Context, facts Input, trace bool) (Verdict, []string, error) {
	var v Verdict
	fired, err := evaluate(ctx, r.verdict, facts, trace, r.uses, &v)
	if err != nil {
		return Verdict{}, fired, err
	}
	if f := incomplete("data.cuegate.verdict", v.Reasons, v.Warnings); f != nil {
		return Verdict{}, fired, f
	}
	return v, fired, nil
}

// incomplete finds a reason that would tell nobody anything.
func incomplete(question string, lists ...[]Reason) error {
	for _, r := range slices.Concat(lists...) {
		if r.ID == "" || r.Msg == "" {
			return &Fault{Message: fmt.Sprintf("%s has a reason without id or msg (id %q, msg %q)", question, r.ID, r.Msg)}
		}
	}
	return nil
}

func evaluate(ctx context.Context, q rego.PreparedEvalQuery, facts Input, trace bool, uses *Uses, answer any) ([]string, error) {
	cancel := topdown.NewCancel()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	opts := []rego.EvalOption{rego.EvalParsedInput(facts.value), rego.EvalExternalCancel(cancel)}
	var tracker *topdown.EvaluatedRuleTracker
	if trace {
		tracker = &topdown.EvaluatedRuleTracker{}
		opts = append(opts, rego.EvalEvaluatedRuleTracker(tracker))
	}
	if uses != nil {
		opts = append(opts, rego.EvalQueryTracer(uses))
	}
	rs, err := q.Eval(ctx, opts...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fault(err)
	}
	if len(rs) != 1 || len(rs[0].Expressions) != 1 {
		return nil, &Fault{Message: "the policy gives no answer"}
	}
	raw, err := json.Marshal(rs[0].Expressions[0].Value)
	if err != nil {
		return nil, &Fault{Message: err.Error()}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(answer); err != nil {
		return nil, &Fault{Message: "the policy's answer is not of the expected form: " + err.Error()}
	}
	return labels(tracker), nil
}

func labels(t *topdown.EvaluatedRuleTracker) []string {
	if t == nil {
		return nil
	}
	var ids []string
	for _, l := range t.Labels {
		if id, ok := l["id"].(string); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func fault(err error) *Fault {
	var e *topdown.Error
	if !errors.As(err, &e) {
		return &Fault{Message: err.Error()}
	}
	f := &Fault{Message: strings.Join(strings.Fields(e.Message), " ")}
	if e.Location != nil {
		f.File, f.Line, f.Column = e.Location.File, e.Location.Row, e.Location.Col
	}
	return f
}
