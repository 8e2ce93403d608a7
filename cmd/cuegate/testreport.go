package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/bundletest"
	bundles "github.com/cuegate/cuegate/engine/bundletest"
)

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
