package template_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine/internal/template"
)

func sample() template.In {
	return template.In{ID: "00ff", Org: "default", Name: "cafe-ingress:tea-svc", Slug: "x",
		Object:    template.Object{Kind: "Ingress", Namespace: "default", Name: "cafe-ingress"},
		Namespace: template.Namespace{Name: "default"},
		Host:      "cafe.example.com", Domain: "cafe.example.com", Path: "/tea", PathType: "Prefix", ListenPath: "/tea{p:(?:/|$)}",
		Service: template.Service{Name: "tea-svc", Namespace: "default", Port: 80},
		Target:  "http://tea-svc.default:80", Tags: []string{"ingress"}}
}

func TestX(t *testing.T) {
	sub, _ := fs.Sub(cuegate.Builtin(), "cue")
	s, ps := template.Load(sub, nil)
	for _, p := range ps {
		t.Error(p)
	}
	if s == nil {
		return
	}
	for _, n := range s.Names() {
		r, err := s.Render(n, sample(), nil)
		fmt.Println(n, s.Place(n), err, string(r.JSON))
		if err == nil && n == "tokenAuth" {
			b, _ := json.MarshalIndent(r.Origins(), "", " ")
			fmt.Println(string(b))
		}
	}
	for _, v := range []string{`{"use_keyless":true}`, `{"bogus":1}`, `{"proxy":{"target_url":3}}`, `{"proxy":{"target_url":"http://x.com"}}`, `{"version_data":{"versions":{"Default":{"extended_paths":{"hard_timeouts":[{"path":"{all}","method":"GET","timeout":60,"fromDashboard":true}]}}}}}`} {
		r, err := s.Render("tokenAuth", sample(), []byte(v))
		fmt.Printf("%s %#v %s\n", v, err, r.JSON)
	}
}

func BenchmarkRender(b *testing.B) {
	sub, _ := fs.Sub(cuegate.Builtin(), "cue")
	s, _ := template.Load(sub, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Render("default", sample(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
