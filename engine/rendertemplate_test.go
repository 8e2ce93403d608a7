package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func TestRenderTemplate(t *testing.T) {
	b, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
	if err != nil {
		t.Fatal(err)
	}
	in := engine.TemplateInput{Role: "ingress", Org: "acme", Name: "cafe:tea", Path: "/tea", ListenPath: "/tea", Target: "http://tea.cafe:80"}

	render := func(template string, values []byte) map[string]any {
		t.Helper()
		raw, err := b.RenderTemplate(template, in, values)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	if doc := render("default", nil); doc["name"] != "cafe:tea" || doc["use_keyless"] != true || doc["org_id"] != "acme" || doc["config_data"] != nil {
		t.Errorf("default gives %v", doc)
	}
	if doc := render("default", []byte(`{"name":"other"}`)); doc["name"] != "other" {
		t.Errorf("a value that an annotation sets has no effect: %v", doc)
	}

	if _, err := b.RenderTemplate("tokenAuth", in, []byte(`{"use_keyless":true}`)); err == nil {
		t.Error("a value that the template fixes was changed")
	}
	if _, err := b.RenderTemplate("gone", in, nil); err == nil {
		t.Error("a template that there is not gave something")
	}
	in.Path = "/with space"
	var refusal *engine.TemplateRefusal
	if _, err := b.RenderTemplate("legacy", in, nil); !errors.As(err, &refusal) || refusal.Message == "" {
		t.Errorf("the template legacy did not refuse a path with a space, but gave %v", err)
	}
}

func TestCheckValue(t *testing.T) {
	b, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stories := []struct {
		path    []string
		value   any
		unknown bool
		want    string
	}{
		{[]string{"use_keyless"}, true, false, ""},
		{[]string{"use_keyles"}, true, true, "use_keyles: no such field in an API definition; did you mean use_keyless?"},
		{[]string{"tags"}, []any{"a", false}, false, "tags.1: wants a string, not true or false"},
		{[]string{"config_data", "any", "thing"}, []any{nil}, false, ""},
	}
	for _, s := range stories {
		got, unknown := "", false
		for _, v := range b.CheckValue(s.path, s.value) {
			got, unknown = v.Error(), v.Unknown
		}
		if got != s.want || unknown != s.unknown {
			t.Errorf("%v: got %q, unknown %v; want %q, %v", s.path, got, unknown, s.want, s.unknown)
		}
	}
}
