package tyk

import (
	"fmt"
	"testing"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	for _, o := range []struct{ written, live, want string }{
		{`{"a":1}`, `{"a":1,"b":2}`, "[]"},
		{`{"a":1}`, `{"a":1.0}`, "[]"},
		{`{"a":1}`, `{"a":1e0}`, "[]"},
		{`{"a":1}`, `{"a":2}`, "[a]"},
		{`{"a":1}`, `{"a":"1"}`, "[a]"},
		{`{"a":1}`, `{}`, "[a]"},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, "[a]"},
		{`{"a":0,"b":"","c":false,"d":[],"e":{},"f":null,"g":{"h":0}}`, `{}`, "[]"},
		{`{"a":0}`, `{"a":1}`, "[a]"},
		{`{"a":""}`, `{"a":"x"}`, "[a]"},
		{`{"a":false}`, `{"a":true}`, "[a]"},
		{`{"a":null}`, `{"a":true}`, "[a]"},
		{`{"a":[]}`, `{"a":["x"]}`, "[a]"},
		{`{"a":{}}`, `{"a":{"x":1}}`, "[]"},
		{`{"a":{"b":{"c":1}}}`, `{"a":{"b":{"c":2,"d":3}}}`, "[a.b.c]"},
		{`{"a":{"b":1}}`, `{"a":"x"}`, "[a.b]"},
		{`{"a":{"b":1}}`, `{"a":null}`, "[a.b]"},
		{`{"a":"x"}`, `{"a":{"b":1}}`, "[a]"},
		{`{"a":[1,2]}`, `{"a":[1,2]}`, "[]"},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, "[a.[]]"},
		{`{"a":[1,2]}`, `{"a":[1]}`, "[a]"},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":1,"c":2}]}`, "[]"},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":2}]}`, "[a.[].b]"},
		{`{"a":"60s"}`, `{"a":"1m0s"}`, "[]"},
		{`{"a":"60s"}`, `{"a":"61s"}`, "[a]"},
		{`{"a\"b":"\u00e9"}`, `{"a\"b":"é"}`, "[]"},
		{`{"is_site":true,"hook_references":[1]}`, `{}`, "[]"},
		{`{"x":{"is_site":true}}`, `{}`, "[x.is_site]"},
		{`{"v":{"extended_paths":{"white_list":[{"fromDashboard":true}]}}}`, `{}`, "[v.extended_paths.white_list]"},
		{`{"v":{"extended_paths":{"white_list":[{"path":"/","fromDashboard":true}]}}}`, `{"v":{"extended_paths":{"white_list":[{"path":"/"}]}}}`, "[]"},
		{`{"a":1}`, `null`, "[a]"},
		{`{"a":1}`, `no JSON`, "[]"},
	} {
		got := differences([]byte(o.written), []byte(o.live))
		if o.live == "no JSON" {
			if len(got) != 1 || got[0] != "" {
				t.Errorf("%s: %q", o.live, got)
			}
			continue
		}
		if fmt.Sprint(got) != o.want {
			t.Errorf("%s, %s: %v, want %s", o.written, o.live, got, o.want)
		}
	}
}

func TestMeaningAndText(t *testing.T) {
	t.Parallel()
	const text = `{"a":[1,"x",null],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}}}`
	touched := with(text, touchedPath, 3)
	if textOf([]byte(text)) != textOf([]byte(touched)) || meaningOf([]byte(text)) != meaningOf([]byte(touched)) {
		t.Error("a touch has a meaning")
	}
	same := ` {"b":{"d":{} ,"c":true},"config_data":{"cuegate":{"hash":"\u0068"}},"a":[1,"x",null]}`
	if meaningOf([]byte(text)) != meaningOf([]byte(same)) {
		t.Error("the order has a meaning")
	}
	for _, other := range []string{
		`{"a":[1,null,"x"],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}}}`,
		`{"a":[1,"x",null],"config_data":{"cuegate":{"hash":"i"}},"b":{"c":true,"d":{}}}`,
		`{"a":[1,"x",null],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":[]}}`,
		`{"a":[1,"x","null"],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}}}`,
		`{"a":["1","x",null],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}}}`,
		`{"a":[1,"x",null],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}},"e":0}`,
		`{"a":[[1,"x"],null],"config_data":{"cuegate":{"hash":"h"}},"b":{"c":true,"d":{}}}`,
	} {
		if meaningOf([]byte(text)) == meaningOf([]byte(other)) || textOf([]byte(text)) == textOf([]byte(other)) {
			t.Error("the same as ", other)
		}
	}
}
