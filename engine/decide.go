package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/cuegate/cuegate/engine/internal/policy"
)

// walk is one object's way through the stages.
type walk struct {
	engine      *Engine
	trace       bool
	desired     Desired
	explanation Explanation
}

// end gives the answer; an error makes the object held.
func (w *walk) end(err error) (Desired, Explanation, error) {
	var refused *Refused
	var broken *Broken
	switch {
	case errors.As(err, &refused):
		w.hold(refused.Reasons)
	case errors.As(err, &broken):
		w.hold(broken.Reasons)
	case err != nil:
		w.hold([]Reason{{ID: "interrupted", Msg: "The decision was interrupted."}})
	}
	w.explanation.Outcome = w.desired.Outcome
	w.explanation.Reasons = w.desired.Reasons
	return w.desired, w.explanation, err
}

func (w *walk) hold(reasons []Reason) {
	w.desired.Outcome, w.desired.Reasons = Held, reasons
	w.desired.Definitions, w.desired.Certificates = nil, nil
	w.desired.Service = nil
	w.explanation.Definitions = nil
}

func (w *walk) ignore(reasons ...Reason) {
	w.desired.Outcome, w.desired.Reasons = Ignored, reasons
	w.step("own", reasons...)
}

func (w *walk) refuse(stage string, reasons ...Reason) error {
	w.step(stage, reasons...)
	return &Refused{Object: w.desired.Object, Reasons: reasons}
}

func (w *walk) broken(stage string, reasons ...Reason) error {
	w.step(stage, reasons...)
	return &Broken{Object: w.desired.Object, Reasons: reasons}
}

func (w *walk) warn(stage string, warnings ...Reason) {
	w.desired.Warnings = append(w.desired.Warnings, warnings...)
	w.step(stage, warnings...)
}

// gathered notes the facts.
func (w *walk) gathered(d *draft, invalid []Reason) {
	w.desired.Created = d.facts.Object.Created
	if w.trace {
		shown := d.facts
		shown.Object.Annotations = withoutValues(shown.Object.Annotations)
		shown.Overrides = withoutStrings(shown.Overrides)
		w.explanation.Facts = &shown
	}
	w.step("facts", invalid...)
}

// decision asks Rego.
func (w *walk) decision(ctx context.Context, d *draft) (policy.Decision, error) {
	var err error
	if d.input, err = w.engine.bundle.rules.NewInput(d.facts); err != nil {
		return policy.Decision{}, w.broken("decide", Reason{ID: "facts-broken", Msg: err.Error()})
	}
	decision, fired, err := w.engine.bundle.rules.Decide(ctx, d.input, w.trace)
	w.fired(fired)
	return decision, w.policyError(ctx, err)
}

// policyError says of an evaluation that failed where and why. The object is held.
func (w *walk) policyError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.broken("decide", Reason{ID: "policy-failed", Msg: fmt.Sprintf("The policies could not be evaluated: %s.", err)})
}

// settle acts on the decision. The walk goes on only with an object that is ours,
// not refused, and not invalid.
func (w *walk) settle(d *draft, decision policy.Decision, invalid []Reason) (stop bool, err error) {
	if decision.Outcome == policy.Ignore {
		w.ignore(decision.Reasons...)
		w.warn("own", decision.Warnings...)
		return true, nil
	}
	w.warn("facts", d.warnings...)
	w.warn("decide", decision.Warnings...)
	unlike, err := w.unlike(d)
	if err != nil {
		return true, err
	}
	invalid = append(invalid, unlike...)
	if decision.Outcome == policy.Refuse {
		return true, w.refuse("decide", append(invalid, decision.Reasons...)...)
	}
	if len(invalid) > 0 {
		return true, &Refused{Object: w.desired.Object, Reasons: invalid}
	}
	if err := w.checkAllowed(d, decision); err != nil {
		return true, err
	}
	return false, nil
}

func (w *walk) managed(templates string) {
	w.desired.Template, w.explanation.Template = templates, templates
	w.step("decide", Reason{ID: "managed", Msg: fmt.Sprintf("The object is ours; its template is %s.", templates)})
}

// checkAllowed holds policies to their word: every override is either allowed or
// the object is refused.
func (w *walk) checkAllowed(d *draft, decision policy.Decision) error {
	allowed := map[string]bool{}
	for _, k := range decision.Overrides.Allowed {
		allowed[k] = true
	}
	for _, o := range d.facts.Overrides {
		if !allowed[o.Key] {
			return w.broken("decide", Reason{ID: "override-undecided", Field: "metadata.annotations[" + o.Key + "]",
				Msg: "The policies neither allow nor deny the annotation."})
		}
	}
	return nil
}

func (w *walk) fired(rules []string) {
	w.explanation.Rules = append(w.explanation.Rules, rules...)
}
