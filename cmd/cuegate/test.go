package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

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

// report prints the results, and gives how many tests failed.
func (t *trial) report(results []bundletest.Result) int {
	p := printer{w: t.out, colour: hasColour(t.out)}
	failed, skipped := 0, 0
	for i := 0; i < len(results); {
		file := results[i].File
		from := i
		bad := 0
		for ; i < len(results) && results[i].File == file; i++ {
			if results[i].Failed() {
				bad++
			}
			if results[i].Skipped {
				skipped++
			}
		}
		failed += bad
		what := ""
		if strings.HasSuffix(file, ".rego") {
			what = "  " + count(i-from, "test")
		}
		if bad == 0 {
			p.printf("%s    %s%s\n", p.paint(32, "ok"), file, what)
		} else {
			p.printf("%s  %s%s\n", p.paint(31, "FAIL"), file, what)
		}
		for _, r := range results[from:i] {
			t.result(&p, r)
		}
	}
	if len(results) == 0 {
		fmt.Fprintln(t.errOut, "warning: the bundle has no tests: neither policies/**/*_test.rego nor tests/*.txtar")
		return 0
	}
	if failed == 0 {
		after := ""
		if skipped > 0 {
			after = fmt.Sprintf(", %d skipped", skipped)
		}
		p.printf("%s passed%s\n", count(len(results)-skipped, "test"), after)
	}
	return failed
}

func (t *trial) result(p *printer, r bundletest.Result) {
	rego := strings.HasSuffix(r.File, ".rego")
	switch {
	case r.Skipped && (t.verbose || rego):
		p.printf("  skip  %s:%d %s\n", r.File, r.Line, r.Name)
	case rego && (r.Failed() || t.verbose):
		what := "ok   "
		if r.Failed() {
			what = "FAIL "
		}
		p.printf("  %s %s:%d %s\n", what, r.File, r.Line, r.Name)
	}
	for _, f := range r.Failures {
		text := f.Text
		if !rego {
			text = f.String()
		}
		p.lines("    ", text)
	}
	if r.Output != "" && (r.Failed() || t.verbose) {
		p.lines("    printed: ", strings.TrimSuffix(r.Output, "\n"))
	}
}

// lines prints a text with something before each line: that of a diff in its colour.
func (p *printer) lines(indent, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		colour := 0
		switch {
		case strings.HasPrefix(line, "-"):
			colour = 31
		case strings.HasPrefix(line, "+"):
			colour = 32
		}
		if line == "" {
			p.printf("\n")
		} else if colour == 0 {
			p.printf("%s%s\n", indent, line)
		} else {
			p.printf("%s%s\n", indent, p.paint(colour, line))
		}
	}
}

// reportCoverage prints the table, and what no test used. The first error is that too
// little was.
func (t *trial) reportCoverage(c *bundles.Coverage) (low, err error) {
	all, err := c.Report(t.suite.Bundle, t.suite.Builtin, t.suite.Operator, t.builtin)
	if err != nil {
		return nil, err
	}
	p := printer{w: t.out, colour: hasColour(t.out)}
	used, ways := map[bundles.Kind]int{}, map[bundles.Kind]int{}
	const total = "all"
	for _, x := range all {
		for _, kind := range []bundles.Kind{x.Kind, total} {
			used[kind] += x.Used
			ways[kind] += x.Ways
		}
	}
	p.printf("\ncoverage\n")
	width := len(fmt.Sprintf("%d of %d", used[total], ways[total]))
	for _, row := range []struct {
		kind bundles.Kind
		name string
	}{{bundles.Rule, "rules"}, {bundles.Template, "templates"}, {bundles.Branch, "branches"}, {total, "all"}} {
		if ways[row.kind] == 0 {
			p.printf("  %-9s  none\n", row.name)
			continue
		}
		p.printf("  %-9s  %-*s  %6s\n", row.name, width, fmt.Sprintf("%d of %d", used[row.kind], ways[row.kind]), percent(used[row.kind], ways[row.kind]))
	}
	head := "\nused by no test\n"
	for _, x := range all {
		if x.Missing == "" {
			continue
		}
		what := string(x.Kind) + " "
		if x.Kind == bundles.Branch {
			what = "" // it begins with its own
		}
		p.printf("%s  %s:%d:%d: %s%s: %s\n", head, x.At.File, x.At.Line, x.At.Column, what, x.At.Message, x.Missing)
		head = ""
	}
	if n := ways[total]; n > 0 && 100*float64(used[total]) < t.least*float64(n) {
		return &exitError{code: exitRefused, message: fmt.Sprintf("%s is covered, and --coverage-min asks for %g%%", percent(used[total], n), t.least)}, nil
	}
	return nil, nil
}

// percent rounds down, so that 100.0% is all.
func percent(n, of int) string {
	return fmt.Sprintf("%d.%d%%", 100*n/of, 1000*n/of%10)
}

// reportMutants tries changes, and prints those that no test noticed. The first error is
// that there are any.
func (t *trial) reportMutants(ctx context.Context) (survived, err error) {
	survivors, tried, all, err := t.suite.Mutate(ctx, t.mutants)
	if err != nil {
		return nil, err
	}
	p := printer{w: t.out, colour: hasColour(t.out)}
	p.printf("\nchanges\n  %d of %d noticed", tried-len(survivors), tried)
	if tried < all {
		p.printf("; there are %d, and --mutants 0 tries all", all)
	}
	p.printf("\n")
	head := "\nnoticed by no test\n"
	for _, m := range survivors {
		p.printf("%s  %s:%d:%d: %s\n    %s\n", head, m.At.File, m.At.Line, m.At.Column, m.What, m.Why)
		head = ""
	}
	if len(survivors) == 0 {
		return nil, nil
	}
	return &exitError{code: exitRefused, message: fmt.Sprintf("no test notices %s of the bundle", count(len(survivors), "change"))}, nil
}

// ask loads the files of a story.
func ask(_ context.Context, b *engine.Bundle, s *bundletest.Story) (bundletest.Answers, error) {
	c, err := readConfig("")
	if err != nil {
		return nil, err
	}
	if s.Config != nil {
		if err := yaml.UnmarshalStrict(s.Config, &c); err != nil {
			return nil, fmt.Errorf("config.yaml: %w", err)
		}
		if c.MeshNamespace != "" && len(validation.IsDNS1123Label(c.MeshNamespace)) > 0 {
			return nil, fmt.Errorf("config.yaml: no namespace can be called %q", c.MeshNamespace)
		}
	}
	l := &loaded{config: c, bundle: b, engine: engine.New(b, c.engine())}
	for _, f := range s.Manifests {
		l.parse(f.Name, f.Data)
	}
	l.texts = nil
	l.dropRepeated()
	var bad []engine.Rejected
	l.cluster, bad = engine.NewCluster(l.objects)
	l.rejected = append(l.rejected, bad...)
	return storyAnswers{l}, nil
}

// storyAnswers are the answers to one story.
type storyAnswers struct{ *loaded }

func (a storyAnswers) Want(ctx context.Context, w bundletest.Want) (string, error) {
	var b bytes.Buffer
	if object, field, ok := w.Explain(); ok {
		if err := a.tellExplanation(ctx, &b, object, field); err != nil {
			return "", err
		}
		return masked(b.String()), nil
	}
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	doc, _, err := a.render(cmd)
	if err != nil {
		return "", err
	}
	if err := a.tellOutcomes(ctx, &b); err != nil {
		return "", err
	}
	if w.Name == bundletest.WantAll {
		if err := tellDefinitions(&b, doc); err != nil {
			return "", err
		}
	}
	return masked(b.String()), nil
}

func (a storyAnswers) tellExplanation(ctx context.Context, w io.Writer, object, field string) error {
	ref, err := engine.ParseRef(object)
	if err != nil {
		return err
	}
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	x, err := a.explain(cmd, ref)
	if err != nil {
		return err
	}
	if field != "" && !keepField(&x, field) {
		return fmt.Errorf("no definition of %s has a value at %s", ref, field)
	}
	p := printer{w: w}
	p.explanation(x, field)
	return p.err
}

// tellOutcomes tells what became of each object, and why. Objects that ask for nothing
// are left out.
func (a storyAnswers) tellOutcomes(ctx context.Context, w io.Writer) error {
	all, err := a.decideAll(ctx)
	if err != nil {
		return err
	}
	_, conflicts := engine.MakePlan(all, nil)
	slices.SortStableFunc(all, func(x, y engine.Desired) int { return cmp.Compare(x.Object.String(), y.Object.String()) })
	p := printer{w: w}
	for _, r := range a.rejected {
		p.printf("%s is refused\n", r.Source)
		p.reason("  ", r.Reason)
	}
	for _, d := range all {
		var lost []engine.Reason
		for _, c := range conflicts {
			if c.Object == d.Object {
				lost = append(lost, c.Reason)
			}
		}
		switch {
		case d.Outcome == engine.Ignored && len(d.Reasons) == 0:
			continue
		case isPending(d):
			p.printf("%s is pending\n", d.Object.String())
		case d.Outcome == engine.Managed && len(lost) > 0:
			p.printf("%s is managed by %s, but %s not served\n", d.Object.String(), templates(d), isOrAre(len(lost), "route"))
		case d.Outcome == engine.Managed:
			p.printf("%s is managed by %s\n", d.Object.String(), templates(d))
		default:
			p.printf("%s is %s\n", d.Object.String(), string(d.Outcome))
		}
		for _, r := range slices.Concat(d.Reasons, lost) {
			p.reason("  ", r)
		}
		for _, r := range d.Warnings {
			p.reason("  warning ", r)
		}
	}
	return p.err
}

// templates names those of an object.
func templates(d engine.Desired) string {
	switch {
	case d.Template == "":
		return "no template"
	case strings.Contains(d.Template, ", "):
		return "the templates " + d.Template
	}
	return "the template " + d.Template
}

// tellDefinitions prints what render prints of the objects that are managed.
func tellDefinitions(w io.Writer, doc document) error {
	made := struct {
		APIs     []apiEntry     `json:"apis,omitempty"`
		Patches  []patchEntry   `json:"patches,omitempty"`
		Services []serviceEntry `json:"services,omitempty"`
	}{doc.APIs, doc.Patches, doc.Services}
	if len(made.APIs)+len(made.Patches)+len(made.Services) == 0 {
		return nil
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return printYAML(w, made)
}

var digests = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\bsha256:[0-9a-f]{64}`), "sha256:..."},
	{regexp.MustCompile(`(?m)^( +hash: )[0-9a-f]{64}$`), "${1}..."},
}

// masked leaves out digests of what is written there anyway, or in the bundle.
func masked(text string) string {
	for _, d := range digests {
		text = d.what.ReplaceAllString(text, d.with)
	}
	return text
}
