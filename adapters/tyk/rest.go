package tyk

import (
	"slices"

	"github.com/cuegate/cuegate/engine"
)

// Rules of rest
//
// Everything that is wanted is said to all targets, and most of it is nothing to most of
// hundreds of sidecars. One that had all that it should, kept nothing and had nothing to
// remove, does nothing as long as the shares of its tags are the same.

// rest is how a push left a sidecar that had all that it should.
type rest struct {
	prints    []uint64
	unchanged int
	conflicts []engine.Conflict
}

// settled notes that a push came to its end. kept: there is something that nobody wants.
func (t *target) settled(w *wants, kept bool, r *Report) {
	busy := kept || len(r.Failed) > 0 || len(r.Certificates) > 0 || t.again
	for id := range t.certs.ours {
		_, present := t.certs.present[id]
		busy = busy || !present
	}
	if t.settings.Sidecar && !busy {
		t.rest = &rest{printsOf(t.shares(w)), len(t.inventory.entries), r.Conflicts}
	}
}

func printsOf(shares []*share) []uint64 {
	var prints []uint64
	for _, s := range shares {
		prints = append(prints, s.print)
	}
	return prints
}

// rests tells whether there is nothing to do, and reports so.
func (t *target) rests(w *wants, r *Report) bool {
	if t.rest == nil || !t.options.claims.calm(t) || !slices.Equal(t.rest.prints, printsOf(t.shares(w))) {
		return false
	}
	r.Unchanged, r.Conflicts = t.rest.unchanged, t.rest.conflicts
	return true
}
