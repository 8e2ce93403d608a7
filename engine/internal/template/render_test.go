package template_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine/internal/template"
)

func sample() template.In {
	return template.In{ID: "00ff", Org: "default", Name: "cafe-ingress:tea-svc", Slug: "x",
		Object:    template.Object{Kind: "Ingress", Namespace: "default", Name: "cafe-ingress", Labels: map[string]string{"team": "shop"}},
		Namespace: template.Namespace{Name: "default"},
		Host:      "cafe.example.com", Domain: "cafe.example.com", Path: "/tea", PathType: "Prefix", ListenPath: "/tea{p:(?:/|$)}",
		Service: template.Service{Name: "tea-svc", Namespace: "default", Port: 80},
		Target:  "http://tea-svc.default:80", Tags: []string{"ingress"}}
}

// load loads the built-in templates, and with them one called `mine`.
func load(tb testing.TB, mine string) *template.Set {
	tb.Helper()
	own, err := fs.Sub(cuegate.Builtin(), "cue")
	if err != nil {
		tb.Fatal(err)
	}
	const head = "package templates\nimport \"github.com/cuegate/cuegate/cue/template\"\ntemplates: mine: template.#Base & "
	s, problems := template.Load(own, fstest.MapFS{"templates/mine.cue": {Data: []byte(head + "{in: _, " + mine[1:])}})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	return s
}

func render(tb testing.TB, s *template.Set, name, values string) (map[string]any, error) {
	tb.Helper()
	r, err := s.Render(name, sample(), []byte(values))
	if err != nil {
		return nil, err
	}
	var api map[string]any
	if err := json.Unmarshal(r.JSON, &api); err != nil {
		tb.Fatal(err)
	}
	return api, nil
}

// A value may replace a default and repeat what is fixed; it may not change it.
func TestRenderUnifiesValues(t *testing.T) {
	s := load(t, `{api: {use_keyless: false, proxy: strip_listen_path: *true | bool}}`)
	api, err := render(t, s, "mine", `{"use_keyless": false, "proxy": {"strip_listen_path": false}}`)
	if err != nil || api["proxy"].(map[string]any)["strip_listen_path"] != false {
		t.Errorf("%v, %v", api, err)
	}
	_, err = render(t, s, "mine", `{"use_keyless": true}`)
	var f *template.Fault
	if !errors.As(err, &f) || strings.Join(f.Path, ".") != "use_keyless" || f.Author || len(f.Positions) == 0 || f.Positions[0].File != "templates/mine.cue" {
		t.Errorf("the fault is %#v", err)
	}
}

// The errors of a template refuse the route. Some that cannot be evaluated are no
// permission.
func TestRenderErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{errors: ["not today"]}`:                     "not today",
		`{errors: []}`:                                "",
		`{errors: [if in.path == "/tea" {"no tea"}]}`: "no tea",
		`{errors: [if in.object.labels["tier"] != "shop" {"only shop"}]}`:        "tier",
		`{errors: ["always", if in.object.labels.tier != "shop" {"only shop"}]}`: "tier",
	} {
		_, err := render(t, load(t, text), "mine", `{}`)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v does not say %q", text, err, want)
		}
	}
}

// Labels reach a template by whatever way it spells their keys, and no others do.
func TestRenderLabels(t *testing.T) {
	for _, text := range []string{
		`{api: tags: [in.object.labels.team]}`,
		`{api: tags: [in.object.labels["team"]]}`,
		`{api: tags: [for k, v in in.object.labels if k == "team" {v}]}`,
		`{api: {if in.object.labels.team != _|_ {tags: ["shop"]}}}`,
	} {
		api, err := render(t, load(t, text), "mine", `{}`)
		if err != nil || api["tags"].([]any)[0] != "shop" {
			t.Errorf("%s: %v, %v", text, api["tags"], err)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	s := load(b, "{}")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Render("default", sample(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// Keys of maps that the bundle does not spell out are hidden from CUE, which nobody
// notices.
func TestRenderKeepsKeys(t *testing.T) {
	const (
		plain = `{api: config_data: [string]: int | string}`
		keyed = `{api: config_data: {[=~"^n"]: int, [string]: int | string}}`
	)
	for _, c := range []struct{ template, values, want, fault string }{
		{plain, `{"config_data": {"a": 1, "b\"\\é\u0001": "cuegate~1~", "cuegate~0~": 3, "": 4}}`, `{"a": 1, "b\"\\é\u0001": "cuegate~1~", "cuegate~0~": 3, "": 4}`, ""},
		{plain, `{"config_data": {"a": 1, "n.b": true}}`, "", `config_data.n.b`},
		{keyed, `{"config_data": {"a": "x", "n": 1}}`, `{"a": "x", "n": 1}`, ""},
		{keyed, `{"config_data": {"a": "x", "n.b": "x"}}`, "", `config_data.n.b`},
		{`{api: config_data: {[string]: _, all: [for k, v in api.custom_middleware {k}]}}`, `{"custom_middleware": {"driver": "otto"}}`, `{"all": ["driver"]}`, ""},
		{`{api: config_data: mine: *1 | int}`, `{"config_data": {"mine": 2, "yours": 3}}`, `{"mine": 2, "yours": 3}`, ""},
		{`{api: config_data: {[string]: _, (in.name): 1}}`, `{"config_data": {"cafe-ingress:tea-svc": 2}}`, "", "config_data.cafe-ingress:tea-svc"},
		{`{api: {config_data: [string]: _, config_data: it: [if api.config_data[in.name] != _|_ {api.config_data[in.name]}, 0][0]}}`, `{"config_data": {"cafe-ingress:tea-svc": 2}}`, `{"it": 2, "cafe-ingress:tea-svc": 2}`, ""},
	} {
		api, err := render(t, load(t, c.template), "mine", c.values)
		var f *template.Fault
		if errors.As(err, &f) && strings.Join(f.Path, ".") == c.fault {
			continue
		}
		var want map[string]any
		if json.Unmarshal([]byte(c.want), &want) != nil || err != nil || !reflect.DeepEqual(api["config_data"], any(want)) {
			t.Errorf("%s with %s: %v, %v", c.template, c.values, api["config_data"], err)
		}
	}
}
