package template

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"cuelang.org/go/cue/parser"
	"github.com/google/go-cmp/cmp"
)

const branching = `package templates

import "github.com/cuegate/cuegate/cue/template"

templates: [string]: template.#Template

#limits: {
	rate: *100 | >0
	per:  *60 | >0
}

// shop has branches of all kinds.
templates: shop: template.#Base & {
	in: _
	let public = *(in.namespace.labels["tier"] == "public") | false
	if in.namespace.labels["tier"] == "gold" {
		api: active: true
	}
	if public {
		api: use_keyless: true
	}
	if !public {
		api: {
			use_keyless: false
			if in.path == "/admin" {
				disable_rate_limit: false
				global_rate_limit: #limits
			}
		}
	}
	api: {
		tags: [for t in in.tags if t != "ingress" {t}, "shop"]
		"proxy": preserve_host_header: *true | bool
	}
	errors: [
		if in.host == "" {
			"a host is needed"
		},
	]
}

// spare is chosen by nobody.
templates: spare: template.#Base & {
	api: active: *false | bool
}
`

func coverFS(t *testing.T) (builtin, operator fs.FS) {
	t.Helper()
	own, err := fs.Sub(os.DirFS("../../.."), "cue")
	if err != nil {
		t.Fatal(err)
	}
	return own, fstest.MapFS{"templates/shop.cue": {Data: []byte(branching)}}
}

// Which way a template went is told of every if and default, whatever the values that it
// was rendered with.
func TestProbes(t *testing.T) {
	builtin, operator := coverFS(t)
	s, ps := Load(builtin, operator)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	in := sampleIn()
	in.Host, in.Path, in.Tags = "shop.example.com", "/", []string{"ingress"}
	public := in
	public.ID = strings.Repeat("1", 32)
	public.Namespace.Labels = map[string]string{"tier": "public"}
	admin := in
	admin.ID, admin.Path, admin.Host = strings.Repeat("2", 32), "/admin", ""
	for _, story := range []struct {
		name   string
		routes []In
		values string
		want   string
	}{
		{"nothing", nil, "", `
8 rate: *100 | >0
9 per: *60 | >0
16 if in.namespace.labels["tier"] == "gold"
19 if public
22 if !public
25 if in.path == "/admin"
32 if t != "ingress"
33 preserve_host_header: *true | bool
36 if in.host == ""
44 active: *false | bool
`},
		{"one route", []In{in}, "", `
shop
8 rate: *100 | >0
9 per: *60 | >0
16 if in.namespace.labels["tier"] == "gold" false
19 if public false
22 if !public true
25 if in.path == "/admin" false
32 if t != "ingress" false
33 preserve_host_header: *true | bool true
36 if in.host == "" false
44 active: *false | bool
`},
		{"public", []In{public}, "", `
shop
8 rate: *100 | >0
9 per: *60 | >0
16 if in.namespace.labels["tier"] == "gold" false
19 if public true
22 if !public false
25 if in.path == "/admin"
32 if t != "ingress" false
33 preserve_host_header: *true | bool true
36 if in.host == "" false
44 active: *false | bool
`},
		{"admin, refused by errors", []In{admin}, "", `
shop
8 rate: *100 | >0 true
9 per: *60 | >0 true
16 if in.namespace.labels["tier"] == "gold" false
19 if public false
22 if !public true
25 if in.path == "/admin" true
32 if t != "ingress" false
33 preserve_host_header: *true | bool true
36 if in.host == "" true
44 active: *false | bool
`},
		{"admin with values", []In{admin}, `{"global_rate_limit": {"rate": 7}, "proxy": {"preserve_host_header": false}}`, `
shop
8 rate: *100 | >0 false
9 per: *60 | >0 true
16 if in.namespace.labels["tier"] == "gold" false
19 if public false
22 if !public true
25 if in.path == "/admin" true
32 if t != "ingress" false
33 preserve_host_header: *true | bool false
36 if in.host == "" true
44 active: *false | bool
`},
	} {
		t.Run(story.name, func(t *testing.T) {
			u := NewUses()
			watched := s.Watched(u)
			for _, in := range story.routes {
				_, _ = watched.Render("shop", in, nil) // as for the values of annotations
				if story.values != "" {
					_, _ = watched.Render("shop", in, []byte(story.values))
				}
			}
			p, err := NewProbes(builtin, operator)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // nothing changes when it is read again
				if err := p.Read(u); err != nil {
					t.Fatal(err)
				}
			}
			got := "\n"
			names, used := p.Templates(false)
			if len(names) != 2 {
				t.Errorf("the templates are %q", names)
			}
			for _, name := range names {
				if used[name] {
					got += name + "\n"
				}
			}
			for _, b := range p.Branches() {
				got += fmt.Sprintf("%d %s", b.At.Line, b.Text)
				if b.True {
					got += " true"
				}
				if b.False {
					got += " false"
				}
				got += "\n"
			}
			if diff := cmp.Diff(story.want, sorted(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// sorted keeps the names of templates first, and sorts branches by line.
func sorted(text string) string {
	var names, branches []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line[0] >= '0' && line[0] <= '9' {
			branches = append(branches, line)
		} else {
			names = append(names, line)
		}
	}
	var out strings.Builder
	out.WriteString("\n")
	for n := range 100 {
		for _, b := range branches {
			if strings.HasPrefix(b, fmt.Sprintf("%d ", n)) {
				names = append(names, b)
			}
		}
	}
	for _, line := range names {
		out.WriteString(line + "\n")
	}
	return out.String()
}

func sampleIn() In {
	return In{
		ID: strings.Repeat("0", 32), Org: "default", Role: "ingress", Name: "cafe:tea", Slug: "cafe-000",
		Object: Object{Kind: "Ingress", Namespace: "cafe", Name: "cafe"}, Namespace: Namespace{Name: "cafe"},
		Domain: "shop.example.com", PathType: "Prefix", ListenPath: "/",
		Service: Service{Name: "tea", Namespace: "cafe", Port: 80}, Target: "http://tea.cafe:80",
	}
}

func TestMutants(t *testing.T) {
	_, operator := coverFS(t)
	all, err := Mutants(operator)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(branching, "\n")
	var got strings.Builder
	got.WriteString("\n")
	for _, m := range all {
		if _, err := parser.ParseFile("a.cue", m.Text); err != nil {
			t.Errorf("%s: %s: %s", m.At, m.What, err)
		}
		changed := strings.Split(string(m.Text), "\n")
		if len(changed) != len(lines) {
			t.Errorf("%s: %s: %d lines, not %d", m.At, m.What, len(changed), len(lines))
			continue
		}
		fmt.Fprintf(&got, "%d:%d %s\n", m.At.Line, m.At.Column, m.What)
		for i := range lines {
			if lines[i] != changed[i] {
				fmt.Fprintf(&got, "\t%s\n", strings.TrimSpace(changed[i]))
			}
		}
	}
	const want = `
8:9 100 is 101
	rate: *101 | >0
8:16 0 is 1
	rate: *100 | >1
9:9 60 is 61
	per:  *61 | >0
9:15 0 is 1
	per:  *60 | >1
15:37 "tier" is "tierx"
	let public = *(in.namespace.labels["tierx"] == "public") | false
15:48 "public" is "publicx"
	let public = *(in.namespace.labels["tier"] == "publicx") | false
15:60 false is true
	let public = *(in.namespace.labels["tier"] == "public") | true
16:5 the condition always holds: in.namespace.labels["tier"] == "gold"
	if true {
16:5 the condition never holds: in.namespace.labels["tier"] == "gold"
	if false {
16:25 "tier" is "tierx"
	if in.namespace.labels["tierx"] == "gold" {
16:36 "gold" is "goldx"
	if in.namespace.labels["tier"] == "goldx" {
17:16 true is false
	api: active: false
19:5 the condition always holds: public
	if true {
19:5 the condition never holds: public
	if false {
20:21 true is false
	api: use_keyless: false
22:5 the condition always holds: !public
	if true {
22:5 the condition never holds: !public
	if false {
24:17 false is true
	use_keyless: true
25:7 the condition always holds: in.path == "/admin"
	if true {
25:7 the condition never holds: in.path == "/admin"
	if false {
25:18 "/admin" is "/adminx"
	if in.path == "/adminx" {
26:25 false is true
	disable_rate_limit: true
32:30 the condition always holds: t != "ingress"
	tags: [for t in in.tags if true {t}, "shop"]
32:30 the condition never holds: t != "ingress"
	tags: [for t in in.tags if false {t}, "shop"]
32:35 "ingress" is "ingressx"
	tags: [for t in in.tags if t != "ingressx" {t}, "shop"]
32:50 "shop" is "shopx"
	tags: [for t in in.tags if t != "ingress" {t}, "shopx"]
33:35 true is false
	"proxy": preserve_host_header: *false | bool
36:6 the condition always holds: in.host == ""
	if true {
36:6 the condition never holds: in.host == ""
	if false {
36:17 "" is "x"
	if in.host == "x" {
44:16 false is true
	api: active: *true | bool
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
