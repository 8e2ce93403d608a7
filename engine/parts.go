package engine

import (
	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Parts gives the compiled parts of the bundle to packages below engine, which test
// bundles with them.
func (b *Bundle) Parts() (*template.Set, *policy.Rules) { return b.templates, b.rules }

// WithParts gives a bundle that has these instead.
func (b *Bundle) WithParts(t *template.Set, r *policy.Rules) *Bundle {
	c := *b
	c.templates, c.rules = t, r
	return &c
}
