package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/bundletest"
	"github.com/cuegate/cuegate/engine"
	bundles "github.com/cuegate/cuegate/engine/bundletest"
)

// testFlags are those of test.
type testFlags struct {
	run, junit                string
	update, verbose           bool
	coverage, builtin, mutate bool
	least                     float64
	mutants                   int
}

func newTest() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Run the tests of a bundle: Rego tests, and stories of objects and what becomes of them",
		Long: `Test runs the tests of the bundle in DIR, which is the working directory where it is
left out:

  policies/**/*_test.rego   Rego tests, which see the rules and settings of the bundle,
                            those that are built in, and data.cuegate.testing
  tests/**/*.txtar          stories: objects in, what is wanted of them out

A story is a txtar archive. Its comment says what it is about; *.yaml, *.yml and *.json
are manifests, and config.yaml is what --config would name. What is wanted is in

  want                          what becomes of every object, then its definitions and
                                patches as render prints them
  want/outcome                  the same without definitions and patches
  want/explain OBJECT [FIELD]   what explain tells of an object

Only what is there is compared. --update writes down what is, and adds want where a
story wants nothing. Digests are written as "...", so that a change of the bundle does
not change every story.

--coverage tells which rules, templates and branches of templates no test has used.
--mutate changes the rules and templates one thing at a time, and tells which changes
no test notices.

It exits with 1 when a test fails, coverage is too low or a change goes unnoticed, and
with 2 for wrong usage or a broken bundle.`,
		Example: `  cuegate test
  cuegate test --coverage --mutate examples/04-policy/bundle
  cuegate test --run tests/partner --update bundle`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			t, err := f.load(cmd, dir)
			if err != nil {
				return err
			}
			return t.test(cmd.Context())
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.run, "run", "", "run only tests whose names match the regular expression, e.g. tests/partner or guard_test.test_")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "name the tests that pass as well, and print what they print")
	fl.BoolVar(&f.update, "update", false, "rewrite what stories want with what is")
	fl.StringVar(&f.junit, "junit", "", "write the results into a file, in the format of JUnit")
	fl.BoolVar(&f.coverage, "coverage", false, "tell which rules, templates and branches of templates no test has used")
	fl.Float64Var(&f.least, "coverage-min", 0, "fail when less than this is covered, in percent; implies --coverage")
	fl.BoolVar(&f.builtin, "builtin", false, "count what is built in as covered or not, too")
	fl.BoolVar(&f.mutate, "mutate", false, "change rules and templates one thing at a time, and tell what no test notices")
	fl.IntVar(&f.mutants, "mutants", 200, "how many changes to try at most; 0 tries all")
	_ = cmd.MarkFlagFilename("junit", "xml")
	return cmd
}

// trial is one run of test.
type trial struct {
	testFlags
	dir         string
	out, errOut io.Writer
	suite       bundletest.Suite
}

func (f testFlags) load(cmd *cobra.Command, dir string) (*trial, error) {
	t := &trial{testFlags: f, dir: dir, out: cmd.OutOrStdout(), errOut: cmd.ErrOrStderr()}
	switch {
	case f.least < 0 || f.least > 100:
		return nil, fmt.Errorf("--coverage-min %g is not a percentage", f.least)
	case f.mutants < 0:
		return nil, fmt.Errorf("--mutants %d is less than none", f.mutants)
	case f.update && f.mutate:
		return nil, errors.New("--update writes down what is, and --mutate asks whether that is right: one after the other")
	case f.run != "" && (f.mutate || f.least > 0):
		return nil, errors.New("with --run most rules would seem untested: leave it out, or --mutate and --coverage-min")
	}
	t.coverage = t.coverage || cmd.Flags().Changed("coverage-min")
	s := &t.suite
	s.Builtin, s.Operator, s.Ask = cuegate.Builtin(), os.DirFS(dir), ask
	var err error
	if f.run != "" {
		if s.Match, err = regexp.Compile(f.run); err != nil {
			return nil, fmt.Errorf("--run: %w", err)
		}
	}
	if s.Bundle, err = loadBundle(cmd.Context(), dir); err != nil {
		return nil, err
	}
	if s.Stories, err = bundletest.Stories(s.Operator); err != nil {
		return nil, err
	}
	strays, err := bundletest.Strays(s.Operator)
	if err != nil {
		return nil, err
	}
	for _, name := range strays {
		fmt.Fprintf(t.errOut, "warning: %s is not run: stories are in the folder tests\n", printable(name))
	}
	return t, nil
}

func (t *trial) test(ctx context.Context) error {
	var c *bundles.Coverage
	if t.coverage {
		c = bundles.NewCoverage()
	}
	results, err := t.suite.Run(ctx, c)
	if err != nil {
		return brokenTests(err)
	}
	if t.update {
		if results, err = t.rewrite(results); err != nil {
			return err
		}
	}
	if t.junit != "" {
		if err := t.writeJUnit(results); err != nil {
			return err
		}
	}
	if len(results) == 0 && t.run != "" {
		return &exitError{code: exitRefused, message: fmt.Sprintf("no test has a name that matches %s", t.run)}
	}
	failed := t.report(results)
	var coverageErr, mutateErr error
	if t.coverage {
		if coverageErr, err = t.reportCoverage(c); err != nil {
			return err
		}
	}
	if t.mutate && failed == 0 {
		if mutateErr, err = t.reportMutants(ctx); err != nil {
			return err
		}
	}
	switch {
	case failed > 0:
		message := fmt.Sprintf("%d of %s failed", failed, count(len(results), "test"))
		if t.mutate {
			message += "; changes are tried when all tests pass"
		}
		return &exitError{code: exitRefused, message: message}
	case coverageErr != nil:
		return coverageErr
	}
	return mutateErr
}

// brokenTests says that tests do not compile.
func brokenTests(err error) error {
	var broken *engine.BundleError
	if errors.As(err, &broken) {
		return fmt.Errorf("the tests are broken:\n%w", err)
	}
	return err
}

// rewrite rewrites stories that differ, and gives the results as they are then.
func (t *trial) rewrite(results []bundletest.Result) ([]bundletest.Result, error) {
	updates := bundletest.Updates(results)
	for _, name := range sortedNames(updates) {
		if err := os.WriteFile(filepath.Join(t.dir, filepath.FromSlash(name)), updates[name], 0o644); err != nil {
			return nil, err
		}
		fmt.Fprintf(t.out, "updated %s\n", printable(name))
	}
	for i, r := range results {
		if updates[r.File] != nil {
			results[i] = r.Updated()
		}
	}
	return results, nil
}

func sortedNames(m map[string][]byte) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (t *trial) writeJUnit(results []bundletest.Result) error {
	var b bytes.Buffer
	if err := bundletest.WriteJUnit(&b, results); err != nil {
		return err
	}
	return os.WriteFile(t.junit, b.Bytes(), 0o644)
}
