package policy

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

type inner struct {
	Name  string  `json:"name"`
	Maybe *string `json:"maybe,omitempty"`
	Count int     `json:"count"`
}

type outer struct {
	Text    string            `json:"text"`
	Flag    bool              `json:"flag"`
	Left    string            `json:"left,omitempty"`
	None    []string          `json:"none"`
	Empty   []string          `json:"empty"`
	Omitted []inner           `json:"omitted,omitempty"`
	Inner   []inner           `json:"inner"`
	At      *inner            `json:"at,omitempty"`
	Null    *inner            `json:"null"`
	Labels  map[string]string `json:"labels"`
	API     map[string]any    `json:"api"`
}

// An input is what its JSON says.
func TestInputIsItsJSON(t *testing.T) {
	var r Rules
	maybe := "a\xffb\xed\xa0\x80c"
	for _, x := range []outer{
		{},
		{Text: "\xff\xfe<&>\u2028\x00", Flag: true, Left: "x", Empty: []string{}, Inner: []inner{{"n", &maybe, -7}, {Count: 123456789}}, At: &inner{},
			Labels: map[string]string{"a": "b", "\xff": "c", "": ""},
			API: map[string]any{"s": "\xff", "n": json.Number("1.50"), "big": json.Number("18446744073709551616"), "e": json.Number("1e3"), "i": json.Number("80"),
				"null": nil, "true": true, "list": []any{nil, "x", map[string]any{}, []any{}}, "map": map[string]any{"k": json.Number("0")}}},
	} {
		got, err := r.NewInput(x)
		if err != nil {
			t.Fatal(err)
		}
		sameInput(t, got, x)
		x.Inner = append(x.Inner, inner{Name: "more"})
		if got, err = got.With("inner", x.Inner); err != nil {
			t.Fatal(err)
		}
		sameInput(t, got, x)
	}
	if _, err := r.NewInput(struct{ X float64 }{1}); err == nil {
		t.Error("a float is taken, which no fact is")
	}
}

func sameInput(t *testing.T, got Input, x any) {
	t.Helper()
	raw, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ast.ValueFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if got.value.Compare(want) != 0 || got.value.String() != want.String() || got.value.Hash() != want.Hash() {
		t.Errorf("the input is %s, its JSON says %s", got.value, want)
	}
}
