// Package policy hides OPA: the rules of a bundle are loaded once and evaluated
// many times. What the rules answer is said in cue/schema/decision.cue.
package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Rules are the policies of one bundle, compiled. They are safe for concurrent use.
type Rules struct {
	decision rego.PreparedEvalQuery
	verdict  rego.PreparedEvalQuery
}

// Source is a tree of policies: *.rego, and data in files called data.yaml,
// data.yml or data.json. As with opa, the folder of a data file is its path
// below `data`, and files *_test.rego are left out.
type Source struct {
	// FS holds the tree at its root.
	FS fs.FS
	// Name is put before the names of files in problems, e.g. "policies".
	Name string
}

// Load compiles the policies of several sources as one. Data of a later source
// is merged over that of an earlier one: objects key by key, anything else as a
// whole. input is the JSON Schema that types `input`. Problems come all at once.
func Load(ctx context.Context, input any, sources ...Source) (*Rules, []problem.Problem) {
	modules := map[string]*ast.Module{}
	data := map[string]any{}
	var ps []problem.Problem
	for _, src := range sources {
		ps = append(ps, src.read(modules, data)...)
	}
	capabilities := pure()
	if impure := findImpure(modules); len(impure) > 0 {
		// They are reported; the compiler shall find what else is wrong.
		ps = append(ps, impure...)
		capabilities = ast.CapabilitiesForThisVersion()
	}
	types := ast.NewSchemaSet()
	types.Put(ast.SchemaRootRef, input)
	compiler := ast.NewCompiler().
		WithCapabilities(capabilities).
		WithSchemas(types).
		WithStrict(true).
		SetErrorLimit(0)
	compiler.Compile(modules)
	if compiler.Failed() {
		ps = append(ps, problems(compiler.Errors)...)
	}
	if len(ps) > 0 {
		return nil, problem.Sort(ps)
	}
	var r Rules
	for query, target := range map[string]*rego.PreparedEvalQuery{
		"data.cuegate.decision": &r.decision,
		"data.cuegate.verdict":  &r.verdict,
	} {
		prepared, err := rego.New(
			rego.Query(query),
			rego.Compiler(compiler),
			rego.Store(inmem.NewFromObjectWithOpts(data, inmem.OptRoundTripOnWrite(false))),
			rego.StrictBuiltinErrors(true),
		).PrepareForEval(ctx)
		if err != nil {
			return nil, problems(err)
		}
		*target = prepared
	}
	return &r, nil
}

// read adds the files of a source to modules and data.
func (src Source) read(modules map[string]*ast.Module, data map[string]any) []problem.Problem {
	var ps []problem.Problem
	err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		full := path.Join(src.Name, name)
		switch {
		case strings.HasSuffix(name, "_test.rego"):
		case path.Ext(name) == ".rego":
			text, err := fs.ReadFile(src.FS, name)
			if err != nil {
				return err
			}
			// Without this an operator's file could silently stand in for one of ours.
			for i := 2; modules[full] != nil; i++ {
				full = fmt.Sprintf("%s (%d)", path.Join(src.Name, name), i)
			}
			m, err := ast.ParseModuleWithOpts(full, string(text), ast.ParserOptions{
				ProcessAnnotation: true,
			})
			if err != nil {
				ps = append(ps, problems(err)...)
				return nil
			}
			modules[full] = m
		case slices.Contains([]string{"data.yaml", "data.yml", "data.json"}, path.Base(name)):
			text, err := fs.ReadFile(src.FS, name)
			if err != nil {
				return err
			}
			if p := addData(data, path.Dir(name), text); p != nil {
				p.File = full
				ps = append(ps, *p)
			}
		}
		return nil
	})
	if err != nil {
		ps = append(ps, problem.Problem{File: src.Name, Message: err.Error()})
	}
	return ps
}

// addData merges a data file into data, below the path of its folder.
func addData(data map[string]any, dir string, text []byte) *problem.Problem {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return &problem.Problem{Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var content any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&content); err != nil {
		return &problem.Problem{Message: err.Error()}
	}
	object, ok := content.(map[string]any)
	if !ok {
		return &problem.Problem{Message: "data must be an object"}
	}
	if dir != "." {
		parts := strings.Split(dir, "/")
		for _, part := range slices.Backward(parts) {
			object = map[string]any{part: object}
		}
	}
	merge(data, object)
	return nil
}

func merge(into, from map[string]any) {
	for k, v := range from {
		a, aok := into[k].(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merge(a, b)
		} else {
			into[k] = v
		}
	}
}

// pure returns the capabilities of OPA without any built-in that reaches the
// network or may answer differently the next time.
func pure() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.AllowNet = []string{}
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool {
		return b.IsNondeterministic()
	})
	return c
}

// findImpure reports calls of built-ins that pure leaves out.
func findImpure(modules map[string]*ast.Module) []problem.Problem {
	var ps []problem.Problem
	for _, m := range modules {
		ast.WalkTerms(m, func(t *ast.Term) bool {
			ref, ok := t.Value.(ast.Ref)
			if !ok {
				return false
			}
			if b := ast.BuiltinMap[ref.String()]; b != nil && b.IsNondeterministic() {
				ps = append(ps, problem.Problem{
					File: t.Location.File, Line: t.Location.Row, Column: t.Location.Col,
					Message: fmt.Sprintf("%s does not exist here: a policy must give the same answer every time and reach no network", b.Name),
				})
			}
			return false
		})
	}
	return ps
}

// problems turns errors of OPA into problems.
func problems(err error) []problem.Problem {
	var list ast.Errors
	if !errors.As(err, &list) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return []problem.Problem{{Message: err.Error()}}
		}
		list = ast.Errors{one}
	}
	var ps []problem.Problem
	for _, e := range list {
		p := problem.Problem{Message: e.Message}
		if e.Location != nil {
			p.File, p.Line, p.Column = e.Location.File, e.Location.Row, e.Location.Col
		}
		if e.Details != nil {
			if lines := e.Details.Lines(); len(lines) > 0 {
				p.Message += "\n  " + strings.Join(lines, "\n  ")
			}
		}
		ps = append(ps, p)
	}
	return problem.Sort(ps)
}
