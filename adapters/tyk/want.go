package tyk

import (
	"slices"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// keep adds the owners of what is there, and that nobody speaks of, as held.
func (t *target) keep(want []engine.Desired) []engine.Desired {
	if !t.options.keep.Load() {
		return want
	}
	known := make(map[engine.Ref]bool, len(want))
	for _, d := range want {
		known[d.Object] = true
	}
	kept := slices.Clone(want)
	for _, e := range t.inventory.entries {
		if owner := e.live.Owner; !known[owner] {
			known[owner] = true
			kept = append(kept, engine.Desired{Object: owner, Outcome: engine.Held})
		}
	}
	return kept
}

// sharing leaves out what is not for this target's tags.
func (t *target) sharing(all []engine.Desired) []engine.Desired {
	if len(t.settings.Tags) == 0 {
		return all
	}
	mine := slices.Clone(all)
	for i := range mine {
		mine[i].Definitions = slices.DeleteFunc(slices.Clone(mine[i].Definitions), func(d engine.Definition) bool {
			return !t.shares(d)
		})
		mine[i].Certificates = named(mine[i])
	}
	return mine
}

func (t *target) shares(d engine.Definition) bool {
	if gjson.GetBytes(d.JSON, "tags_disabled").Bool() {
		return false
	}
	for _, tag := range gjson.GetBytes(d.JSON, "tags").Array() {
		if slices.Contains(t.settings.Tags, tag.String()) {
			return true
		}
	}
	return false
}

// named are the certificates that definitions of the object name: no other private
// key goes to the target.
func named(d engine.Desired) []engine.Certificate {
	return slices.DeleteFunc(slices.Clone(d.Certificates), func(c engine.Certificate) bool {
		return !slices.ContainsFunc(d.Definitions, func(def engine.Definition) bool { return slices.Contains(def.Certificates, c.ID) })
	})
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
