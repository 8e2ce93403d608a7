package tyk

import (
	"context"
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
//	it differs from what was last read        edited
//
// What differs right after our own write is the target's own doing, and no drift.
// So is, when it is seen for the first time, a field that a gateway does not give
// back at all: it gives back every field that it knows. What a write may have done
// that nobody could verify is no drift either. Drift is reported once.

// inventory is what one target has of ours.
type inventory struct {
	entries map[string]*entry // by api_id
	// version of the target when it was listed; another one may write the same
	// definition differently.
	version string
	// whole: the target gives back every field that it knows, as a gateway does.
	whole bool
	// others are the ids of the definitions that are not ours.
	others map[string]bool
}

// entry is one definition of ours.
type entry struct {
	live engine.Live
	// text is a hash of what the last list held, and meaning one of what was read by
	// the id after a write of ours; the other one is 0.
	text, meaning uint64
	// compared: it was compared with what was wanted, which for the definition of a held
	// object nobody knows.
	compared bool
	// touched is that of the mark (push.go).
	touched int
	// unsure: a write of ours may have changed it since.
	unsure bool
	// own are the paths that the target changes by itself.
	own []string
	// drift says what is wrong with it; "" where nothing is.
	drift DriftKind
	// paths that were edited.
	paths []string
}

func newInventory() *inventory {
	return &inventory{entries: map[string]*entry{}}
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
	var others map[string]bool
	start := func() { fresh, others = make(map[string]*entry, len(inv.entries)), map[string]bool{} }
	err := d.List(ctx, start, func(text []byte) error {
		if l, ok := parseOurs(clusterID, text); ok {
			fresh[l.ID] = inv.read(l, text, version, wanted[l.ID])
		} else {
			others[gjson.GetBytes(text, "api_id").String()] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	drift := inv.drifted(fresh)
	inv.entries, inv.others, inv.version = fresh, others, version
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
	e := &entry{live: l, text: textOf(text), touched: int(gjson.GetBytes(text, touchedPath).Int())}
	known := inv.entries[l.ID]
	if known != nil {
		e.own = known.own
	}
	compared := want != nil && want.Hash == l.Hash
	if compared && l.Listen != want.Listen {
		e.drift = Renamed
		return e
	}
	if known != nil && known.text == e.text && (known.compared || !compared) {
		e.drift, e.paths, e.compared = known.drift, known.paths, known.compared
		return e
	}
	var paths []string
	if e.compared = compared; compared {
		paths = differences(want.JSON, text)
		if inv.whole && (known == nil || !known.compared) {
			e.own = append(slices.Clip(e.own), slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !isUnknown(text, p) })...)
		}
		paths = slices.DeleteFunc(paths, func(p string) bool { return slices.Contains(e.own, p) })
	}
	if len(paths) > 0 || known.differs(text, l.Hash, inv.version == version) {
		e.drift, e.paths = Edited, paths
	}
	return e
}

// differs tells whether somebody changed what is known, be it in a field that we
// do not write. Another version of the target may write the same differently.
func (e *entry) differs(text []byte, hash string, sameVersion bool) bool {
	switch {
	case e == nil || e.unsure || e.live.Hash != hash || !sameVersion:
		return false
	case e.meaning != 0:
		return e.meaning != meaningOf(text)
	}
	return e.text != 0 && e.text != textOf(text)
}

// isUnknown tells whether the field of the definition that the path begins with is
// missing altogether.
func isUnknown(text []byte, path string) bool {
	name, _, _ := strings.Cut(path, ".")
	return name != "" && !gjson.GetBytes(text, gjson.Escape(name)).Exists()
}

// drifted compares the inventory as it was with what the list found.
func (inv *inventory) drifted(fresh map[string]*entry) []Drift {
	var all []Drift
	for id, e := range inv.entries {
		now, ok := fresh[id]
		switch {
		case e.unsure:
		case !ok:
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: Missing})
		case now.live.Hash != e.live.Hash:
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: Edited})
		}
	}
	for id, e := range fresh {
		if old := inv.entries[id]; e.drift != "" && (old == nil || old.drift != e.drift) {
			all = append(all, Drift{ID: id, Owner: e.live.Owner, Kind: e.drift, Paths: e.paths})
		}
	}
	slices.SortFunc(all, func(a, b Drift) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// pushed writes down a definition that was written and verified. What differs
// already is the target's own doing.
func (inv *inventory) pushed(j *job) {
	d := j.definition
	inv.entries[d.ID] = &entry{
		compared: true, own: append(slices.Clip(j.seen.own), j.seen.paths...), text: j.seen.text, meaning: j.seen.meaning, touched: j.seen.touched,
		live: engine.Live{ID: d.ID, Owner: j.Owner, Match: d.Match, Listen: d.Listen, Hash: d.Hash, Certificates: d.Certificates},
	}
}

// doubt writes down that nobody knows what a write has done.
func (inv *inventory) doubt(id string) {
	if e := inv.entries[id]; e != nil {
		e.unsure = true
	}
}
