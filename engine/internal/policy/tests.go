package policy

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// helpers is the folder of our policies whose files *_test.rego are no tests, but what
// tests are made with.
const helpers = "testing/"

// Test is the outcome of one Rego test.
type Test struct {
	// At is where the test begins, without a message.
	At problem.Problem
	// Name is its path, e.g. "cuegate.guard_test.test_denied".
	Name string
	// Skipped: the test is called todo_test_*.
	Skipped bool
	// Failures say what was not so; none when the test passed.
	Failures []string
	// Output is what it printed.
	Output string
}

// Test runs the Rego tests of the sources that are not built in, with the names that
// match, or all when match is nil. They may use the rules, the data and the built-ins
// that decisions use, and data.cuegate.testing. What was evaluated is noted in u.
//
// Problems come when the tests do not compile.
func (r *Rules) Test(ctx context.Context, match *regexp.Regexp, u *Uses) ([]Test, []problem.Problem) {
	modules, names, ps := r.withTests()
	if len(ps) > 0 {
		return nil, ps
	}
	if len(names) == 0 {
		return nil, nil
	}
	run := testRun{rules: r, modules: modules, store: inmem.NewFromObjectWithOpts(r.files.data, inmem.OptRoundTripOnWrite(false))}
	results, err := run.run(ctx, match, u)
	if err != nil {
		return nil, problems(err)
	}
	var tests []Test
	for _, x := range results {
		if x.Location == nil || !names[x.Location.File] {
			continue
		}
		t := Test{At: at(x.Location, ""), Name: testName(x), Skipped: x.Skip, Output: string(x.Output)}
		if !x.Skip && !x.Pass() {
			if t.Failures, err = run.failures(ctx, x); err != nil {
				return nil, problems(err)
			}
		}
		tests = append(tests, t)
	}
	slices.SortFunc(tests, func(a, b Test) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.Name, b.Name))
	})
	return tests, nil
}

func testName(x *tester.Result) string {
	return strings.TrimPrefix(x.Package, "data.") + "." + x.Name
}

// withTests gives the modules of the rules, the tests, and what these are made with; and
// the names of the files of tests. Helpers in the bundle, which the stock opa needs, take
// the place of ours.
func (r *Rules) withTests() (map[string]*ast.Module, map[string]bool, []problem.Problem) {
	modules, names := maps.Clone(r.files.modules), map[string]bool{}
	ours, theirs := map[string]*ast.Module{}, false
	var ps []problem.Problem
	for _, src := range r.sources {
		err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.rego") || src.Builtin && !strings.HasPrefix(name, helpers) {
				return err
			}
			text, err := fs.ReadFile(src.FS, name)
			if err != nil {
				return err
			}
			full := path.Join(src.Name, name)
			m, err := ast.ParseModuleWithOpts(full, string(text), ast.ParserOptions{ProcessAnnotation: true})
			if err != nil {
				ps = append(ps, problems(err)...)
				return nil
			}
			if src.Builtin {
				ours[full+" (built-in)"] = m
				return nil
			}
			modules[full], names[full] = m, true
			theirs = theirs || m.Package.Path.String() == "data.cuegate.testing"
			ps = append(ps, checkWiths(m, r.types)...)
			return nil
		})
		if err != nil {
			ps = append(ps, problem.Problem{File: src.Name, Message: err.Error()})
		}
	}
	if !theirs {
		maps.Copy(modules, ours)
	}
	if impure := findImpure(modules); len(impure) > 0 {
		ps = append(ps, impure...)
	}
	return modules, names, problem.Sort(ps)
}

// testRun is what tests are run with.
type testRun struct {
	rules   *Rules
	modules map[string]*ast.Module
	store   storage.Store
}

func (t *testRun) runner() *tester.Runner {
	types := t.rules.types
	types.Lenient = true // as opa test is
	return tester.NewRunner().
		SetCompiler(newCompiler(pure(), types).WithEnablePrintStatements(true)).
		SetStore(t.store).
		SetModules(t.modules).
		CapturePrintOutput(true).
		RaiseBuiltinErrors(true)
}

func (t *testRun) run(ctx context.Context, match *regexp.Regexp, u *Uses) ([]*tester.Result, error) {
	runner := t.runner()
	if match != nil {
		runner = runner.Filter(match.String())
	}
	if u != nil {
		runner = runner.SetCoverageQueryTracer(u)
	}
	return t.collect(ctx, runner)
}

func (t *testRun) collect(ctx context.Context, runner *tester.Runner) ([]*tester.Result, error) {
	var results []*tester.Result
	err := storage.Txn(ctx, t.store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		found, err := runner.RunTests(ctx, txn)
		if err != nil {
			return err
		}
		for x := range found {
			results = append(results, x)
		}
		return ctx.Err()
	})
	return results, err
}

// failures runs a test again, with a trace, and gives what was not so.
func (t *testRun) failures(ctx context.Context, failed *tester.Result) ([]string, error) {
	if failed.Error != nil {
		return []string{fault(failed.Error).Error()}, nil
	}
	var texts []string
	for name, sub := range failed.SubResults.Iter {
		if sub.Fail && len(sub.SubResults) == 0 {
			texts = append(texts, fmt.Sprintf("the case %q fails", strings.Join(name, " / ")))
		}
	}
	name := regexp.QuoteMeta("data." + testName(failed))
	results, err := t.collect(ctx, t.runner().EnableTracing(true).Filter("^"+name+"$"))
	if err != nil {
		return nil, err
	}
	for _, x := range results {
		if event := lastFailure(x, failed.Location); event != nil {
			texts = append(texts, describe(event))
		}
	}
	if len(texts) == 0 {
		texts = []string{"the test is not true"}
	}
	return texts, nil
}

// lastFailure finds the last expression in the rule of a test that was not true.
func lastFailure(x *tester.Result, rule *ast.Location) *topdown.Event {
	end := rule.Row + bytes.Count(rule.Text, []byte("\n"))
	for _, event := range slices.Backward(x.Trace) {
		expr, ok := event.Node.(*ast.Expr)
		if event.Op != topdown.FailOp || !ok || expr.Location == nil {
			continue
		}
		if l := expr.Location; l.File == rule.File && l.Row >= rule.Row && l.Row <= end {
			return event
		}
	}
	return nil
}

// describe tells of an expression that was not true, and what its variables were.
func describe(event *topdown.Event) string {
	l := event.Node.(*ast.Expr).Location
	text := fmt.Sprintf("%s:%d: this is not true: %s", l.File, l.Row, l.Text)
	if event.Locals == nil {
		return text
	}
	var values []string
	event.Locals.Iter(func(key, value ast.Value) bool {
		name, ok := key.(ast.Var)
		if !ok {
			return false
		}
		if known, ok := event.LocalMetadata[name]; ok && !strings.HasPrefix(string(known.Name), ast.LocalVarPrefix) {
			values = append(values, fmt.Sprintf("\n  %s is %s", known.Name, shortened(value.String())))
		}
		return false
	})
	slices.Sort(values)
	return text + strings.Join(slices.Compact(values), "")
}

// shortened keeps what fits a line.
func shortened(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:100]) + "..."
	}
	return text
}
