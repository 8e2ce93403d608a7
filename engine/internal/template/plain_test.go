package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/cuegate/cuegate"
)

// templatesFile makes a package of templates, each given as what follows
// `template.#Base &`.
func templatesFile(texts map[string]string, more string) fstest.MapFS {
	var b strings.Builder
	b.WriteString("package templates\nimport \"github.com/cuegate/cuegate/cue/template\"\n")
	for _, pkg := range []string{"strings", "list", "net", "math"} {
		if strings.Contains(fmt.Sprint(texts)+more, pkg+".") {
			fmt.Fprintf(&b, "import %q\n", pkg)
		}
	}
	for name, text := range texts {
		fmt.Fprintf(&b, "templates: %s: template.#Base & {in: _\n%s}\n", name, text)
	}
	return fstest.MapFS{"templates/mine.cue": {Data: []byte(b.String() + more)}}
}

func loadOperator(tb testing.TB, operator fs.FS) *Set {
	tb.Helper()
	own, err := fs.Sub(cuegate.Builtin(), "cue")
	if err != nil {
		tb.Fatal(err)
	}
	s, problems := Load(own, operator)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	return s
}

func (s *Set) isPlain(name string) bool {
	if s.plain == nil {
		return false
	}
	_, ok := s.plain.seen[name]
	return ok
}

// plainTemplates do nothing that keeps them from being plain.
var plainTemplates = map[string]string{
	"asIs":            ``,
	"fixed":           `api: {domain: in.host, tags: in.tags, slug: "x"}`,
	"ifHost":          `api: {if in.host == "" {tags: ["none"]}, if in.host != "" {tags: ["some", in.host]}}`,
	"twoFields":       `api: {if in.host == in.domain {tags: ["same"]}, if in.name == in.slug {disable_quota: false}}`,
	"unified":         `api: config_data: {both: in.host & in.domain}`,
	"unifiedLiteral":  `api: config_data: {x: in.name & "x"}`,
	"disjunction":     `api: config_data: {x: "a" | *in.name, y: *in.host | "a" | "b"}`,
	"ambiguous":       `api: config_data: {x: (*in.name | string) & (*in.host | string)}`,
	"pathType":        `api: config_data: {exact: in.pathType == "Exact", t: in.pathType}`,
	"countTags":       `api: config_data: {n: len(in.tags), if len(in.tags) > 1 {many: true}}`,
	"countHost":       `api: config_data: {n: len(in.host), if len(in.name) > 3 {long: in.name}}`,
	"loop":            `api: config_data: {l: [for t in in.tags {t}], m: [for t in in.tags if t != "a" {"\(t)/\(in.host)"}]}`,
	"loopOfStructs":   `api: config_data: {l: [for t in in.tags {name: t, host: in.host}]}`,
	"letClause":       `let _n = "\(in.name)-\(in.service.name)", api: {name: _n, config_data: {again: _n, third: "<\(_n)>"}}`,
	"nestedLet":       `let _a = in.name, let _b = "\(_a)!", let _c = strings.ToUpper(_b), api: config_data: {c: _c, a: _a}`,
	"hidden":          `_h: in.host, api: config_data: {h: _h, same: _h == in.domain}`,
	"throughAPI":      `api: {domain: *in.domain | string, if api.domain == in.host {tags: ["same"]}, config_data: d: api.domain}`,
	"throughDefaults": `defaults: target_url: in.host, api: config_data: t: defaults.target_url`,
	"upper":           `api: {domain: strings.ToUpper(in.host), config_data: {l: strings.ToLower(in.name), j: strings.Join(in.tags, ","), r: strings.Replace(in.host, ".", "-", -1)}}`,
	"upperCompared":   `api: config_data: {same: strings.ToUpper(in.host) == in.domain, x: strings.TrimSpace(in.name) == "x"}`,
	"match":           `api: config_data: {m: in.host =~ "^[a-c]", n: in.name !~ "\"", p: strings.HasPrefix(in.path, "/")}`,
	"concatenated":    `api: config_data: {c: in.host + in.name, d: in.host + "/" + in.path}`,
	"port":            `api: config_data: {p: in.service.port, q: in.service.port + 1, r: in.service.port > 80, s: "\(in.service.port)"}`,
	"label":           `api: {if in.object.labels.team != _|_ {tags: [in.object.labels.team]}, if in.namespace.labels["tier"] == "gold" {disable_quota: false}}`,
	"labelText":       `api: {if in.object.labels.team != _|_ {tags: ["t-\(in.object.labels.team)"]}}`,
	"labelNeeded":     `api: tags: ["t-\(in.object.labels.team)"]`,
	"labelDefault":    `api: config_data: {x: *"t-\(in.object.labels.team)" | "none", y: *in.object.labels.team | "none"}`,
	"labelsWhole":     `api: config_data: {l: in.object.labels, a: in.object.annotations}`,
	"whole":           `api: config_data: {whole: in}`,
	"aliasOfIn":       `let _r = in, api: config_data: {h: _r.host, o: _r.object.name == in.name}`,
	"errors":          `errors: [if in.host == "" {"no host"}, if in.path !~ "^/[a-z/]*$" {"the path \(in.path)"}]`,
	"errorsOfTags":    `errors: [for t in in.tags if t == "bad" {"tag \(t)"}]`,
	"multiplied":      `api: config_data: {n: 2 * len(in.tags) - 1, m: in.service.port / 2}`,
	"contains":        `api: config_data: {c: list.Contains(in.tags, in.name), l: list.Concat([in.tags, [in.host]])}`,
	"pattern":         `api: config_data: {[string]: string, h: in.host, "x y": in.name}`,
	"bounds":          `api: global_rate_limit: {rate: *100 | >0 & <=1000, per: *60 | >0}`,
	"notEqual":        `api: config_data: {h: in.host & !="x"}`,
	"openList":        `api: config_data: {l: [in.host, ...string], n: [...string] & in.tags}`,
	"chosen":          `api: config_data: {c: [if in.host == "x" {"first"}, if in.tags != [] {"second"}, "third"][0]}`,
	"certificates":    `api: config_data: {c: in.certificates, n: len(api.client_certificates), t: len(api.tags)}`,
	"quotes":          `api: config_data: {q: "\"\\\(in.host)\"", r: #"a\#(in.name)"b"#, u: "\u00e9\(in.name)"}`,
}

// opaqueTemplates look into texts in ways that only CUE can follow.
var opaqueTemplates = map[string]string{
	"constrained":     `api: config_data: {n: in.name & =~"^[a-c]"}`,
	"constrainedRef":  `api: domain: =~"^[a-c]*$" | *"x"`,
	"dynamic":         `api: config_data: {(in.name): 1}`,
	"dynamicText":     `api: config_data: {"k-\(in.name)": in.host}`,
	"textOfAPI":       `api: config_data: {t: "\(api.domain)!"}`,
	"lengthOfAPI":     `api: config_data: {n: len(api.domain)}`,
	"ordered":         `api: config_data: {o: in.host < in.name}`,
	"orderedLiteral":  `api: config_data: {o: in.host <= "m", if in.name >= "x" {big: true}}`,
	"repeated":        `api: config_data: {r: in.name * 2}`,
	"runes":           `api: config_data: {r: in.name & strings.MaxRunes(3)}`,
	"validator":       `api: config_data: {r: *"none" | in.host & net.FQDN}`,
	"sorted":          `api: config_data: {s: list.SortStrings(in.tags)}`,
	"indexed":         `api: config_data: {i: {a: 1, b: 2}[in.name]}`,
	"labelKeys":       `api: config_data: {k: [for k, v in in.object.labels {"\(k)=\(v)"}]}`,
	"addsToIn":        `in: object: labels: team: *"none" | string, api: tags: ["t-\(in.object.labels.team)"]`,
	"narrowsIn":       `in: host: =~"^[a-c]"`,
	"otherIn":         `api: config_data: {in: {host: "inner"}, h: "\(in.host)"}`,
	"patternOfKeys":   `api: config_data: {[=~"^h"]: "x" | *"y", host: string}`,
	"otherAPI":        `api: config_data: {n: [for api in [{tags: in.name}] {len(api.tags)}]}`,
	"innerAPI":        `api: config_data: {api: tags: in.name, n: len(api.tags)}`,
	"sliced":          `api: config_data: {s: strings.SliceRunes(in.name, 0, 1)}`,
	"boolInText":      `api: config_data: {s: "\(in.host == in.domain)"}`,
	"innerComparison": `api: config_data: {s: [for t in in.tags {len(t)}], t: [for t in in.tags {n: len(t)}]}`,
}

// texts that have broken programs of this kind, and some that the templates spell.
var oddTexts = []string{
	"", "x", "a", "b", "A", "B", "/", "/tea", "gold", "team", "bad", "none", "Exact", "Prefix", "X", " x ", "cafe.example.com", "tea", "true", "1", "0.1", "null",
	`"`, `\`, `\"`, `'`, "`", "\n", "\t", "\x00", "\x7f", "\xff", "\xed\xa0\x80", "\u2028", "\ufeff", "\ufffd", "é", "e\u0301", "💥", "<b>&amp;</b>",
	`\(in.id)`, `\u0041`, `"}`, `","use_keyless":true,"x":"`, `{{.ID}}`, `_|_`, "a~1~", atomMark, atomText(0), atomText(1), "cuegate~0~", `"` + atomText(2) + `"`,
	strings.Repeat("long ", 500),
}

// symbols are the texts of a route before they are replaced by odd ones.
var symbols = []string{"$0", "$1", "$2", "$3", "$4", "$5", "x", "a", "/", "gold"}

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// sketch makes a route of symbols, so that fields are equal now and then.
func sketch(r *rand.Rand) In {
	symbol := func() string { return pick(r, symbols) }
	some := func(n int) (list []string) {
		for range r.IntN(n) {
			list = append(list, symbol())
		}
		return list
	}
	labels := func() map[string]string {
		m := map[string]string{}
		for _, k := range []string{"team", "tier", "other"} {
			if r.IntN(2) == 0 {
				m[k] = symbol()
			}
		}
		return m
	}
	return In{ID: symbol(), Org: symbol(), Name: symbol(), Slug: symbol(),
		Object:    Object{Kind: "Ingress", Namespace: symbol(), Name: symbol(), Labels: labels(), Annotations: labels()},
		Namespace: Namespace{Name: symbol(), Labels: labels()},
		Host:      symbol(), Domain: symbol(), Path: symbol(), PathType: pick(r, []string{"Exact", "Prefix"}), ListenPath: symbol(),
		Service: Service{Name: symbol(), Namespace: symbol(), Port: 80 + r.IntN(2)},
		Target:  symbol(), Tags: some(3), Certificates: some(3)}
}

var sketchedValues = []string{
	"", "", "", `{}`,
	`{"proxy": {"target_url": "$0"}}`, `{"proxy": {"target_url": "$5", "preserve_host_header": true}}`, `{"use_keyless": true}`, `{"name": "$1", "tags": ["$2", "x"]}`,
	`{"config_data": {"k": "$3", "$4": {"deep": ["$0", 1.50, null, "$1"]}}}`, `{"config_data": {"h": "$1"}}`, `{"jwt_signing_method": "hmac"}`, `{"jwt_signing_method": "$2"}`,
	`{"domain": 3}`, `{"slug": "$0", "domain": "$1"}`, `{"client_certificates": ["$0", "$1"]}`, `{"cache_options": {"cache_timeout": 60}}`, `{"name": "$\u0031", "active": false}`, `not JSON`,
}

// replaced replaces the symbols by other texts.
func replaced[T any](v T, by map[string]string) T {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out T
	walked := reflect.New(reflect.TypeFor[T]()).Elem()
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	walked.Set(reflect.ValueOf(out))
	replaceIn(walked, by)
	return walked.Interface().(T)
}

func replaceIn(v reflect.Value, by map[string]string) {
	switch v.Kind() {
	case reflect.String:
		if t, ok := by[v.String()]; ok {
			v.SetString(t)
		}
	case reflect.Slice:
		for i := range v.Len() {
			replaceIn(v.Index(i), by)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			replaceIn(v.Field(i), by)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			x := reflect.New(v.Type().Elem()).Elem()
			x.Set(v.MapIndex(k))
			replaceIn(x, by)
			v.SetMapIndex(k, x)
		}
	}
}

// replacedValues does the same in JSON, keys included.
func replacedValues(text string, by map[string]string) []byte {
	if text == "" {
		return nil
	}
	for symbol, t := range by {
		quoted, err := json.Marshal(t)
		if err != nil {
			panic(err)
		}
		text = strings.ReplaceAll(text, `"`+symbol+`"`, string(quoted))
	}
	return []byte(text)
}

// sameAsCUE renders both ways, and tells whether CUE was spared.
func sameAsCUE(tb testing.TB, s *Set, name string, in In, values []byte) bool {
	tb.Helper()
	got, gotErr := s.Render(name, in, values)
	want, wantErr := s.evaluate(name, route{in: s.limited(in), values: values})
	if !reflect.DeepEqual(gotErr, wantErr) {
		tb.Fatalf("%s of %+v with %s: the fault is\n%#v\nand of CUE\n%#v", name, in, values, gotErr, wantErr)
	}
	if !bytes.Equal(got.JSON, want.JSON) {
		tb.Fatalf("%s of %+v with %s: got\n%s\nand from CUE\n%s", name, in, values, got.JSON, want.JSON)
	}
	if gotErr != nil {
		return false
	}
	document, err := got.Document()
	if err != nil {
		tb.Fatal(err)
	}
	decoded, err := decode(want.JSON)
	if err != nil || !reflect.DeepEqual(document, decoded) {
		tb.Fatalf("%s of %+v with %s: the document is\n%v\nand from CUE\n%v", name, in, values, document, decoded)
	}
	return got.skeleton != nil
}

// tryTemplates renders sketches with several replacements each, so that most are
// rendered without CUE where the template allows it.
func tryTemplates(t *testing.T, s *Set, names []string, sketches int) {
	r := rand.New(rand.NewPCG(1, 2))
	unspelled := slices.DeleteFunc(slices.Clone(oddTexts), func(t string) bool { return s.spelled[t] })
	for _, name := range names {
		spared := 0
		for n := range sketches {
			// Mostly those that leave the shape as it is.
			odd := unspelled
			if n%4 == 3 {
				odd = oddTexts
			}
			in, values := sketch(r), pick(r, sketchedValues)
			for range 5 {
				by := map[string]string{}
				for i, n := range r.Perm(len(odd))[:6] {
					by[fmt.Sprintf("$%d", i)] = odd[n]
				}
				if sameAsCUE(t, s, name, replaced(in, by), replacedValues(values, by)) {
					spared++
				}
			}
		}
		// Odd routes may all be refused.
		for i := range 3 {
			if sameAsCUE(t, s, name, ordinary(i), []byte(`{"client_certificates": ["c"]}`)) {
				spared++
			}
		}
		if s.isPlain(name) != (spared > 0) {
			t.Errorf("the template %s is plain: %v; CUE was spared %d times", name, s.isPlain(name), spared)
		}
	}
}

// ordinary makes a route that every template takes.
func ordinary(i int) In {
	return In{ID: fmt.Sprint("id", i), Slug: fmt.Sprint("slug", i), Name: "x", Host: "x", Domain: "x", Path: "/tea",
		Object: Object{Labels: map[string]string{"team": "shop"}}, Namespace: Namespace{Labels: map[string]string{"tier": "iron"}}, Tags: []string{"ingress"}, Certificates: []string{fmt.Sprint("certificate", i)}}
}

func sketches() int {
	if testing.Short() {
		return 4
	}
	return 8
}

// CUE and what is rendered without it give the same, whatever the texts are.
func TestPlainIsCUE(t *testing.T) {
	for kind, texts := range map[string]map[string]string{"plain": plainTemplates, "opaque": opaqueTemplates} {
		s := loadOperator(t, templatesFile(texts, ""))
		for name := range texts {
			if want := kind == "plain"; s.isPlain(name) != want {
				t.Errorf("the template %s is plain: %v", name, !want)
			}
		}
		t.Run(kind, func(t *testing.T) { tryTemplates(t, s, s.Names(), sketches()) })
	}
}

// The built-in templates and those of the examples are plain.
func TestPlainExamples(t *testing.T) {
	bundles, err := filepath.Glob("../../../examples/*/bundle")
	if err != nil || len(bundles) == 0 {
		t.Fatal("no examples", err)
	}
	for _, dir := range bundles {
		s := loadOperator(t, os.DirFS(dir))
		for _, name := range s.Names() {
			if !s.isPlain(name) {
				t.Errorf("%s: the template %s is not plain", dir, name)
			}
		}
		tryTemplates(t, s, s.Names(), sketches())
	}
}

// What is outside of `templates` counts for all templates of the operator, and for
// none of ours.
func TestPlainPackages(t *testing.T) {
	for text, plain := range map[string]bool{
		"":                                 true,
		`_pattern: "^[a-c]"`:               true,
		`_pattern: =~"^[a-c]"`:             false,
		`#Text: {x: string, y: "\(x)!"}`:   false,
		`len: 3`:                           false,
		`templates: other: templates.mine`: true,
		`templates: other: templates.bad, templates: bad: template.#Base & {api: domain: =~"x" | *"x"}`: false,
	} {
		s := loadOperator(t, templatesFile(map[string]string{"mine": `api: name: "\(in.name)"`}, text))
		if s.isPlain("mine") != plain || !s.isPlain("default") {
			t.Errorf("%s: mine is plain: %v; default: %v", text, s.isPlain("mine"), s.isPlain("default"))
		}
		tryTemplates(t, s, []string{"mine"}, 5)
	}
}

// A bundle that spells our marks is left to CUE.
func TestPlainMarks(t *testing.T) {
	for _, text := range []string{`api: slug: "` + atomText(0) + `"`, `api: config_data: x: *in["#derived0"] | "\(in.name)"`} {
		s := loadOperator(t, templatesFile(map[string]string{"mine": text}, ""))
		if s.plain != nil {
			t.Errorf("%s is plain", text)
		}
		tryTemplates(t, s, []string{"mine"}, 3)
	}
}

// Shapes and bytes are bounded, and what is forgotten is rendered all the same.
func TestPlainForgets(t *testing.T) {
	s := loadOperator(t, templatesFile(map[string]string{"counts": `api: config_data: {n: in.service.port}`}, ""))
	for port := range maxShapes + 50 {
		in := In{Service: Service{Port: port}}
		for range 2 {
			if _, err := s.Render("counts", in, nil); err != nil {
				t.Fatal(err)
			}
		}
		if port%100 == 0 {
			sameAsCUE(t, s, "counts", in, nil)
		}
	}
	if p := s.plain; len(p.known) != maxShapes || p.latest.Len() != maxShapes {
		t.Errorf("%d shapes are known", len(p.known))
	}
	p := s.plain
	for i := range 20 {
		p.keep(&shaped{key: fmt.Sprint(i), skeleton: &skeleton{size: maxShapeBytes / 10}})
	}
	total := 0
	for e := p.latest.Front(); e != nil; e = e.Next() {
		total += e.Value.(*shaped).size()
	}
	if total != p.bytes || total > maxShapeBytes || len(p.known) > 10 {
		t.Errorf("%d bytes are kept of %d shapes, counted are %d", total, len(p.known), p.bytes)
	}
}

// Several may render at once, and change what they got.
func TestPlainAtOnce(t *testing.T) {
	s := loadOperator(t, nil)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				in := In{Name: fmt.Sprint("n", w, i), Host: fmt.Sprint("h", w, i), Tags: []string{"ingress"}}
				r, err := s.Render(s.Names()[i%2], in, nil)
				if err != nil {
					continue
				}
				doc, err := r.Document()
				if err != nil || doc["name"] != in.Name+" #ingress" {
					t.Errorf("%v, %v", doc["name"], err)
				}
				doc["proxy"].(map[string]any)["target_url"] = "changed"
				doc["tags"] = append(doc["tags"].([]any), "changed")
			}
		})
	}
	wg.Wait()
}

// FuzzPlain tries texts that nobody thought of.
func FuzzPlain(f *testing.F) {
	for _, t := range oddTexts {
		f.Add(t, "tea", "$0")
		f.Add("tea", t, t)
	}
	s := loadOperator(f, templatesFile(plainTemplates, ""))
	names := slices.DeleteFunc(s.Names(), func(name string) bool { return !s.isPlain(name) })
	f.Fuzz(func(t *testing.T, a, b, c string) {
		in := sketch(rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b)))))
		quoted, err := json.Marshal(map[string]any{"name": c, "config_data": map[string]any{"k": a}})
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			if i%8 == len(c)%8 {
				sameAsCUE(t, s, name, replaced(in, map[string]string{"$0": a, "$1": b, "$2": c, "$3": a + b}), quoted)
				sameAsCUE(t, s, name, replaced(in, map[string]string{"$0": b, "$1": a, "$2": c, "$3": c + b}), nil)
			}
		}
	})
}

// BenchmarkWithoutCUE compares the two ways of rendering in one run.
func BenchmarkWithoutCUE(b *testing.B) {
	s := loadOperator(b, nil)
	in := In{ID: "00ff", Org: "default", Name: "cafe:tea-svc", Slug: "x", Host: "cafe.example.com", Domain: "cafe.example.com",
		Path: "/tea", PathType: "Prefix", ListenPath: "/tea{p:(?:/|$)}", Target: "http://tea-svc.default:80", Tags: []string{"ingress"}}
	for _, bench := range []struct{ name, template, values string }{
		{"default", "default", ""},
		{"tokenAuth with overrides", "tokenAuth", `{"proxy":{"target_url":"https://httpbin.org"},"cache_options":{"cache_timeout":60}}`},
		{"legacy", "legacy", ""},
	} {
		values := replacedValues(bench.values, nil)
		b.Run(bench.name+"/CUE", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.evaluate(bench.template, route{in: s.limited(in), values: values}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bench.name+"/without", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Render(bench.template, in, values); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
