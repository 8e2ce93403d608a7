package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// patchOp is one operation of a JSON Patch (RFC 6902). Of those that there are the engine
// uses add, replace and remove.
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

func readPatch(raw []byte) ([]patchOp, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var ops []patchOp
	err := dec.Decode(&ops)
	return ops, err
}

// keys are the parts of the path, unescaped.
func (o patchOp) keys() []string {
	parts := strings.Split(strings.TrimPrefix(o.Path, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts
}

// field writes the path as reasons do: spec.containers[0], metadata.labels[a/b].
func (o patchOp) field() string {
	var b strings.Builder
	for i, k := range o.keys() {
		_, err := strconv.Atoi(k)
		switch {
		case k == "-":
		case err == nil || strings.ContainsAny(k, "./"):
			b.WriteString("[" + k + "]")
		case i > 0:
			b.WriteString("." + k)
		default:
			b.WriteString(k)
		}
	}
	return b.String()
}

// before gives what stands at the path in an object, as encoding/json decodes it.
func (o patchOp) before(object []byte) any {
	keys := o.keys()
	for i, k := range keys {
		keys[i] = gjson.Escape(k)
	}
	return gjson.GetBytes(object, strings.Join(keys, ".")).Value()
}

// patchLine is one change, for people.
type patchLine struct {
	action engine.Action
	field  string
	what   string
}

// describePatch tells what a patch does to the object.
func describePatch(raw, object []byte) []patchLine {
	ops, err := readPatch(raw)
	if err != nil {
		return nil
	}
	var lines []patchLine
	for _, o := range ops {
		action, v := engine.Create, o.Value
		switch o.Op {
		case "replace":
			action = engine.Update
		case "remove":
			action, v = engine.Delete, o.before(object)
		}
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				lines = append(lines, patchLine{action, o.field(), describeValue(e)})
			}
		case map[string]any:
			if isTexts(v) && len(v) > 0 && v["name"] == nil {
				for _, k := range slices.Sorted(maps.Keys(v)) {
					lines = append(lines, patchLine{action, o.field() + "[" + k + "]", describeValue(v[k])})
				}
				continue
			}
			lines = append(lines, patchLine{action, o.field(), describeValue(v)})
		default:
			lines = append(lines, patchLine{action, o.field(), describeValue(v)})
		}
	}
	return lines
}

func isTexts(m map[string]any) bool {
	for _, v := range m {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return true
}

// maxDescribed bounds what is shown of a text.
const maxDescribed = 72

// describeValue names what is added, and shows no more of it: the rest may be secret.
func describeValue(v any) string {
	switch v := v.(type) {
	case string:
		if runes := []rune(v); len(runes) > maxDescribed {
			v = string(runes[:maxDescribed]) + "..."
		}
		return strconv.Quote(v)
	case map[string]any:
		name, _ := v["name"].(string)
		image, isContainer := v["image"].(string)
		value, isPair := v["value"].(string)
		hosts, isAlias := v["hostnames"].([]any)
		switch {
		case isContainer:
			return name + ", image " + image
		case isPair:
			return name + " = " + value
		case isAlias:
			return fmt.Sprintf("%v for %v", v["ip"], strings.Trim(fmt.Sprint(hosts), "[]"))
		case name != "":
			return name
		}
	}
	raw, _ := json.Marshal(v)
	return string(raw)
}

// summarizePatch counts what a patch does.
func summarizePatch(raw []byte) string {
	ops, err := readPatch(raw)
	if err != nil {
		return "unreadable"
	}
	n := map[string]int{}
	for _, o := range ops {
		n[o.Op]++
	}
	var texts []string
	for _, x := range [][2]string{{"add", "addition"}, {"replace", "replacement"}, {"remove", "removal"}} {
		if n[x[0]] > 0 {
			texts = append(texts, count(n[x[0]], x[1]))
		}
	}
	return strings.Join(texts, ", ")
}

// shownPatch is a patch as it may be shown: without what may be secret in the
// environment of a container. It is no patch to apply.
func shownPatch(raw []byte) json.RawMessage {
	ops, err := readPatch(raw)
	if err != nil || len(ops) == 0 {
		return nil
	}
	for i := range ops {
		ops[i].Value = shownValue(ops[i].Value)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(ops) != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

func shownValue(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = shownValue(v[i])
		}
	case map[string]any:
		name, named := v["name"].(string)
		for k := range v {
			if text, ok := v[k].(string); ok && k == "value" && named {
				v[k] = engine.Shown(strings.ReplaceAll(name, ".", "_"), text)
			} else {
				v[k] = shownValue(v[k])
			}
		}
	}
	return v
}

// patch tells what is done to the object.
func (p *printer) patch(raw, object []byte) {
	lines := describePatch(raw, object)
	if len(lines) == 0 {
		return
	}
	width := 0
	for _, l := range lines {
		width = max(width, len(l.field))
	}
	p.printf("\npatch\n")
	for _, l := range lines {
		s := diffSigns[l.action]
		p.printf("  %s %-*s  %s\n", p.paint(s.colour, s.sign), width, l.field, l.what)
	}
}

// service tells by what Service other sidecars find the workload.
func (p *printer) service(raw []byte) {
	if len(raw) == 0 {
		return
	}
	s := gjson.GetManyBytes(raw, "metadata.namespace", "metadata.name", "spec.ports.0.port", "spec.selector")
	var selector []string
	s[3].ForEach(func(k, v gjson.Result) bool {
		selector = append(selector, k.String()+"="+v.String())
		return true
	})
	p.printf("\nservice\n  %s/%s, port %d, of the pods %s\n", s[0].String(), s[1].String(), s[2].Int(), strings.Join(selector, ","))
}
