package k8s

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// shadowObject is an object that two bundles decide differently.
type shadowObject struct {
	// Object is "Kind/namespace/name".
	Object string `json:"object"`
	// Differs are the kinds of differences.
	Differs []string       `json:"differs"`
	Active  shadowDecision `json:"active"`
	Shadow  shadowDecision `json:"shadow"`
	// Values are some of those that differ in definitions of both.
	Values []shadowValue `json:"values,omitempty"`
}

// shadowDecision is one side of it.
type shadowDecision struct {
	Outcome  engine.Outcome `json:"outcome"`
	Template string         `json:"template,omitempty"`
	// Reasons are ids.
	Reasons []string `json:"reasons,omitempty"`
	// Definitions are hashes by api_id.
	Definitions map[string]string `json:"definitions,omitempty"`
}

// shadowValue is a leaf that differs, as far as it may be shown.
type shadowValue struct {
	ID     string          `json:"id"`
	Path   string          `json:"path"`
	Active json.RawMessage `json:"active,omitempty"`
	Shadow json.RawMessage `json:"shadow,omitempty"`
}

// maxValues bounds the leaves that are listed of one object.
const maxValues = 20

// markPath is where a definition holds its hash; it differs with everything else.
const markPath = "config_data.cuegate."

// compareDecisions tells what differs; warnings do not count, for they change nothing.
func compareDecisions(a, b engine.Desired) differs {
	return differs{
		differsOutcome:     a.Outcome != b.Outcome,
		differsTemplate:    a.Template != b.Template,
		differsDefinitions: !maps.Equal(hashes(a), hashes(b)),
		differsReasons:     !slices.Equal(reasonIDs(a.Reasons), reasonIDs(b.Reasons)),
	}
}

func hashes(d engine.Desired) map[string]string {
	all := make(map[string]string, len(d.Definitions))
	for i := range d.Definitions {
		all[d.Definitions[i].ID] = d.Definitions[i].Hash
	}
	return all
}

// listDifferences shows what differs between a decision and that of the second bundle.
func listDifferences(active, other engine.Desired) shadowObject {
	side := func(d engine.Desired) shadowDecision {
		return shadowDecision{Outcome: d.Outcome, Template: d.Template, Reasons: reasonIDs(d.Reasons), Definitions: hashes(d)}
	}
	x := shadowObject{Object: active.Object.String(), Differs: compareDecisions(active, other).names(), Active: side(active), Shadow: side(other)}
	for i := range active.Definitions {
		a := &active.Definitions[i]
		j := slices.IndexFunc(other.Definitions, func(d engine.Definition) bool { return d.ID == a.ID })
		if j < 0 || other.Definitions[j].Hash == a.Hash {
			continue
		}
		x.Values = append(x.Values, differentValues(a.ID, a.JSON, other.Definitions[j].JSON)...)
	}
	x.Values = x.Values[:min(len(x.Values), maxValues)]
	return x
}

// differentValues compares the leaves of two definitions, in order of their paths.
func differentValues(id string, active, other []byte) []shadowValue {
	a, b := leaves(active), leaves(other)
	paths := slices.Collect(maps.Keys(a))
	for path := range b {
		if _, both := a[path]; !both {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	var all []shadowValue
	for _, path := range paths {
		x, inA := a[path]
		y, inB := b[path]
		if strings.HasPrefix(path, markPath) || inA == inB && reflect.DeepEqual(x, y) {
			continue
		}
		v := shadowValue{ID: id, Path: path}
		if inA {
			v.Active = engine.Shown(path, x)
		}
		if inB {
			v.Shadow = engine.Shown(path, y)
		}
		all = append(all, v)
	}
	return all
}

// leaves gives the leaves of a JSON document by path, with "." between keys and "\."
// for one inside a key. Lists have the number of each element for a key.
func leaves(data []byte) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc any
	all := map[string]any{}
	if dec.Decode(&doc) == nil {
		eachLeaf("", doc, func(path string, v any) { all[path] = v })
	}
	return all
}

func eachLeaf(path string, v any, visit func(path string, v any)) {
	below := func(key string, v any) {
		key = strings.ReplaceAll(key, ".", `\.`)
		if path != "" {
			key = path + "." + key
		}
		eachLeaf(key, v, visit)
	}
	switch x := v.(type) {
	case map[string]any:
		for k, v := range x {
			below(k, v)
		}
		if len(x) > 0 {
			return
		}
	case []any:
		for i, v := range x {
			below(strconv.Itoa(i), v)
		}
		if len(x) > 0 {
			return
		}
	}
	visit(path, v)
}
