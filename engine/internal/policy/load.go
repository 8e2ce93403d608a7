// Package policy hides OPA: the rules of a bundle are loaded once and evaluated
// many times. What the rules answer is said in cue/schema/decision.cue.
package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// Rules are the policies of one bundle, compiled. They are safe for concurrent use.
type Rules struct {
	decision rego.PreparedEvalQuery
	verdict  rego.PreparedEvalQuery
	writer   writer
	// What they were made from, for tests of them.
	files   files
	sources []Source
	types   Types
	// uses notes what is evaluated; it may be nil.
	uses *Uses
}

// Source is a tree of policies: *.rego, and data in files called data.yaml,
// data.yml or data.json. As with opa, the folder of a data file is its path
// below `data`, and files *_test.rego are left out.
type Source struct {
	// FS holds the tree at its root.
	FS fs.FS
	// Name is put before the names of files in problems, e.g. "policies".
	Name string
	// Builtin: the source is ours, and its rules may stand there for others to use.
	Builtin bool
}

// Types hold the policies to what there is.
type Types struct {
	// Input is the JSON Schema of `input`, decoded.
	Input any
	// Settings checks `data.settings`, whole.
	Settings func(settings any) []schema.Violation
	// Setting checks a path below `data.settings` that a rule reads.
	Setting func(path []string) *schema.Violation
	// Lenient takes variables and rules that nothing reads: what is left over when a
	// mutant leaves something out.
	Lenient bool
}

// Load compiles the policies of several sources as one. Data of a later source
// is merged over that of an earlier one: objects key by key, anything else as a
// whole. Problems come all at once.
func Load(ctx context.Context, types Types, sources ...Source) (*Rules, []problem.Problem) {
	f := files{modules: map[string]*ast.Module{}, builtin: map[*ast.Module]bool{}, data: map[string]any{}}
	var ps []problem.Problem
	for _, src := range sources {
		ps = append(ps, f.read(src)...)
	}
	ps = append(ps, f.checkData(types)...)
	modules, data := f.modules, f.data
	capabilities := pure()
	if impure := findImpure(modules); len(impure) > 0 {
		// They are reported; the compiler shall find what else is wrong.
		ps = append(ps, impure...)
		capabilities = ast.CapabilitiesForThisVersion()
	}
	compiler := newCompiler(capabilities, types)
	compiler.Compile(modules)
	if compiler.Failed() {
		ps = append(ps, problems(compiler.Errors)...)
	} else if !types.Lenient {
		ps = append(ps, f.checkRules(compiler, types)...)
	}
	if len(ps) > 0 {
		return nil, problem.Sort(ps)
	}
	r := Rules{files: f, sources: sources, types: types}
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

func newCompiler(capabilities *ast.Capabilities, types Types) *ast.Compiler {
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, types.Input)
	return ast.NewCompiler().
		WithCapabilities(capabilities).
		WithSchemas(schemas).
		WithStrict(!types.Lenient).
		SetErrorLimit(0)
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
		p := problem.Problem{Message: reword(e)}
		if e.Location != nil {
			p.File, p.Line, p.Column = e.Location.File, e.Location.Row, e.Location.Col
		}
		ps = append(ps, p)
	}
	return problem.Sort(ps)
}
