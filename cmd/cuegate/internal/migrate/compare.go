package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
)

func decode(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("there is something behind the JSON")
	}
	if doc == nil {
		return nil, errors.New("the JSON is null")
	}
	return doc, nil
}

// known leaves out what the API definition has no field for, what is null, and what is
// identity, and writes numbers and names in one way.
func (p *prover) known(path []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			inner := append(slices.Clone(path), k)
			if v[k] == nil || len(path) == 0 && isIdentity(k) {
				continue
			}
			name := k
			if _, unknown := p.unknown(inner); unknown {
				var ok bool
				if name, ok = p.folded(path, k); !ok {
					continue
				}
				inner[len(inner)-1] = name
			}
			out[name] = p.known(inner, v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = p.known(append(slices.Clone(path), "0"), x)
		}
		return out
	case json.Number:
		if r, ok := rational(v); ok {
			return decimalOf(r)
		}
	}
	return v
}

// rational reads a number, unless its exponent would fill the memory.
func rational(n json.Number) (*big.Rat, bool) {
	if len(n) > 30 || len(n)-strings.IndexAny(string(n)+"e", "eE") > 3 {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}

// decimalOf writes a number in one way.
func decimalOf(r *big.Rat) json.Number {
	if r.IsInt() {
		return json.Number(r.RatString())
	}
	return json.Number(strings.TrimRight(r.FloatString(30), "0"))
}

func countLeaves(v any) int {
	n := 0
	eachLeaf(nil, v, func([]string, any) { n++ })
	return n
}

func eachLeaf(path []string, v any, visit func([]string, any)) {
	m, ok := v.(map[string]any)
	if !ok {
		visit(path, v)
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		eachLeaf(append(slices.Clone(path), k), m[k], visit)
	}
}

func put(m map[string]any, path []string, v any) {
	for _, k := range path[:len(path)-1] {
		inner, ok := m[k].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[k] = inner
		}
		m = inner
	}
	m[path[len(path)-1]] = v
}

func at(v any, path []string) any {
	for _, k := range path {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // what was decoded can be encoded
	}
	return data
}
