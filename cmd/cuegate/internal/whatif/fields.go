package whatif

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// difference is a value that differs; one that is not there is nil, and has is false.
type difference struct {
	path           []string
	old, new       any
	hasOld, hasNew bool
}

// differences compares two documents, as decode gives them, in the order of their paths.
//
// Lists of plain values are compared whole, and lists of objects that have names by
// these; one that is there on one side alone is told whole. In other lists what is the same is passed over, whatever its place, and the
// rest compared in order.
func differences(old, new any) []difference {
	var all []difference
	compare(nil, old, new, old != nil, new != nil, func(d difference) { all = append(all, d) })
	return all
}

func compare(path []string, old, new any, hasOld, hasNew bool, visit func(difference)) {
	if hasOld == hasNew && same(old, new) {
		return
	}
	a, oldMap := old.(map[string]any)
	b, newMap := new.(map[string]any)
	// What is there on one side alone is told leaf by leaf as well.
	if (oldMap || !hasOld) && (newMap || !hasNew) && len(a)+len(b) > 0 {
		keys := slices.Collect(maps.Keys(a))
		for k := range b {
			if _, both := a[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			x, inOld := a[k]
			y, inNew := b[k]
			compare(below(path, k), x, y, inOld, inNew, visit)
		}
		return
	}
	x, oldList := old.([]any)
	y, newList := new.([]any)
	if (oldList || !hasOld) && (newList || !hasNew) && slices.ContainsFunc(slices.Concat(x, y), isObject) {
		compareLists(path, x, y, visit)
		return
	}
	visit(difference{path, old, new, hasOld, hasNew})
}

func compareLists(path []string, old, new []any, visit func(difference)) {
	if names, others := byName(old), byName(new); names != nil && others != nil {
		keys := slices.Collect(maps.Keys(names))
		for k := range others {
			if _, both := names[k]; !both {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		for _, k := range keys {
			x, inOld := names[k]
			y, inNew := others[k]
			if at := below(path, "["+k+"]"); inOld && inNew {
				compare(at, x, y, true, true, visit)
			} else {
				visit(difference{at, x, y, inOld, inNew})
			}
		}
		return
	}
	type element struct {
		at    int
		value any
	}
	var gone, come []element
	used := make([]bool, len(new))
	for i, x := range old {
		j := slices.IndexFunc(new, func(y any) bool { return same(x, y) })
		for j >= 0 && used[j] {
			k := slices.IndexFunc(new[j+1:], func(y any) bool { return same(x, y) })
			if k < 0 {
				j = -1
				break
			}
			j += 1 + k
		}
		if j < 0 {
			gone = append(gone, element{i, x})
		} else {
			used[j] = true
		}
	}
	for j, y := range new {
		if !used[j] {
			come = append(come, element{j, y})
		}
	}
	for i := range max(len(gone), len(come)) {
		switch {
		case i >= len(gone):
			compare(below(path, strconv.Itoa(come[i].at)), nil, come[i].value, false, true, visit)
		case i >= len(come):
			compare(below(path, strconv.Itoa(gone[i].at)), gone[i].value, nil, true, false, visit)
		default:
			compare(below(path, strconv.Itoa(come[i].at)), gone[i].value, come[i].value, true, true, visit)
		}
	}
	if len(gone)+len(come) == 0 { // the order alone
		visit(difference{path, old, new, true, true})
	}
}

func isObject(v any) bool { _, is := v.(map[string]any); return is }

// byName gives the elements of a list by their names; nil where they have none, or two
// have the same.
func byName(list []any) map[string]any {
	all := map[string]any{}
	for _, x := range list {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		if _, twice := all[name]; name == "" || twice {
			return nil
		}
		all[name] = x
	}
	return all
}

func below(path []string, key string) []string { return append(slices.Clone(path), key) }

func same(a, b any) bool {
	x, err := json.Marshal(a)
	y, bad := json.Marshal(b)
	return err == nil && bad == nil && bytes.Equal(x, y)
}

// decode gives nil for what is no JSON object. Numbers stay as they are written.
func decode(raw []byte) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc map[string]any
	if dec.Decode(&doc) != nil {
		return nil
	}
	return doc
}

// joined writes a path as explanations do, "." between keys and "\." inside one, and
// elements that are named as "[name]".
func joined(path []string) string {
	var b strings.Builder
	for i, p := range path {
		if i > 0 && !strings.HasPrefix(p, "[") {
			b.WriteByte('.')
		}
		b.WriteString(strings.ReplaceAll(p, ".", `\.`))
	}
	return b.String()
}

// field tells a difference without what may be secret.
func (d difference) field() Field {
	f := Field{Path: joined(d.path)}
	if d.hasOld {
		f.Old = shown(d.path, d.old)
	}
	if d.hasNew {
		f.New = shown(d.path, d.new)
	}
	return f
}

// shown gives a value without what may be secret. A variable has its name beside it.
func shown(at []string, v any) json.RawMessage {
	as := joined(at)
	if n := len(at); n > 1 && at[n-1] == "value" && strings.HasPrefix(at[n-2], "[") {
		as = variable(strings.Trim(at[n-2], "[]"))
	}
	return engine.Shown(as, withoutVariables(v))
}

// variable is a path as which the value of an environment variable may be shown.
func variable(name string) string { return strings.ReplaceAll(name, ".", "_") }

// withoutVariables gives a value whose environment variables are as they may be shown.
func withoutVariables(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = withoutVariables(v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		name, named := v["name"].(string)
		for k, x := range v {
			if text, is := x.(string); is && named && k == "value" {
				object[k] = engine.Shown(variable(name), text)
			} else {
				object[k] = withoutVariables(x)
			}
		}
		return object
	}
	return v
}
