package tyk

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// Rules of the inventory
//
// It holds the definitions that a target has and that carry our mark; all others
// are somebody else's. Between two lists it is kept by what was pushed and verified,
// so a change costs no list. When the target is listed, a definition of ours has
// drifted if
//
//	it is not loaded                          (the plan creates it again)
//	its mark has another hash                 (the plan updates it)
//	it listens elsewhere                      renamed
//	a value that we wrote is not there        edited
//	its text differs from the last list's     edited
//
// What differs right after our own write is the target's own doing, and no drift.

// inventory is what one target has of ours.
type inventory struct {
	entries map[string]*entry // by api_id
	// version of the target when it was listed; another one may write the same
	// definition differently.
	version string
	seed    maphash.Seed
}

// entry is one definition of ours.
type entry struct {
	live engine.Live
	// text is a hash of what the last list held; 0 after a write of ours.
	text uint64
	// own are the paths that the target changes by itself.
	own []string
	// drift says what is wrong with it; "" where nothing is.
	drift DriftKind
	// paths that were edited.
	paths []string
}

func newInventory() *inventory {
	return &inventory{entries: map[string]*entry{}, seed: maphash.MakeSeed()}
}

// live gives the inventory to MakePlan. What has drifted has no hash, so that the
// plan updates it.
func (inv *inventory) live() []engine.Live {
	all := make([]engine.Live, 0, len(inv.entries))
	for _, e := range inv.entries {
		l := e.live
		if e.drift != "" {
			l.Hash = ""
		}
		all = append(all, l)
	}
	return all
}

// DriftKind says how a definition differs from what was pushed.
type DriftKind string

// The kinds of drift.
const (
	Missing DriftKind = "missing" // not loaded any more
	Edited  DriftKind = "edited"  // values changed
	Renamed DriftKind = "renamed" // the gateway gave it another listen path
)

// Drift is one definition that was not as it had been pushed.
type Drift struct {
	ID    string
	Owner engine.Ref
	Kind  DriftKind
	// Paths of the values, where they are known.
	Paths []string
}

// list makes the inventory anew from the target. wanted gives the definition that
// should be there, or nil.
func (inv *inventory) list(ctx context.Context, d dialect, clusterID, version string, wanted map[string]*engine.Definition) ([]Drift, error) {
	var fresh map[string]*entry
	err := d.List(ctx, func() { fresh = make(map[string]*entry, len(inv.entries)) }, func(text []byte) error {
		if l, ok := parseOurs(clusterID, text); ok {
			fresh[l.ID] = inv.read(l, text, version, wanted[l.ID])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	drift := inv.drifted(fresh)
	inv.entries, inv.version = fresh, version
	return drift, nil
}

// parseOurs reads a definition of the target that carries our mark. An OAS
// definition is never ours: the classic API cannot write it.
func parseOurs(clusterID string, text []byte) (engine.Live, bool) {
	if gjson.GetBytes(text, "is_oas").Bool() {
		return engine.Live{}, false
	}
	return engine.ParseLive(clusterID, text)
}

// read makes an entry of a listed definition.
func (inv *inventory) read(l engine.Live, text []byte, version string, want *engine.Definition) *entry {
	e := &entry{live: l, text: maphash.Bytes(inv.seed, text)}
	known := inv.entries[l.ID]
	if known != nil {
		e.own = known.own
	}
	if want == nil || want.Hash != l.Hash {
		return e
	}
	switch {
	case l.Listen != want.Listen:
		e.drift = Renamed
	case known != nil && known.text == e.text:
		e.drift, e.paths = known.drift, known.paths
	default:
		paths := slices.DeleteFunc(differences(want.JSON, text), func(p string) bool { return slices.Contains(e.own, p) })
		if len(paths) > 0 || known != nil && known.text != 0 && inv.version == version {
			e.drift, e.paths = Edited, paths
		}
	}
	return e
}

// drifted compares the inventory as it was with what the list found.
func (inv *inventory) drifted(fresh map[string]*entry) []Drift {
	var all []Drift
	for id, e := range inv.entries {
		now, ok := fresh[id]
		switch {
		case !ok:
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: Missing})
		case now.live.Hash != e.live.Hash:
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: Edited})
		}
	}
	for id, e := range fresh {
		if e.drift != "" {
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: e.drift, Paths: e.paths})
		}
	}
	slices.SortFunc(all, func(a, b Drift) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// pushed makes an entry of a definition that was written and verified. What
// differs already is the target's own doing.
func (inv *inventory) pushed(j *job) *entry {
	d := j.definition
	e := &entry{own: j.seen.own, live: engine.Live{
		ID: d.ID, Owner: j.Owner, Match: d.Match, Listen: d.Listen, Hash: d.Hash, Certificates: d.Certificates,
	}}
	if j.seen.text != 0 { // from a list
		e.text, e.own = j.seen.text, append(e.own, j.seen.paths...)
	}
	return e
}
