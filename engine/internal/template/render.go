// Package template hides CUE: a bundle's templates are compiled once and
// rendered many times. What a template is, is said in cue/template.
package template

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	cuejson "cuelang.org/go/encoding/json"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

var (
	pathIn     = cue.ParsePath("in")
	pathAPI    = cue.ParsePath("api")
	pathErrors = cue.ParsePath("errors")
)

// Fault says why a template gave no definition.
type Fault struct {
	// Path of the field in the definition, by its keys; empty for the whole.
	Path []string
	// Message is what CUE or the template says.
	Message string
	// Positions in the template, most useful first.
	Positions []problem.Problem
	// Author is set when the template itself refuses the route by its `errors`.
	Author bool
}

func (f *Fault) Error() string {
	if len(f.Path) == 0 {
		return f.Message
	}
	return strings.Join(f.Path, ".") + ": " + f.Message
}

// Rendered is the outcome of one rendering.
type Rendered struct {
	// JSON is the definition, in no defined order of keys.
	JSON []byte
	set  *Set
	// What CUE evaluated. Where CUE was not asked, the rest is there instead.
	whole  cue.Value
	hidden keys

	skeleton *skeleton
	atoms    []string
	// again renders the same with CUE.
	again func() (Rendered, error)
}

// Document is the definition, decoded as encoding/json does with UseNumber. The
// caller may change it.
func (r Rendered) Document() (map[string]any, error) {
	if r.skeleton != nil {
		return r.skeleton.document(r.atoms), nil
	}
	return decode(r.JSON)
}

// Render renders the template for one route and unifies the result with values,
// a JSON object of what annotations and policies set, or nil. It fails with a
// *Fault: the first thing that is wrong.
func (s *Set) Render(name string, in In, values []byte) (Rendered, error) {
	in = s.limited(in)
	s.uses.note(name, in, values)
	evaluate := func() (Rendered, error) { return s.evaluate(name, route{in: in, values: values}) }
	if s.plain != nil {
		if r, err, ok := s.plain.render(name, in, values, evaluate); ok {
			r.again = evaluate
			return r, err
		}
	}
	return evaluate()
}

// evaluate renders with CUE.
func (s *Set) evaluate(name string, r route) (Rendered, error) {
	t, ok := s.templates[name]
	if !ok {
		return Rendered{}, &Fault{Message: fmt.Sprintf("no template %q", name)}
	}
	v := t.FillPath(pathIn, s.ctx.Encode(r.in))
	for n, x := range r.derived {
		v = v.FillPath(derivedPath(n), s.ctx.Encode(x))
	}
	var hidden keys
	if values := r.values; values != nil {
		// CUE's scanner takes a byte order mark nowhere but at the beginning.
		values = bytes.ReplaceAll(values, []byte("\ufeff"), []byte(`\ufeff`))
		expr, err := cuejson.Extract("values", values)
		if err != nil {
			return Rendered{}, &Fault{Message: err.Error()}
		}
		if !s.tellsKeys {
			hidden = s.hide(expr)
		}
		v = v.FillPath(pathAPI, s.ctx.BuildExpr(expr))
	}
	api := v.LookupPath(pathAPI)
	data, err := api.MarshalJSON()
	if err != nil {
		return Rendered{}, fault(api, err, hidden)
	}
	if err := authorErrors(v, hidden); err != nil {
		return Rendered{}, err
	}
	return Rendered{JSON: hidden.revealJSON(data), set: s, whole: v, hidden: hidden}, nil
}

// authorErrors reports what the template's own `errors` says.
func authorErrors(v cue.Value, hidden keys) error {
	if !hasErrors(v) {
		return nil
	}
	list := v.LookupPath(pathErrors)
	// Decode takes a list that cannot be evaluated for an empty one.
	if err := list.Validate(cue.Concrete(true)); err != nil {
		return fault(list, err, hidden)
	}
	var texts []string
	if err := list.Decode(&texts); err != nil {
		return fault(list, err, hidden)
	}
	if len(texts) > 0 {
		return &Fault{Message: hidden.reveal(strings.Join(texts, "; ")), Author: true}
	}
	return nil
}

// hasErrors tells whether the template has `errors`. A list that cannot be evaluated
// is one, though CUE says of it that it does not exist.
func hasErrors(v cue.Value) bool {
	it, err := v.Fields()
	for err == nil && it.Next() {
		if it.Selector().String() == "errors" {
			return true
		}
	}
	return err != nil
}

// fault finds the cause of an error: validating again gives positions and paths
// that marshalling does not.
func fault(v cue.Value, err error, hidden keys) *Fault {
	if better := v.Validate(cue.Concrete(true)); better != nil {
		err = better
	}
	all := errors.Errors(errors.Sanitize(errors.Promote(err, "")))
	e := all[0]
	// "empty disjunction" merely announces the conflicts that follow it.
	for _, other := range all[1:] {
		if format, _ := e.Msg(); !strings.Contains(format, "empty disjunction") {
			break
		}
		e = other
	}
	f := &Fault{}
	f.Message = hidden.reveal(message(e))
	at := e.Path()
	for i, part := range at {
		if part == "api" {
			for _, label := range at[i+1:] {
				if key, err := literal.Unquote(label); err == nil {
					label = key
				}
				f.Path = append(f.Path, hidden.reveal(label))
			}
			break
		}
	}
	for _, pos := range e.InputPositions() {
		if p := position(pos); p.File != "" && p.File != "values" {
			f.Positions = append(f.Positions, p)
		}
	}
	slices.SortStableFunc(f.Positions, func(a, b problem.Problem) int { return rank(b) - rank(a) })
	return f
}
