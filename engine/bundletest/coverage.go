package bundletest

import (
	"cmp"
	"io/fs"
	"slices"
	"sync"

	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Coverage notes what tests use of a bundle. It is safe for concurrent use.
type Coverage struct {
	rules *policy.Uses

	mu        sync.Mutex
	templates []*template.Uses
}

// NewCoverage returns what notes no use so far.
func NewCoverage() *Coverage { return &Coverage{rules: policy.NewUses()} }

// Watch returns a bundle that answers as b does, and notes in c what it uses. Each story
// has one of its own.
func (c *Coverage) Watch(b *engine.Bundle) *engine.Bundle {
	uses := template.NewUses()
	c.mu.Lock()
	c.templates = append(c.templates, uses)
	c.mu.Unlock()
	templates, rules := b.Parts()
	return b.WithParts(templates.Watched(uses), rules.Watched(c.rules))
}

// Kind says what of a bundle was used, or was not.
type Kind string

// The kinds.
const (
	// Rule: a rule, or one of its branches that begin with else, was true.
	Rule Kind = "rule"
	// Template: an object got the template.
	Template Kind = "template"
	// Branch: an `if` of a template held, and did not; a default stayed, and was replaced.
	// Each `if` and each default is two.
	Branch Kind = "branch"
)

// Covered is one thing that tests may use.
type Covered struct {
	Kind Kind
	// At is where it begins, with a message that names it.
	At engine.Problem
	// Used is how many of its ways were used, of Ways: 1, or 2 for a branch.
	Used, Ways int
	// Missing says what no test did, e.g. "never true"; "" when all was.
	Missing string
}

// Report tells what was used of b, of the files that it was loaded from. What is built in
// is reported only when asked for. The order is that of kinds, files and lines.
func (c *Coverage) Report(b *engine.Bundle, builtin, operator fs.FS, own bool) ([]Covered, error) {
	_, rules := b.Parts()
	var all []Covered
	for _, r := range rules.List(c.rules, own) {
		x := Covered{Kind: Rule, At: r.At, Ways: 1}
		x.At.Message = r.Name
		if r.Title != "" {
			x.At.Message += " (" + r.Title + ")"
		}
		x.count(r.Used, "never true")
		all = append(all, x)
	}
	schemas, err := fs.Sub(builtin, "cue")
	if err != nil {
		return nil, err
	}
	probes, err := template.NewProbes(schemas, operator)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, uses := range c.templates {
		if err := probes.Read(uses); err != nil {
			return nil, err
		}
	}
	names, used := probes.Templates(own)
	for _, name := range names {
		x := Covered{Kind: Template, At: probes.Place(name), Ways: 1}
		x.At.Message = name
		x.count(used[name], "never chosen")
		all = append(all, x)
	}
	for _, branch := range probes.Branches() {
		x := Covered{Kind: Branch, At: branch.At, Ways: 2}
		x.At.Message = branch.Text
		neither, yes, no := "never reached", "never true", "never false"
		if branch.Default {
			neither, yes, no = "never reached", "never the default", "never another value than the default"
		}
		if branch.True || branch.False {
			x.count(branch.True, yes)
			x.count(branch.False, no)
		} else {
			x.Missing = neither
		}
		all = append(all, x)
	}
	slices.SortStableFunc(all, func(a, b Covered) int {
		return cmp.Or(cmp.Compare(order[a.Kind], order[b.Kind]), cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	return all, nil
}

var order = map[Kind]int{Rule: 0, Template: 1, Branch: 2}

// count counts one of the ways.
func (x *Covered) count(used bool, missing string) {
	if used {
		x.Used++
	} else {
		x.Missing = missing
	}
}
