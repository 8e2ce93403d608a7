package embedded

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEveryFieldIsWritten walks the table: what the gateway answers has every
// field that is not below a list or a map, with a zero value.
func TestEveryFieldIsWritten(t *testing.T) {
	root := readFields(fieldsTable)
	var minimal any
	text := root.expand(nil, nil)
	if err := json.Unmarshal(text, &minimal); err != nil {
		t.Fatal(err)
	}
	// "6.0 KiB per minimal API"
	if len(text) < 5<<10 || len(text) > 7<<10 {
		t.Errorf("an empty definition has %d bytes", len(text))
	}
	zeros := map[string]any{
		"string": "", "bool": false, "int": 0.0, "int64": 0.0, "uint16": 0.0, "uint64": 0.0, "float64": 0.0,
	}
	fields := 0
	for line := range strings.Lines(fieldsTable) {
		path, kind, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(path, "#") || strings.ContainsAny(path, "*[") {
			continue
		}
		fields++
		kind, _, _ = strings.Cut(kind, " ")
		at := minimal
		for name := range strings.SplitSeq(path, ".") {
			var there bool
			if at, there = at.(map[string]any)[name]; !there {
				t.Fatalf("%s is missing", path)
			}
		}
		if _, isObject := at.(map[string]any); isObject && kind == "object" {
			continue
		}
		if at != zeros[kind] {
			t.Errorf("%s (%s) is %v", path, kind, at)
		}
	}
	if fields < 300 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func TestExpand(t *testing.T) {
	root := readFields(fieldsTable)
	cases := []struct{ name, in, want string }{
		{"a value", `{"name":"n"}`, `"name":"n"`},
		{"an unknown field is dropped", `{"name":"n","bogus":{"a":1}}`, `!bogus`},
		{"a field of the Dashboard is dropped", `{"is_site":true}`, `!is_site`},
		{"an empty list stays one", `{"tags":[]}`, `"tags":[]`},
		{"null is no list", `{"tags":null}`, `"tags":null`},
		{"an element of a list is whole", `{"custom_middleware":{"pre":[{"name":"m"}]}}`, `"pre":[{"disabled":false,"name":"m","path":"","require_session":false,"raw_body_only":false}]`},
		{"null in a list is a whole element", `{"custom_middleware":{"pre":[null]}}`, `"pre":[{"disabled":false,"name":"",`},
		{"an entry of a map is whole", `{"version_data":{"versions":{"v":{}}}}`, `"versions":{"v":{"name":"","expires":"","paths":{"ignored":null,`},
		{"any value is kept", `{"config_data":{"b":{"x":[1,2.50,"<"]},"a":null}}`, `"config_data":{"a":null,"b":{"x":[1,2.50,"\u003c"]}}`},
		{"a list of lists", `{"security_requirements":[["a"],[]]}`, `"security_requirements":[["a"],[]]`},
		{"another case", `{"NAME":"n","Cors":{"ENABLE":true}}`, `"CORS":{"enable":true,`},
		{"a float", `{"global_rate_limit":{"rate":1.50}}`, `"rate":1.5`},
		{"a time", `{"graphql":{"last_schema_update":"2026-02-03T04:05:06Z"}}`, `"last_schema_update":"2026-02-03T04:05:06Z"`},
	}
	for _, c := range cases {
		tree, err := root.decode([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := string(root.expand(nil, tree))
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON: %s", c.name, got)
		}
		if absent, ok := strings.CutPrefix(c.want, "!"); ok {
			if strings.Contains(got, absent) {
				t.Errorf("%s: %s is there", c.name, absent)
			}
		} else if !strings.Contains(got, c.want) {
			t.Errorf("%s: no %s in %s", c.name, c.want, got)
		}
	}
}

// Two definitions are the same to a reload when the gateway would write the same.
func TestCanonical(t *testing.T) {
	root := readFields(fieldsTable)
	same := []string{
		`{"api_id":"a","proxy":{"listen_path":"/a/"}}`,
		`{"proxy":{"listen_path":"/a/","target_url":""},"api_id":"a","active":false,"tags":null,"CORS":{"enable":false},"bogus":1}`,
	}
	other := []string{`{"api_id":"a","proxy":{"listen_path":"/a/"},"tags":[]}`, `{"api_id":"a","proxy":{"listen_path":"/a/"},"name":"n"}`}
	text := func(s string) string {
		d, err := root.parseFile([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return string(d.text)
	}
	if text(same[0]) != text(same[1]) {
		t.Errorf("%s is not %s", text(same[0]), text(same[1]))
	}
	for _, o := range other {
		if text(o) == text(same[0]) {
			t.Errorf("%s is taken for %s", o, same[0])
		}
	}
}

// What GET gives, PUT reads as the same.
func FuzzExpandRoundTrip(f *testing.F) {
	f.Add(apiOf("a1", "/a1/", "config_data", map[string]any{"k": []any{1, nil}}, "tags", []string{}))
	f.Add(`{"version_data":{"versions":{"":null}},"auth_configs":{"x":{"signature":{"error_code":7}}}}`)
	f.Add(`{"security_requirements":[null,[null]],"global_rate_limit":{"per":1e3}}`)
	root := readFields(fieldsTable)
	f.Fuzz(func(t *testing.T, in string) {
		tree, err := root.decode([]byte(in))
		if err != nil {
			return
		}
		out := root.expand(nil, tree)
		again, err := root.decode(out)
		if err != nil {
			t.Fatalf("%s became %s: %v", in, out, err)
		}
		if got := root.expand(nil, again); string(got) != string(out) {
			t.Errorf("%s became %s, and then %s", in, out, got)
		}
	})
}
