package migrate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate/engine"
)

// Proof is what came of running a template and its conversion on the same inputs.
type Proof struct {
	Template string
	// Compared are the inputs on which the original gives JSON; of Equal the conversion
	// gives the same.
	Compared, Equal int
	// Silent are inputs on which the original gives none.
	Silent int
	// Difference is the first one, in words.
	Difference string
	// Settable counts values that an annotation can change, Fixed names those it cannot.
	Settable int
	Fixed    []string
	// Hostile are inputs with quotes, backslashes, line breaks and JSON in their values;
	// of Corrupted the original makes something else than it should, or no JSON. Of
	// these the conversion says what it should, refuses the route, or nobody can tell.
	Hostile, Corrupted, Right, Refused, Unjudged int
	// Example is one of the corrupted, in words.
	Example string
	// Problems are those that `vet` has with the conversion.
	Problems []string
}

// Good tells whether nothing is left to look at.
func (p *Proof) Good(wanted int) bool {
	return p.Compared >= wanted && p.Equal == p.Compared && len(p.Fixed) == 0 && len(p.Problems) == 0 && p.Right+p.Refused+p.Unjudged == p.Corrupted
}

// Prove compares every complete template with its original on so many inputs. builtin
// is the built-in bundle.
func (c *Conversion) Prove(ctx context.Context, builtin fs.FS, inputs int) ([]*Proof, error) {
	var complete []Template
	for _, t := range c.Templates {
		if t.Complete {
			complete = append(complete, t)
		}
	}
	bundles, problems, err := load(ctx, builtin, complete)
	if err != nil {
		return nil, err
	}
	var all []*Proof
	for _, t := range complete {
		p := &Proof{Template: t.Name, Problems: problems[t.Name]}
		all = append(all, p)
		b := bundles[t.Name]
		if b == nil {
			continue
		}
		d, err := newDefinition(b, builtin)
		if err != nil {
			return nil, err
		}
		x := &prover{Proof: p, definition: d, sources: c.sources, escapes: t.escapes}
		if x.original, err = c.sources.original(); err != nil {
			p.Problems = append(p.Problems, err.Error())
			continue
		}
		if err := x.prove(ctx, inputs); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// load loads templates together, or one by one where some of them are broken.
func load(ctx context.Context, builtin fs.FS, templates []Template) (map[string]*engine.Bundle, map[string][]string, error) {
	bundles, problems := map[string]*engine.Bundle{}, map[string][]string{}
	if len(templates) == 0 {
		return bundles, problems, nil
	}
	b, found, err := loadSome(ctx, builtin, templates)
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		for _, t := range templates {
			bundles[t.Name] = b
		}
		return bundles, problems, nil
	}
	for _, t := range templates {
		b, found, err := loadSome(ctx, builtin, []Template{t})
		if err != nil {
			return nil, nil, err
		}
		bundles[t.Name] = b
		for _, p := range found {
			problems[t.Name] = append(problems[t.Name], p.String())
		}
	}
	return bundles, problems, nil
}

func loadSome(ctx context.Context, builtin fs.FS, templates []Template) (*engine.Bundle, []engine.Problem, error) {
	operator, err := txtar.FS(Archive(templates))
	if err != nil {
		return nil, nil, err
	}
	b, err := engine.LoadBundle(ctx, builtin, operator)
	var broken *engine.BundleError
	switch {
	case errors.As(err, &broken):
		return nil, broken.Problems, nil
	case err != nil:
		return nil, nil, err
	}
	return b, b.Check(), nil
}

// Archive is the bundle of some templates.
func Archive(templates []Template) *txtar.Archive {
	a := &txtar.Archive{Files: []txtar.File{{Name: "cue.mod/module.cue", Data: []byte(Module)}}}
	for _, t := range templates {
		a.Files = append(a.Files, txtar.File{Name: t.File, Data: t.Text})
	}
	return a
}

// original parses the files as the old controller did. A function that there is not
// fails when it is called, so that the other templates of a file can still be run.
func (all *sources) original() (*template.Template, error) {
	missing := template.FuncMap{}
	for _, d := range all.order {
		eachNode(d.tree.Root, func(n parse.Node) {
			if f, ok := n.(*parse.IdentifierNode); ok && !functions[f.Ident] {
				missing[f.Ident] = func(...any) (any, error) { return nil, errors.New("there is no such function") }
			}
		})
	}
	root := template.New("").Funcs(missing)
	seen := map[*source]bool{}
	for _, d := range all.order {
		if seen[d.src] {
			continue
		}
		seen[d.src] = true
		if _, err := root.New(pathBase(d.src.name)).Parse(d.src.text); err != nil {
			return nil, fmt.Errorf("the original cannot be parsed: %s", parseMessage(err))
		}
	}
	return root, nil
}

func pathBase(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// prover runs one template.
type prover struct {
	*Proof
	*definition
	sources  *sources
	original *template.Template
	escapes  bool
}

// maxTries bounds how many inputs are made for each one that can be compared.
const maxTries = 20

func (p *prover) prove(ctx context.Context, inputs int) error {
	g := newGenerator(p.sources)
	var last engine.TemplateInput
	for tries := 0; p.Compared < inputs && tries < maxTries*inputs; tries++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := g.route()
		want, err := p.old(in)
		if err != nil {
			p.Silent++
			continue
		}
		p.Compared++
		last = in
		got, err := p.new(in, nil)
		if err == nil && reflect.DeepEqual(want, got) {
			p.Equal++
			continue
		}
		if p.Difference == "" {
			p.Difference = describeInput(in) + ": " + describeDifference(want, got, err)
		}
	}
	if p.Compared > 0 {
		p.annotations(last)
		p.attack(g)
	}
	return nil
}

// old gives what the old controller made of a route: the JSON of the template, without
// what its struct had no field for, and without identity.
func (p *prover) old(in engine.TemplateInput) (map[string]any, error) {
	data := map[string]any{}
	for name, v := range p.sources.vars {
		data[name] = v.value(in)
	}
	var b bytes.Buffer
	if err := p.original.ExecuteTemplate(&b, p.Template, data); err != nil {
		return nil, err
	}
	doc, err := decode(b.Bytes())
	if err != nil {
		return nil, err
	}
	return p.known(nil, doc).(map[string]any), nil
}

// new gives what Cuegate makes of it.
func (p *prover) new(in engine.TemplateInput, values []byte) (map[string]any, error) {
	data, err := p.bundle.RenderTemplate(p.Template, in, values)
	if err != nil {
		return nil, err
	}
	doc, err := decode(data)
	if err != nil {
		return nil, err
	}
	return p.known(nil, doc).(map[string]any), nil
}

// annotations tries whether annotations can still set every value.
func (p *prover) annotations(in engine.TemplateInput) {
	doc, err := p.new(in, nil)
	if err != nil {
		return
	}
	changed := p.change(nil, doc).(map[string]any)
	if p.sets(in, changed) {
		p.Settable = countLeaves(changed)
		return
	}
	eachLeaf(nil, changed, func(path []string, v any) {
		only := map[string]any{}
		put(only, path, v)
		got, err := p.new(in, encode(only))
		if err == nil && reflect.DeepEqual(at(got, path), v) {
			p.Settable++
			return
		}
		p.Fixed = append(p.Fixed, dotted(path))
	})
}

func (p *prover) sets(in engine.TemplateInput, values map[string]any) bool {
	got, err := p.new(in, encode(values))
	return err == nil && reflect.DeepEqual(got, values)
}

// change gives another value for every value. A list is one value.
func (p *prover) change(path []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = p.change(append(slices.Clone(path), k), x)
		}
		return out
	case []any:
		if len(v) > 0 {
			return append(slices.Clone(v), v[0])
		}
		elem := append(slices.Clone(path), "0")
		for _, g := range []group{strs, numbers} {
			for _, x := range probes[g] {
				if p.takes(elem, x) {
					return []any{x}
				}
			}
		}
		return []any{map[string]any{}}
	case string:
		return v + "x"
	case bool:
		return !v
	case json.Number:
		if r, ok := rational(v); ok {
			return decimalOf(r.Add(r, big.NewRat(1, 1)))
		}
	}
	return v
}
