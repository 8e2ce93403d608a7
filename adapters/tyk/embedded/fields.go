package embedded

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

//go:embed fields.tsv
var fieldsTable string

// A field is a place in a classic definition: what may stand there and what the
// gateway writes when nothing does.
type field struct {
	// kind is the first word of the type in the table.
	kind string
	// members of an object, in the table's order.
	members []*field
	byName  map[string]*field
	// elem is what a list or a map holds.
	elem *field
	name string
	// key is the name as JSON, with its colon.
	key []byte
	// zero is the JSON of no value: every field of an object, null for a list.
	zero []byte
}

// readFields reads the table; the field of the whole definition is returned.
func readFields(table string) *field {
	root := &field{kind: "object"}
	known := map[string]*field{"": root}
	for line := range strings.Lines(table) {
		path, kind, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(path, "#") {
			continue
		}
		kind, _, _ = strings.Cut(kind, " ")
		f := &field{kind: kind}
		known[path] = f
		if list, ok := strings.CutSuffix(path, "[]"); ok {
			known[list].elem = f
			continue
		}
		dot := strings.LastIndexByte(path, '.')
		parent := known[path[:max(dot, 0)]]
		if f.name = path[dot+1:]; f.name == "*" {
			parent.elem = f
			continue
		}
		parent.add(f)
	}
	root.setZero()
	return root
}

func (f *field) add(member *field) {
	if f.byName == nil {
		f.byName = map[string]*field{}
	}
	f.members = append(f.members, member)
	f.byName[member.name] = member
	member.key = append(strconv.AppendQuote(nil, member.name), ':')
}

func (f *field) setZero() {
	if f.elem != nil {
		f.elem.setZero()
	}
	for _, m := range f.members {
		m.setZero()
	}
	switch f.kind {
	case "object":
		f.zero = f.appendObject(nil, nil)
	case "string":
		f.zero = []byte(`""`)
	case "bool":
		f.zero = []byte("false")
	case "int", "int64", "uint16", "uint64", "float64":
		f.zero = []byte("0")
	default:
		f.zero = []byte("null")
	}
}

// member finds a name as encoding/json does: as it is written, or else in any case.
func (f *field) member(name string) *field {
	if m := f.byName[name]; m != nil {
		return m
	}
	for _, m := range f.members {
		if strings.EqualFold(m.name, name) {
			return m
		}
	}
	return nil
}

// decode reads the first JSON value of data, as the gateway reads a body: what
// follows the value is not looked at. The result is canonical, see read.
func (f *field) decode(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	v, err := f.read(v)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return map[string]any{}, nil
	}
	return v.(map[string]any), nil
}

// read checks a value and gives its canonical form: unknown fields are dropped,
// and a value that is as good as none is nil, so that two definitions are the
// same to the gateway when their canonical forms are.
func (f *field) read(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch f.kind {
	case "object":
		return f.readObject(v)
	case "map[string]":
		return f.readMap(v)
	case "array":
		return f.readList(v)
	case "string":
		return scalar[string](v)
	case "bool":
		return scalar[bool](v)
	case "int", "int64", "uint16", "uint64", "float64":
		return f.readNumber(v)
	case "time.Time":
		text, ok := v.(string)
		if !ok {
			return nil, errType
		}
		_, err := time.Parse(time.RFC3339, text)
		return text, err
	}
	return v, nil
}

var errType = errors.New("wrong type")

func scalar[T comparable](v any) (any, error) {
	x, ok := v.(T)
	if !ok {
		return nil, errType
	}
	var zero T
	if x == zero {
		return nil, nil
	}
	return x, nil
}

func (f *field) readObject(v any) (any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errType
	}
	out := map[string]any{}
	for name, value := range object {
		m := f.member(name)
		if m == nil {
			continue
		}
		if _, exact := object[m.name]; exact && name != m.name {
			continue
		}
		read, err := m.read(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		if read != nil {
			out[m.name] = read
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func (f *field) readMap(v any) (any, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errType
	}
	out := make(map[string]any, len(object))
	for key, value := range object {
		read, err := f.elem.read(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out[key] = read
	}
	return out, nil
}

func (f *field) readList(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errType
	}
	out := make([]any, len(list))
	for i, value := range list {
		read, err := f.elem.read(value)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i, err)
		}
		out[i] = read
	}
	return out, nil
}

func (f *field) readNumber(v any) (any, error) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, errType
	}
	switch f.kind {
	case "float64":
		x, err := n.Float64()
		return nonZero(x, err)
	case "uint16", "uint64":
		bits, _ := strconv.Atoi(f.kind[len("uint"):])
		x, err := strconv.ParseUint(n.String(), 10, bits)
		return nonZero(x, err)
	}
	x, err := n.Int64()
	return nonZero(x, err)
}

func nonZero[T int64 | uint64 | float64](x T, err error) (any, error) {
	if err != nil || x == 0 {
		return nil, err
	}
	return x, nil
}
