// Package bundletest tests the bundle of an operator: it runs its Rego tests, tells
// which rules, templates and branches a test has used (Coverage), and changes the bundle
// in ways that some test should notice (Mutants).
package bundletest

import (
	"context"
	"regexp"

	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/engine/internal/policy"
)

// RegoTest is the outcome of one Rego test of a bundle.
type RegoTest = policy.Test

// RunRego runs the Rego tests of the operator's bundle, policies/**/*_test.rego, whose
// names match, or all when match is nil. They see the rules, settings and built-in
// functions that decisions see, and data.cuegate.testing. What they use is noted in c,
// which may be nil. The order is that of files and lines.
//
// The error is a *engine.BundleError when the tests do not compile, or that of ctx.
func RunRego(ctx context.Context, b *engine.Bundle, match *regexp.Regexp, c *Coverage) ([]RegoTest, error) {
	var uses *policy.Uses
	if c != nil {
		uses = c.rules
	}
	_, rules := b.Parts()
	tests, problems := rules.Test(ctx, match, uses)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(problems) > 0 {
		return nil, &engine.BundleError{Problems: problems}
	}
	return tests, nil
}
