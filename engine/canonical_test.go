package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// randomJSON gives what encoding/json decodes, with what is odd in it.
func randomJSON(r *rand.Rand, depth int) any {
	texts := []string{"", "a", "<&>", "\"", "\\", "\n", "\x00", "\x7f", "é", "\u2028", "\xff", "💥", "plain text"}
	numbers := []json.Number{"0", "1", "-1", "007", "", "1.50", "1e3", "123456789012345678901234567890", "-0", "x"}
	switch n := r.IntN(10); {
	case n < 2 && depth > 0:
		m := map[string]any{}
		for range r.IntN(5) {
			m[texts[r.IntN(len(texts))]+fmt.Sprint(r.IntN(3))] = randomJSON(r, depth-1)
		}
		return m
	case n < 4 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomJSON(r, depth-1))
		}
		return list
	case n == 4:
		return numbers[r.IntN(len(numbers))]
	case n == 5:
		return []any{nil, true, false, []any(nil), map[string]any(nil), 1.5, 7, mark{Cluster: "<c>"}, json.RawMessage(`{"b": 1, "a": "<"}`),
			[]string{"a", "\xff"}, []string(nil), map[string]string{"b": "<", "a": "\n"}, map[string][]string{"x": {"y"}, "": nil}}[r.IntN(13)]
	}
	return texts[r.IntN(len(texts))]
}

// Definitions are compared byte by byte with those of other versions, which wrote them
// with encoding/json.
func TestCanonicalIsWhatEncodingJSONWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		v := randomJSON(r, 4)
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		wantErr := enc.Encode(v)
		got, err := canonical(v)
		if (err == nil) != (wantErr == nil) || err == nil && string(got)+"\n" != want.String() {
			t.Fatalf("%#v is written as\n%s, %v, and encoding/json writes\n%s, %v", v, got, err, want.String(), wantErr)
		}
	}
}
