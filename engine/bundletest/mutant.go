package bundletest

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Mutant is a bundle in which one thing was changed.
type Mutant struct {
	problem.Mutant
	template bool
}

// Mutants gives every bundle that differs from the operator's in one thing: of its rules
// first, then of its templates, by file and line. LoadBundle takes that of the operator.
func Mutants(operator fs.FS) ([]Mutant, error) {
	var all []Mutant
	if info, err := fs.Stat(operator, "policies"); err == nil && info.IsDir() {
		sub, err := fs.Sub(operator, "policies")
		if err != nil {
			return nil, err
		}
		rules, err := policy.Mutants(policy.Source{FS: sub, Name: "policies"})
		if err != nil {
			return nil, fmt.Errorf("changing policies: %w", err)
		}
		for _, m := range rules {
			all = append(all, Mutant{Mutant: m})
		}
	}
	templates, err := template.Mutants(operator)
	if err != nil {
		return nil, fmt.Errorf("changing templates: %w", err)
	}
	for _, m := range templates {
		all = append(all, Mutant{m, true})
	}
	return all, nil
}

// Load loads the mutant of b, which was loaded of these files. The error is a
// *engine.BundleError when nobody could use it.
func (m Mutant) Load(ctx context.Context, b *engine.Bundle, builtin, operator fs.FS) (*engine.Bundle, error) {
	if m.template {
		return engine.LoadBundle(ctx, builtin, changedFS{operator, m.At.File, m.Text})
	}
	sub, err := fs.Sub(operator, "policies")
	if err != nil {
		return nil, err
	}
	templates, rules := b.Parts()
	changed, problems := rules.Mutated(ctx, changedFS{sub, strings.TrimPrefix(m.At.File, "policies/"), m.Text})
	if len(problems) > 0 {
		return nil, &engine.BundleError{Problems: problems}
	}
	return b.WithParts(templates, changed), nil
}

// changedFS is a tree of which one file reads otherwise. It does for fs.ReadFile, which is
// what bundles are read with.
type changedFS struct {
	fs.FS
	name string
	text []byte
}

func (c changedFS) ReadFile(name string) ([]byte, error) {
	if name == c.name {
		return c.text, nil
	}
	return fs.ReadFile(c.FS, name)
}
