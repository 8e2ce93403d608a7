package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// cuePackages are the packages of our CUE module that Go types stand for.
var cuePackages = sync.OnceValue(func() map[string]cue.Value {
	packages := map[string]cue.Value{}
	ctx := cuecontext.New()
	for _, inst := range load.Instances([]string{"./schema", "./template"}, &load.Config{Dir: "../cue"}) {
		if inst.Err != nil {
			panic(inst.Err)
		}
		v := ctx.BuildInstance(inst)
		if err := v.Err(); err != nil {
			panic(err)
		}
		packages[inst.PkgName] = v
	}
	return packages
})

// TestFactsHaveTheShapeOfCUE holds each type that crosses between Go and CUE, or Go
// and Rego, to its definition, both ways.
func TestFactsHaveTheShapeOfCUE(t *testing.T) {
	for _, tt := range []struct {
		pkg, definition string
		value           any
	}{
		{"schema", "#Facts", Facts{}},
		{"schema", "#ObjectFacts", ObjectFacts{}},
		{"schema", "#ClassFacts", ClassFacts{}},
		{"schema", "#ClassParameters", ClassParameters{}},
		{"schema", "#OverrideFacts", OverrideFacts{}},
		{"schema", "#RouteFacts", RouteFacts{}},
		{"schema", "#BackendFacts", BackendFacts{}},
		{"schema", "#Claim", Claim{}},
		{"schema", "#DefinitionFacts", DefinitionFacts{}},
		{"schema", "#TargetFacts", TargetFacts{}},
		{"schema", "#Decision", policy.Decision{}},
		{"schema", "#Verdict", policy.Verdict{}},
		{"schema", "#Set", policy.Set{}},
		{"schema", "#Reason", policy.Reason{}},
		{"template", "#In", template.In{}},
	} {
		t.Run(tt.pkg+"."+tt.definition, func(t *testing.T) {
			def := cuePackages()[tt.pkg].LookupPath(cue.ParsePath(tt.definition))
			if err := def.Err(); err != nil {
				t.Fatal(err)
			}
			for _, m := range compareShapes(reflect.TypeOf(tt.value), def) {
				t.Error(m)
			}
		})
	}
}

// compareShapes tells in what the JSON of a Go type and a CUE value differ. It
// goes by the types alone, so a field that no sample fills is compared too.
func compareShapes(typ reflect.Type, v cue.Value) []string {
	c := shapeComparer{}
	c.compare(typ.Name(), typ, v)
	return c.found
}

type shapeComparer struct{ found []string }

func (c *shapeComparer) report(at, format string, args ...any) {
	c.found = append(c.found, at+": "+fmt.Sprintf(format, args...))
}

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (c *shapeComparer) compare(at string, typ reflect.Type, v cue.Value) {
	want, ok := kindOf(typ)
	if !ok {
		c.report(at, "the Go type %s is not understood", typ)
		return
	}
	if got := v.IncompleteKind(); got != want {
		c.report(at, "%s in Go is %s, but %s in CUE", typ, want, got)
		return
	}
	switch {
	case typ == rawMessage:
	case typ.Kind() == reflect.Slice:
		c.compareElem(at+"[]", typ.Elem(), v, cue.AnyIndex)
	case typ.Kind() == reflect.Map:
		it, err := v.Fields(cue.Optional(true))
		if err != nil {
			c.report(at, "reading CUE: %v", err)
			return
		}
		for it.Next() {
			c.report(at+"."+fieldName(it), "a field in CUE, but any key in Go")
		}
		c.compareElem(at+".*", typ.Elem(), v, cue.AnyString)
	case typ.Kind() == reflect.Struct:
		c.compareStruct(at, typ, v)
	}
}

// compareElem compares the elements of a list or a map.
func (c *shapeComparer) compareElem(at string, typ reflect.Type, v cue.Value, any cue.Selector) {
	elem := v.LookupPath(cue.MakePath(any))
	if !elem.Exists() {
		c.report(at, "any in Go, but none are allowed in CUE")
		return
	}
	c.compare(at, typ, elem)
}

func (c *shapeComparer) compareStruct(at string, typ reflect.Type, v cue.Value) {
	if v.Allows(cue.AnyString) {
		c.report(at, "a struct in Go, but open in CUE")
	}
	inGo := map[string]reflect.StructField{}
	optional := map[string]bool{}
	for f := range typ.Fields() {
		if !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		if name == "" || f.Anonymous || (options != "" && options != "omitempty") {
			c.report(at+"."+f.Name, "the json tag %q in Go is not understood", f.Tag.Get("json"))
			continue
		}
		inGo[name], optional[name] = f, options == "omitempty"
		switch {
		case f.Type.Kind() == reflect.Pointer && !optional[name]:
			c.report(at+"."+name, "a pointer in Go without omitempty, so null in JSON")
		case f.Type.Kind() == reflect.Struct && optional[name]:
			c.report(at+"."+name, "a struct in Go, which omitempty never leaves out")
		}
	}
	it, err := v.Fields(cue.Optional(true))
	if err != nil {
		c.report(at, "reading CUE: %v", err)
		return
	}
	inCUE := map[string]bool{}
	for it.Next() {
		name := fieldName(it)
		inCUE[name] = true
		f, ok := inGo[name]
		if !ok {
			c.report(at+"."+name, "only in CUE")
			continue
		}
		switch {
		case it.IsOptional() && !optional[name]:
			c.report(at+"."+name, "optional in CUE, but always there in Go")
		case !it.IsOptional() && optional[name]:
			c.report(at+"."+name, "optional in Go, but always there in CUE")
		}
		typ := f.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		c.compare(at+"."+name, typ, it.Value())
	}
	for _, name := range slices.Sorted(maps.Keys(inGo)) {
		if !inCUE[name] {
			c.report(at+"."+name, "only in Go")
		}
	}
}

func fieldName(it *cue.Iterator) string { return it.Selector().Unquoted() }

// kindOf gives the kind that CUE has for the JSON of a Go type.
func kindOf(typ reflect.Type) (cue.Kind, bool) {
	switch k := typ.Kind(); {
	case typ == rawMessage, k == reflect.Interface:
		return cue.TopKind, true
	case typ.Implements(reflect.TypeFor[json.Marshaler]()), reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Marshaler]()):
		return cue.BottomKind, false
	case k == reflect.String:
		return cue.StringKind, true
	case k == reflect.Bool:
		return cue.BoolKind, true
	case reflect.Int <= k && k <= reflect.Uint64:
		return cue.IntKind, true
	case k == reflect.Float32, k == reflect.Float64:
		return cue.NumberKind, true
	case k == reflect.Slice:
		return cue.ListKind, true
	case k == reflect.Map && typ.Key().Kind() == reflect.String, k == reflect.Struct:
		return cue.StructKind, true
	}
	return cue.BottomKind, false
}

// TestShapeComparisonCanFail gives the comparer pairs that differ in one thing.
func TestShapeComparisonCanFail(t *testing.T) {
	type Inner struct {
		A string `json:"a"`
	}
	type T struct {
		Name  string            `json:"name"`
		Port  int               `json:"port"`
		Fix   string            `json:"fix,omitempty"`
		In    *Inner            `json:"in,omitempty"`
		List  []Inner           `json:"list"`
		Words map[string]string `json:"words"`
		Doc   map[string]any    `json:"doc"`
		Raw   json.RawMessage   `json:"raw"`
	}
	const same = `{
		name: "a" | "b"
		port: int
		fix?: string
		in?: {a: string}
		list: [...{a: string}]
		words: [string]: string
		doc: {...}
		raw: _
	}`
	change := func(old, now string) string {
		if !strings.Contains(same, old) {
			t.Fatalf("%q is not in the CUE", old)
		}
		return strings.Replace(same, old, now, 1)
	}
	type noTag struct{ Name string }
	type null struct {
		In *Inner `json:"in"`
	}
	type never struct {
		In Inner `json:"in,omitempty"`
	}
	type quoted struct {
		N int `json:"n,string"`
	}
	for _, tt := range []struct {
		name  string
		value any
		cue   string
		want  string // "" for none
	}{
		{"same", T{}, same, ""},
		{"field only in CUE", T{}, change("port: int", "port: int\n ports?: int"), "T.ports: only in CUE"},
		{"field only in Go", T{}, change("port: int", ""), "T.port: only in Go"},
		{"field only in CUE, deeper", T{}, change("in?: {a: string}", "in?: {a: string, b: string}"), "T.in.b: only in CUE"},
		{"field only in Go, in a list", T{}, change("[...{a: string}]", "[...{}]"), "T.list[].a: only in Go"},
		{"other kind", T{}, change("port: int", "port: string"), "T.port: int in Go is int, but string in CUE"},
		{"more kinds", T{}, change("port: int", "port: int | string"), "T.port: int in Go is int, but (int|string) in CUE"},
		{"null", T{}, change("port: int", "port: null | int"), "T.port: int in Go is int, but (null|int) in CUE"},
		{"fraction", T{}, change("port: int", "port: number"), "T.port: int in Go is int, but number in CUE"},
		{"one for a list", T{}, change("list: [...{a: string}]", "list: {a: string}"), "T.list: []%s in Go is list, but struct in CUE"},
		{"optional in CUE only", T{}, change("port: int", "port?: int"), "T.port: optional in CUE, but always there in Go"},
		{"optional in Go only", T{}, change("fix?: string", "fix: string"), "T.fix: optional in Go, but always there in CUE"},
		{"required in CUE", T{}, change("fix?: string", "fix!: string"), "T.fix: optional in Go, but always there in CUE"},
		{"open in CUE", T{}, change("in?: {a: string}", "in?: {a: string, ...}"), "T.in: a struct in Go, but open in CUE"},
		{"other elements", T{}, change("words: [string]: string", "words: [string]: int"), "T.words.*: string in Go is string, but int in CUE"},
		{"any elements", T{}, change("words: [string]: string", "words: {...}"), "T.words.*: string in Go is string, but _ in CUE"},
		{"any elements of a list", T{}, change("[...{a: string}]", "[...]"), "T.list[]: %s in Go is struct, but _ in CUE"},
		{"a field where Go has keys", T{}, change("words: [string]: string", "words: {[string]: string, a?: string}"), "T.words.a: a field in CUE, but any key in Go"},
		{"no elements", T{}, change("doc: {...}", "doc: {}"), "T.doc.*: any in Go, but none are allowed in CUE"},
		{"something where Go has anything", T{}, change("raw: _", "raw: string"), "T.raw: json.RawMessage in Go is _, but string in CUE"},
		{"no tag", noTag{}, `{Name: string}`, `noTag.Name: the json tag "" in Go is not understood`},
		{"null in Go", null{}, `{in: {a: string}}`, "null.in: a pointer in Go without omitempty, so null in JSON"},
		{"omitempty of a struct", never{}, `{in?: {a: string}}`, "never.in: a struct in Go, which omitempty never leaves out"},
		{"number as text", quoted{}, `{n: string}`, `quoted.N: the json tag "n,string" in Go is not understood`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			def := cuecontext.New().CompileString("#T: " + tt.cue).LookupPath(cue.ParsePath("#T"))
			found := compareShapes(reflect.TypeOf(tt.value), def)
			want := strings.ReplaceAll(tt.want, "%s", reflect.TypeFor[Inner]().String())
			switch {
			case want == "" && len(found) > 0:
				t.Errorf("found %q, where nothing differs", found)
			case want != "" && !slices.Contains(found, want):
				t.Errorf("found %q, want %q", found, want)
			}
		})
	}
}
