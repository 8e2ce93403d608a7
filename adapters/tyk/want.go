package tyk

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// Rules of who gets what
//
//	a sidecar            definitions of the mesh whose scope is one of its tags
//	a gateway with tags  definitions that share one
//	any other gateway    definitions that are for no sidecar: it loads whatever it has
//	a Dashboard          everything: sidecars ask it for those of their tags
//
// What has no scope goes to no sidecar, whatever its tags say: with them the author of
// an Ingress could take the place of a route of the mesh.
//
// A certificate goes with its private key to where a definition shows it, and without
// to where definitions only check that callers show it.

// wants is what all objects want. It is laid out as far as somebody asks, and shared by
// all targets: it does not change.
type wants struct {
	all        []engine.Desired
	generation uint64

	objects func() map[engine.Ref]*engine.Desired
	scopes  func() map[string]*share
	plain   func() []engine.Desired
	named   func() map[string]bool
}

// share is what there is of one scope.
type share struct {
	objects []engine.Desired
	// print is a hash of it: two of one print are the same to a target.
	print uint64
}

func newWants(all []engine.Desired, generation uint64) *wants {
	w := &wants{all: all, generation: generation}
	w.objects, w.scopes = sync.OnceValue(w.byObject), sync.OnceValue(w.byScope)
	w.plain, w.named = sync.OnceValue(w.withoutScope), sync.OnceValue(w.byCertificate)
	return w
}

func (w *wants) byObject() map[engine.Ref]*engine.Desired {
	objects := make(map[engine.Ref]*engine.Desired, len(w.all))
	for i := range w.all {
		objects[w.all[i].Object] = &w.all[i]
	}
	return objects
}

// byScope lays out the definitions of the mesh. An object stands once under each scope
// of its definitions.
func (w *wants) byScope() map[string]*share {
	scopes := map[string]*share{}
	for _, d := range w.all {
		var done []string
		for i := range d.Definitions {
			scope := d.Definitions[i].Scope
			if scope == "" || slices.Contains(done, scope) {
				continue
			}
			done = append(done, scope)
			s := scopes[scope]
			if s == nil {
				s = &share{}
				scopes[scope] = s
			}
			s.add(part(d, func(x *engine.Definition) bool { return x.Scope == scope }))
		}
	}
	return scopes
}

func (s *share) add(d engine.Desired) {
	s.objects = append(s.objects, d)
	var h maphash.Hash
	h.SetSeed(seed)
	write := func(text string) { _, _ = h.WriteString(text); _ = h.WriteByte(0) }
	write(fmt.Sprint(s.print))
	write(d.Object.String())
	write(d.Created)
	for i := range d.Definitions {
		write(d.Definitions[i].ID)
		write(d.Definitions[i].Hash)
	}
	for _, c := range d.Certificates {
		write(c.ID)
		write(fmt.Sprint(c.Public))
	}
	s.print = h.Sum64()
}

// withoutScope is everything but the definitions of the mesh.
func (w *wants) withoutScope() []engine.Desired {
	isScoped := func(x engine.Definition) bool { return x.Scope != "" }
	first := slices.IndexFunc(w.all, func(d engine.Desired) bool { return slices.ContainsFunc(d.Definitions, isScoped) })
	if first < 0 {
		return w.all
	}
	plain := slices.Clone(w.all)
	for i := first; i < len(plain); i++ {
		if slices.ContainsFunc(plain[i].Definitions, isScoped) {
			plain[i] = part(plain[i], func(x *engine.Definition) bool { return x.Scope == "" })
		}
	}
	return plain
}

// byCertificate has the ids of all certificates that anybody wants.
func (w *wants) byCertificate() map[string]bool {
	named := map[string]bool{}
	for _, d := range w.all {
		for _, c := range d.Certificates {
			named[c.ID] = true
		}
	}
	return named
}

// tagged is everything with the definitions alone that share a tag.
func (w *wants) tagged(tags []string) []engine.Desired {
	mine := slices.Clone(w.all)
	for i := range mine {
		mine[i] = part(mine[i], func(x *engine.Definition) bool { return shares(x, tags) })
	}
	return mine
}

func shares(d *engine.Definition, tags []string) bool {
	if d.Scope != "" {
		return slices.Contains(tags, d.Scope)
	}
	if gjson.GetBytes(d.JSON, "tags_disabled").Bool() {
		return false
	}
	for _, tag := range gjson.GetBytes(d.JSON, "tags").Array() {
		if slices.Contains(tags, tag.String()) {
			return true
		}
	}
	return false
}

// part is an object with some of its definitions, and the certificates that these need.
func part(d engine.Desired, has func(*engine.Definition) bool) engine.Desired {
	var some []engine.Definition
	for i := range d.Definitions {
		if has(&d.Definitions[i]) {
			some = append(some, d.Definitions[i])
		}
	}
	d.Definitions = some
	d.Certificates = needed(d)
	return d
}

// needed are the certificates that the definitions of the object name, each once: no
// other private key goes to the target.
func needed(d engine.Desired) []engine.Certificate {
	shown, checked := map[string]bool{}, map[string]bool{}
	for _, x := range d.Definitions {
		for _, id := range x.Certificates {
			if slices.Contains(x.Checked, id) {
				checked[id] = true
			} else {
				shown[id] = true
			}
		}
	}
	var all []engine.Certificate
	for _, c := range d.Certificates {
		if c.Public && checked[c.ID] && !shown[c.ID] || !c.Public && shown[c.ID] {
			all = append(all, c)
		}
	}
	return all
}

// mine is what of everything this target gets. Which API it speaks has to be known.
func (t *target) mine(w *wants) []engine.Desired {
	switch {
	case t.settings.Sidecar:
		var mine []engine.Desired
		for _, s := range t.shares(w) {
			mine = append(mine, s.objects...)
		}
		return mine
	case len(t.settings.Tags) > 0:
		return w.tagged(t.settings.Tags)
	case t.status.Mode == Dashboard:
		return w.all
	}
	return w.plain()
}

// shares are those of the tags of a sidecar.
func (t *target) shares(w *wants) []*share {
	var shares []*share
	for i, tag := range t.settings.Tags {
		if s := w.scopes()[tag]; s != nil && !slices.Contains(t.settings.Tags[:i], tag) {
			shares = append(shares, s)
		}
	}
	return shares
}

// keep adds the owners of what is there and stays, as held: those that are, where mine
// leaves them out, and those that nobody speaks of, where not everything could be read.
func (t *target) keep(w *wants, mine []engine.Desired) []engine.Desired {
	unknown := t.options.keep.Load()
	if !unknown && !t.settings.Sidecar {
		return mine
	}
	kept := slices.Clip(mine)
	seen := map[engine.Ref]bool{}
	for _, e := range t.inventory.entries {
		owner := e.live.Owner
		if seen[owner] {
			continue
		}
		seen[owner] = true
		d := w.objects()[owner]
		switch {
		case d == nil && unknown:
			kept = append(kept, engine.Desired{Object: owner, Outcome: engine.Held})
		case d != nil && d.Outcome == engine.Held && t.settings.Sidecar:
			kept = append(kept, engine.Desired{Object: owner, Outcome: engine.Held, Created: d.Created})
		}
	}
	return kept
}

func definitions(want []engine.Desired) map[string]*engine.Definition {
	all := make(map[string]*engine.Definition, len(want))
	for i := range want {
		for j := range want[i].Definitions {
			d := &want[i].Definitions[j]
			all[d.ID] = d
		}
	}
	return all
}
