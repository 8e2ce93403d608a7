package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"text/template"
	"unicode/utf8"

	"github.com/cuegate/cuegate/engine"
)

// FuzzReadJSON reads templates that may be anything. What the machine makes of one has to
// be, for every route on which the original gives JSON, that JSON.
func FuzzReadJSON(f *testing.F) {
	for _, pattern := range []string{"testdata/shipped/*", "testdata/nasty/*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if data, err := os.ReadFile(name); err == nil && filepath.Ext(name) != ".txtar" {
				f.Add(string(data))
			}
		}
	}
	for _, text := range []string{
		`{"a": [1, 2.5e3, -0, true, null, "x\ty\u00e9"], "": {}}`,
		`[{{ range $i, $e := .GatewayTags }}{{ if $i }},{{ end }}{{ $i }}{{ end }}]`,
		`{"a": 1{{ if .HostName }}0{{ if .Org }}.5{{ end }}{{ end }}, {{ if .Slug }}"b": {{ else }}"c": {{ end }}2}`,
		`{{ if .HostName }}{"a":{{ else }}{"b":{{ end }}{{ if .HostName }}1}{{ else }}2}{{ end }}`,
		`["{{ if .Name }}a", "b{{ end }}", {{ with .Org }}"{{ . }}"{{ else }}0{{ end }}]`,
		`{"a": {{ if not .Org }}1{{ else if eq .Org "x" "default" }}2{{ else }}3{{ end }} }`,
		`{"{{ .Name }}": "{{ printf "%s%%%d" .Slug 5 }}{{ len .GatewayTags | printf "%d" }}"}`,
		`[{{ range .GatewayTags }}{{ if eq . "edge" }}{{ continue }}{{ end }}"{{ . }}",{{ end }}""]`,
	} {
		f.Add(text)
	}
	routes := fuzzRoutes()
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		all, _ := readSources([]File{{Name: "f.tmpl", Data: []byte(text)}})
		original, err := all.original()
		if err != nil || len(all.order) == 0 {
			return
		}
		for _, d := range all.order {
			code, _ := follow(all, d)
			doc, err := readJSON(code)
			var s *stuck
			if errors.As(err, &s) {
				continue
			}
			for _, in := range routes {
				if problem := compareDocument(all, original, d.name, doc, err, in); problem != "" {
					t.Fatal(problem)
				}
			}
		}
	})
}

func fuzzRoutes() []engine.TemplateInput {
	all := &sources{vars: variables()}
	g := newGenerator(all)
	var routes []engine.TemplateInput
	for range 12 {
		routes = append(routes, g.route())
	}
	return routes
}

// compareDocument says in what a document that was read differs from what the original
// gives for a route, if it gives JSON; "" when it does not.
func compareDocument(all *sources, original *template.Template, name string, doc any, readErr error, in engine.TemplateInput) string {
	x := &interpreter{data: map[string]any{}, keys: map[*loop]int64{}, elems: map[*loop]any{}}
	for name, v := range all.vars {
		x.data[name] = v.value(in)
	}
	var b bytes.Buffer
	if err := original.ExecuteTemplate(&b, name, x.data); err != nil {
		return ""
	}
	dec := json.NewDecoder(bytes.NewReader(b.Bytes()))
	dec.UseNumber()
	var want any
	if !json.Valid(b.Bytes()) || dec.Decode(&want) != nil || !utf8.Valid(b.Bytes()) {
		return ""
	}
	if readErr != nil {
		return fmt.Sprintf("%s was taken for no JSON (%s), and gives %s", name, readErr, b.Bytes())
	}
	got, err := x.value(doc)
	if errors.Is(err, errUnable) {
		return ""
	}
	if err != nil || !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s gives %s\nand was read as %#v, %v", name, b.Bytes(), got, err)
	}
	return ""
}
