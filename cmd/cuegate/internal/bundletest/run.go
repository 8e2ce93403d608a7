package bundletest

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cuegate/cuegate/engine"
	bundles "github.com/cuegate/cuegate/engine/bundletest"
)

// Result is what came of one test.
type Result struct {
	// File of the test, and where it begins in it.
	File string
	Line int
	// Name is that of a Rego test, or of a story.
	Name string
	// Skipped: a Rego test called todo_test_*.
	Skipped  bool
	Failures []Failure
	// Output is what a Rego test printed.
	Output string
	// Took is how long a story took; Rego tests take next to nothing.
	Took time.Duration
	// updated is the story as it should be; nil when it is so.
	updated []byte
}

// Failure is one thing that is not as a test wants it.
type Failure struct {
	File string
	Line int
	// Text says what, in one or more lines.
	Text string
	// mended: it is no more when the story is rewritten.
	mended bool
}

// Answers are what becomes of the objects of a story with one bundle.
type Answers interface {
	// Want gives what is: the text that a file of a story wants. An error is what the
	// author of the story has done wrong.
	Want(ctx context.Context, w Want) (string, error)
}

// Suite is all tests of a bundle.
type Suite struct {
	Builtin, Operator fs.FS
	Bundle            *engine.Bundle
	Stories           []*Story
	// Match picks tests by their names; nil picks all.
	Match *regexp.Regexp
	// Ask answers for a story. The error is what is wrong with its files.
	Ask func(context.Context, *engine.Bundle, *Story) (Answers, error)
}

// Run runs all tests, and notes in c, which may be nil, what they use. The order is that
// of files and lines. The error is a *engine.BundleError where Rego tests do not compile.
func (s *Suite) Run(ctx context.Context, c *bundles.Coverage) ([]Result, error) {
	results, err := s.rego(ctx, s.Bundle, c)
	if err != nil {
		return nil, err
	}
	picked := s.picked()
	stories := make([]Result, len(picked))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, story := range picked {
		g.Go(func() error {
			b := s.Bundle
			if c != nil {
				b = c.Watch(b)
			}
			begin := time.Now()
			stories[i] = s.story(ctx, b, story)
			stories[i].Took = time.Since(begin)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(results, stories...), nil
}

// Notices tells whether some test fails with another bundle.
func (s *Suite) Notices(ctx context.Context, b *engine.Bundle) (bool, error) {
	results, err := s.rego(ctx, b, nil)
	var broken *engine.BundleError
	switch {
	case errors.As(err, &broken):
		return true, nil
	case err != nil:
		return false, err
	case slices.ContainsFunc(results, Result.Failed):
		return true, nil
	}
	for _, story := range s.picked() {
		if s.story(ctx, b, story).Failed() {
			return true, ctx.Err()
		}
	}
	return false, ctx.Err()
}

// Failed tells whether the test did.
func (r Result) Failed() bool { return len(r.Failures) > 0 }

func (s *Suite) rego(ctx context.Context, b *engine.Bundle, c *bundles.Coverage) ([]Result, error) {
	tests, err := bundles.RunRego(ctx, b, s.Match, c)
	if err != nil {
		return nil, err
	}
	var results []Result
	for _, t := range tests {
		r := Result{File: t.At.File, Line: t.At.Line, Name: t.Name, Skipped: t.Skipped, Output: t.Output}
		for _, text := range t.Failures {
			r.Failures = append(r.Failures, Failure{File: t.At.File, Line: t.At.Line, Text: text})
		}
		results = append(results, r)
	}
	return results, nil
}

func (s *Suite) picked() []*Story {
	var picked []*Story
	for _, story := range s.Stories {
		if s.Match == nil || s.Match.MatchString(story.Name()) {
			picked = append(picked, story)
		}
	}
	return picked
}

// story compares what is wanted with what is.
func (s *Suite) story(ctx context.Context, b *engine.Bundle, story *Story) Result {
	r := Result{File: story.Path, Line: 1, Name: story.Name(), Failures: slices.Clone(story.broken)}
	if r.Failed() {
		return r
	}
	answers, err := s.Ask(ctx, b, story)
	if err != nil {
		r.Failures = []Failure{{File: story.Path, Line: 1, Text: err.Error()}}
		return r
	}
	texts := map[string]string{}
	wants := story.Wants
	if len(wants) == 0 {
		wants = []Want{{Name: WantAll}}
		r.Failures = append(r.Failures, Failure{story.Path, 1, "the story does not say what is wanted: --update writes what is", true})
	}
	for _, w := range wants {
		is, err := answers.Want(ctx, w)
		if err != nil {
			r.Failures = append(r.Failures, Failure{File: story.Path, Line: max(w.Line-1, 1), Text: w.Name + ": " + err.Error()})
			continue
		}
		texts[w.Name] = is
		if w.Line > 0 && is != w.Text {
			r.Failures = append(r.Failures, difference(story.Path, w, is))
		}
	}
	if slices.ContainsFunc(r.Failures, func(f Failure) bool { return f.mended }) {
		r.updated = story.Updated(texts)
	}
	return r
}

// Updates gives the stories that were not as they should be, by path. A story that is
// broken, or asks for what is not there, is not among them.
func Updates(results []Result) map[string][]byte {
	updates := map[string][]byte{}
	for _, r := range results {
		if r.updated != nil {
			updates[r.File] = r.updated
		}
	}
	return updates
}

// Survivor is a mutant that no test noticed.
type Survivor = bundles.Mutant

// Mutate tries mutants of the bundle, not more than most, unless that is 0, and gives
// those that no test noticed, how many were tried, and how many there are. A mutant
// that cannot be loaded was noticed. Where there are too many, those that are tried are
// spread over all files, the same each time.
func (s *Suite) Mutate(ctx context.Context, most int) (survivors []Survivor, tried, all int, err error) {
	mutants, err := bundles.Mutants(s.Operator)
	if err != nil {
		return nil, 0, 0, err
	}
	all = len(mutants)
	mutants = spread(mutants, most)
	noticed := make([]bool, len(mutants))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range mutants {
		g.Go(func() error {
			b, err := m.Load(ctx, s.Bundle, s.Builtin, s.Operator)
			var broken *engine.BundleError
			switch {
			case errors.As(err, &broken):
				noticed[i] = true
				return nil
			case err != nil:
				return err
			}
			noticed[i], err = s.Notices(ctx, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, 0, 0, err
	}
	for i, m := range mutants {
		if !noticed[i] {
			survivors = append(survivors, m)
		}
	}
	slices.SortStableFunc(survivors, func(a, b Survivor) int {
		return cmp.Or(strings.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	return survivors, len(mutants), all, nil
}

// spread picks n of a list in even steps; 0 picks all.
func spread[T any](list []T, n int) []T {
	if n <= 0 || n >= len(list) {
		return list
	}
	picked := make([]T, n)
	for i := range picked {
		picked[i] = list[i*len(list)/n]
	}
	return picked
}

// Updated gives the result of a story that was rewritten. What no writing mends stays.
func (r Result) Updated() Result {
	r.Failures = slices.DeleteFunc(slices.Clone(r.Failures), func(f Failure) bool { return f.mended })
	r.updated = nil
	return r
}
