package tyk

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/cuegate/cuegate/engine"
)

// Diff says what a push would change on one target.
type Diff struct {
	Target    string
	Changes   []DiffChange
	Unchanged int
	Conflicts []engine.Conflict
	// Held is set when the push would wait to be confirmed.
	Held *Held
	Err  error
}

// DiffChange is one definition that would be written or removed.
type DiffChange struct {
	Action engine.Action
	ID     string
	Owner  engine.Ref
	// Listen is domain and listen path, as wanted, or for a delete as it is.
	Listen string
	// Drift says that somebody else changed it; "" where the manifests did.
	Drift DriftKind
	// Fields that differ, for an update.
	Fields []FieldDiff
}

// FieldDiff is a value that differs; nil is none. Secrets are not shown.
type FieldDiff struct {
	Path         string
	Live, Wanted json.RawMessage
}

// Diff compares what is wanted with what every target has, and writes nothing.
func (f *Fleet) Diff(ctx context.Context, all []engine.Desired) ([]Diff, error) {
	settings, err := f.targets(ctx)
	if err != nil {
		return nil, err
	}
	w := newWants(all, 0)
	diffs := make([]Diff, len(settings))
	var running sync.WaitGroup
	for i, s := range settings {
		running.Go(func() {
			diffs[i].Target = s.Name
			t, err := newTarget(s, f.options)
			if err == nil {
				err = t.diff(ctx, w, &diffs[i])
			}
			diffs[i].Err = err
		})
	}
	running.Wait()
	return diffs, nil
}

func (t *target) diff(ctx context.Context, w *wants, d *Diff) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	want := t.mine(w)
	wanted := definitions(want)
	if _, err := t.list(ctx, wanted); err != nil {
		return err
	}
	plan, conflicts := engine.MakePlan(t.keep(w, want), t.inventory.live())
	d.Unchanged, d.Conflicts, d.Held = plan.Unchanged, conflicts, t.held(plan)
	for _, c := range plan.Changes {
		x := DiffChange{Action: c.Action, ID: c.ID, Owner: c.Owner}
		e := t.inventory.entries[c.ID]
		if e != nil {
			x.Listen, x.Drift = e.live.Listen, e.drift
		}
		if def := wanted[c.ID]; def != nil && c.Action != engine.Delete {
			x.Listen = def.Listen
		}
		if c.Action == engine.Update {
			live, err := t.dialect.Get(ctx, c.ID)
			if err != nil && !errors.Is(err, errNotFound) {
				return err
			}
			x.Fields = fieldDiffs(live, c.JSON)
		}
		d.Changes = append(d.Changes, x)
	}
	return nil
}

// fieldDiffs lists the leaves of wanted that live does not have so, and those of ours
// that are gone from a list or a map. What only the gateway fills in does not count.
func fieldDiffs(live, wanted []byte) []FieldDiff {
	a, b := leaves(live), leaves(wanted)
	var all []FieldDiff
	for _, path := range slices.Sorted(maps.Keys(b)) {
		old, ok := a[path]
		if isNothing(old) && isNothing(b[path]) || ok && sameLeaf(old, b[path]) {
			continue
		}
		f := FieldDiff{Path: path, Wanted: engine.Shown(path, b[path])}
		if ok && !isNothing(old) {
			f.Live = engine.Shown(path, old)
		}
		all = append(all, f)
	}
	return all
}

func sameLeaf(a, b any) bool {
	c := comparison{}
	c.compare(b, a)
	return len(c.found) == 0
}

// leaves flattens a definition; the elements of lists are numbered.
func leaves(text []byte) map[string]any {
	var doc any
	if decodeNumbers(text, &doc) != nil {
		return nil
	}
	all := map[string]any{}
	flatten("", doc, all)
	return all
}

func flatten(path string, v any, into map[string]any) {
	below := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(below(k), x, into)
		}
	case []any:
		for i, x := range v {
			flatten(below(strconv.Itoa(i)), x, into)
		}
	default:
		into[path] = v
	}
}

// Definitions visits every definition that the targets have, whoever made it.
func (f *Fleet) Definitions(ctx context.Context, visit func(target string, definition []byte)) error {
	settings, err := f.targets(ctx)
	if err != nil {
		return err
	}
	for _, s := range settings {
		t, err := newTarget(s, f.options)
		if err != nil {
			return err
		}
		if err := t.open(ctx); err != nil {
			return err
		}
		var all [][]byte
		err = t.dialect.List(ctx, func() { all = nil }, func(d []byte) error {
			all = append(all, slices.Clone(d))
			return nil
		})
		if err != nil {
			return err
		}
		for _, d := range all {
			visit(s.Name, d)
		}
	}
	return nil
}
