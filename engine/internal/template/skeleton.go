package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"strconv"
)

// skeleton is a definition with holes where atoms are.
type skeleton struct {
	// text[i] stands before the atom holes[i], and the last text after all.
	text  [][]byte
	holes []int
	// whole is the definition, decoded, with an atom in each hole.
	whole map[string]any
	// size in bytes, roughly.
	size int
}

// atom is a hole in a decoded definition.
type atom int

var errAtoms = errors.New("an atom is not whole in what was rendered")

// newSkeleton cuts compact JSON at the texts that stand for atoms. They must be
// whole strings, and no keys.
func newSkeleton(data []byte, atoms int) (*skeleton, error) {
	sk := &skeleton{size: 10 * len(data)}
	var text []byte
	bad := false
	eachText(data, func(between, quoted []byte, isKey bool) {
		text = append(text, between...)
		n, ok := atomOf(quoted)
		if !ok || isKey {
			bad = bad || bytes.Contains(quoted, []byte(atomMark))
			text = append(text, quoted...)
			return
		}
		bad = bad || n >= atoms
		sk.text, sk.holes = append(sk.text, bytes.Clone(text)), append(sk.holes, n)
		text = text[:0]
	})
	if bad {
		return nil, errAtoms
	}
	sk.text = append(sk.text, bytes.Clone(text))
	doc, err := decode(data)
	if err != nil {
		return nil, err
	}
	sk.whole = withHoles(doc).(map[string]any)
	return sk, nil
}

// atomOf reads a quoted text as that of an atom.
func atomOf(quoted []byte) (int, bool) {
	digits, ok := bytes.CutPrefix(quoted, []byte(`"`+atomMark))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(bytes.TrimSuffix(digits, []byte(`~"`))))
	return n, err == nil && string(quoted) == `"`+atomText(n)+`"`
}

func withHoles(v any) any {
	switch v := v.(type) {
	case string:
		if n, ok := atomOf([]byte(`"` + v + `"`)); ok {
			return atom(n)
		}
	case []any:
		for i := range v {
			v[i] = withHoles(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withHoles(v[k])
		}
	}
	return v
}

// fill gives the JSON with atoms in the holes.
func (sk *skeleton) fill(atoms []string) []byte {
	n := 0
	for _, t := range sk.text {
		n += len(t)
	}
	for _, h := range sk.holes {
		n += len(atoms[h]) + 2
	}
	out := make([]byte, 0, n+n/8)
	for i, h := range sk.holes {
		out = appendText(append(out, sk.text[i]...), atoms[h])
	}
	return append(out, sk.text[len(sk.text)-1]...)
}

// document gives the same, decoded. The caller may change it.
func (sk *skeleton) document(atoms []string) map[string]any {
	return filled(sk.whole, atoms).(map[string]any)
}

func filled(v any, atoms []string) any {
	switch v := v.(type) {
	case atom:
		return atoms[v]
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = filled(v[i], atoms)
		}
		return out
	case map[string]any:
		out := maps.Clone(v)
		for k, x := range v {
			switch x.(type) {
			case atom, []any, map[string]any:
				out[k] = filled(x, atoms)
			}
		}
		return out
	}
	return v
}

// decode decodes a definition; numbers stay as they are written.
func decode(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc map[string]any
	err := dec.Decode(&doc)
	return doc, err
}
