package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// rendered is a route with its definition, before the last checks.
type rendered struct {
	route route
	doc   map[string]any
	// origins of the leaves; nil unless traced.
	origins map[string]template.Origin
	// secured are the fields that the mesh wrote, whatever the template says.
	secured map[string]bool
}

// render renders the template of every route, with what annotations and policies
// set.
func (w *walk) render(d *draft, decision policy.Decision) ([]rendered, error) {
	if err := w.checkSets(decision.Set); err != nil {
		return nil, err
	}
	w.effects(d.overrides, decision.Set)
	var all []rendered
	for _, r := range d.routes {
		x, err := w.renderRoute(d, r, decision)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

func (w *walk) renderRoute(d *draft, r route, decision policy.Decision) (rendered, error) {
	templates := w.engine.bundle.templates
	var values []byte
	overrides := d.overridesOf(r.facts.Role)
	if len(overrides)+len(decision.Set) > 0 {
		var err error
		values, err = w.engine.values(overrides, decision.Set, func() ([]byte, error) {
			plain, err := templates.Render(r.template, r.in, nil)
			return plain.JSON, err
		})
		if err != nil {
			return rendered{}, w.templateError(d, r, decision, err)
		}
	}
	out, err := templates.Render(r.template, r.in, values)
	if err != nil {
		return rendered{}, w.templateError(d, r, decision, err)
	}
	doc, err := out.Document()
	if err != nil {
		return rendered{}, w.templateError(d, r, decision, err)
	}
	x := rendered{route: r, doc: doc}
	if w.trace {
		x.origins = out.Origins()
	}
	return x, nil
}

// templateError finds out who must change something: the author of an annotation
// that contradicts what the template fixes, of a route that the template does not
// want, or of the template.
func (w *walk) templateError(d *draft, r route, decision policy.Decision, err error) error {
	name := r.template
	var f *template.Fault
	if !errors.As(err, &f) {
		return w.broken("render", Reason{ID: "template-failed", Field: r.facts.Field, Msg: fmt.Sprintf("The template %s failed: %s.", name, err)})
	}
	if f.Author {
		return w.refuse("render", Reason{ID: "template-errors", Field: r.facts.Field, Msg: fmt.Sprintf("The template %s refuses the route: %s.", name, f.Message)})
	}
	place := ""
	if len(f.Positions) > 0 {
		place = " (" + f.Positions[0].String() + ")"
		place = strings.Replace(place, ": )", ")", 1)
	}
	path := schema.Join(f.Path)
	for _, o := range d.overridesOf(r.facts.Role) {
		if len(f.Path) > 0 && covered(f.Path, o.path) {
			return w.refuse("render", Reason{ID: "override-fixed", Field: o.field(),
				Msg: fmt.Sprintf("The annotation contradicts the template %s, which fixes %s%s.", name, path, place),
				Fix: "Remove the annotation, or ask for a template that leaves the field open."})
		}
	}
	for _, s := range decision.Set {
		if len(f.Path) > 0 && covered(f.Path, splitPath(s.Path)) {
			return w.broken("render", Reason{ID: "policy-set-fixed", Rule: s.ID,
				Msg: fmt.Sprintf("The policy %s sets %s, which the template %s fixes%s.", s.ID, path, name, place)})
		}
	}
	return w.broken("render", Reason{ID: "template-failed", Field: r.facts.Field,
		Msg: fmt.Sprintf("The template %s gives no definition: %s%s.", name, f, place)})
}

// covered tells whether one of the paths leads to or through the other.
func covered(a, b []string) bool {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// checkSets holds the values of policies to the same rules as annotations.
func (w *walk) checkSets(sets []policy.Set) error {
	for _, s := range sets {
		msg := checkSet(w.engine.bundle.definition, s.Path, parseJSON(string(s.Value)))
		if msg != "" {
			return w.broken("render", Reason{ID: "policy-set-invalid", Rule: s.ID, Msg: fmt.Sprintf("The policy %s sets a value that cannot be: %s.", s.ID, msg)})
		}
	}
	return nil
}

// effects notes which annotations and policies take effect.
func (w *walk) effects(overrides []override, sets []policy.Set) {
	for _, o := range overrides {
		winner := ""
		for _, s := range sets {
			if covered(o.path, splitPath(s.Path)) {
				winner = s.ID
			}
		}
		path := schema.Join(o.path)
		if winner != "" {
			w.warn("override", Reason{ID: "override-without-effect", Field: o.field(), Rule: winner,
				Msg: fmt.Sprintf("The policy %s sets %s, so the annotation has no effect there.", winner, path)})
			continue
		}
		if w.trace {
			w.step("override", Reason{ID: "override-applied", Field: o.field(), Msg: fmt.Sprintf("Sets %s.", path)})
		}
	}
	for _, s := range sets {
		w.step("override", Reason{ID: "policy-set", Rule: s.ID, Msg: fmt.Sprintf("The policy %s sets %s: %s", s.ID, s.Path, s.Msg)})
	}
}
