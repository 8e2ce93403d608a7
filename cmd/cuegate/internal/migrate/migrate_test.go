package migrate

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

var update = flag.Bool("update", false, "rewrite the wanted conversions in testdata")

var loadBuiltin = sync.OnceValues(func() (*definition, error) {
	b, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
	if err != nil {
		return nil, err
	}
	return newDefinition(b, cuegate.Builtin())
})

func builtinDefinition(t testing.TB) *definition {
	t.Helper()
	d, err := loadBuiltin()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// readFiles reads the templates of a folder in testdata.
func readFiles(t testing.TB, pattern string) []File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	var files []File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Name: filepath.Base(name), Data: data})
	}
	return files
}

// golden compares a conversion and its findings with those in testdata.
func golden(t *testing.T, name string, c *Conversion) {
	t.Helper()
	a := Archive(c.Templates)
	var findings strings.Builder
	for _, f := range c.Findings {
		findings.WriteString(f.String() + "\n")
	}
	a.Files[0] = txtar.File{Name: "findings", Data: []byte(findings.String())}
	got := txtar.Format(a)
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// prove runs the originals and the conversions on so many inputs each.
func prove(t *testing.T, c *Conversion, inputs int) []*Proof {
	t.Helper()
	proofs, err := c.Prove(context.Background(), cuegate.Builtin(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proofs {
		if !p.Good(inputs) {
			t.Errorf("%s", strings.Join(p.lines(inputs), "\n"))
		}
		if p.Hostile == 0 || p.Corrupted == 0 {
			t.Errorf("%s: nothing corrupted the original, of %d inputs that should", p.Template, p.Hostile)
		}
	}
	return proofs
}

// TestShipped converts templates of the shape of those that came with the old controller.
func TestShipped(t *testing.T) {
	c := convert(builtinDefinition(t), readFiles(t, "testdata/shipped/*"))
	golden(t, "testdata/shipped.txtar", c)
	if len(c.Findings) > 0 {
		t.Errorf("a person has to look at something: %v", c.Findings)
	}
	proofs := prove(t, c, 500)
	if len(proofs) != 4 {
		t.Fatalf("%d templates are proved, want 4", len(proofs))
	}
	for _, p := range proofs {
		if p.Compared != 500 || p.Silent != 0 || p.Unjudged != 0 {
			t.Errorf("%s: %+v", p.Template, *p)
		}
	}
}

// TestNasty converts templates that do whatever text/template can do. None has a place
// that a person has to convert.
func TestNasty(t *testing.T) {
	files := readFiles(t, "testdata/nasty/*")
	// In one of them .HostName is a list.
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == "host.tmpl" })
	host := files[i]
	files = slices.Delete(files, i, i+1)

	c := convert(builtinDefinition(t), files)
	golden(t, "testdata/nasty.txtar", c)
	for _, p := range prove(t, c, 100) {
		if p.Compared != 100 {
			t.Errorf("%s: %d inputs were compared, want 100", p.Template, p.Compared)
		}
	}
	if want := []string{"tags", "proxy", "version", "versionNamed", "auth"}; !slices.Equal(c.Fragments, want) {
		t.Errorf("pieces are %q, want %q", c.Fragments, want)
	}

	c = convert(builtinDefinition(t), []File{host})
	golden(t, "testdata/host.txtar", c)
	prove(t, c, 100)
}

// TestFormatted: what is written is formatted as `cue fmt` does.
func TestFormatted(t *testing.T) {
	for _, pattern := range []string{"testdata/shipped/*", "testdata/nasty/*"} {
		for _, x := range convert(builtinDefinition(t), readFiles(t, pattern)).Templates {
			want, err := format.Source(x.Text)
			if err != nil {
				t.Errorf("%s: %v", x.File, err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(x.Text), "\n")); diff != "" {
				t.Errorf("%s (-cue fmt +written):\n%s", x.File, diff)
			}
		}
	}
}

// TestUnconverted: what cannot be converted is reported with its place, and stands in the
// CUE as an error that says the same.
func TestUnconverted(t *testing.T) {
	stories := []struct{ body, want string }{
		{`{ "name": "{{ .Nam }}" }`, `f.json:2:15: TODO: the old controller had no variable .Nam; did you mean .Name?`},
		{`{ "name": "{{ .Annotations }}" }`, `f.json:2:15: TODO: the old controller had no variable .Annotations`},
		{`{ "name": "{{ .Name.First }}" }`, `f.json:2:20: TODO: the original fails here: text has no field First`},
		{`{ "name": "{{ upper .Name }}" }`, `f.json:2:15: TODO: text/template has no function upper`},
		{`{ "name": "{{ index .Name 0 }}" }`, `f.json:2:15: TODO: index of a text gives the number of a byte, which is not converted`},
		{`{ "name": "{{ printf "%x" .Name }}" }`, `f.json:2:15: TODO: printf: %x of text is not converted`},
		{`{ "name": "{{ eq .Name 1 }}" }`, `f.json:2:15: TODO: the original fails here: eq compares text with a whole number`},
		{`{ "name": "{{ range .Name }}x{{ end }}" }`, `f.json:2:21: TODO: the original fails here: range cannot go over text`},
		{`{ "name": {{ .Name }} }`, `f.json:2:14: TODO: text without quotes around it would have to be JSON itself`},
		{`{ "cache_options": { "cache_timeout": 6{{ len .GatewayTags }} } }`, `f.json:2:39: TODO: an action gives only a part of a value that has no quotes`},
		{`{ {{ .Name }}: 1 }`, `f.json:2:6: TODO: an action where a key in quotes should be: its text would be JSON itself`},
		{`{ "{{ .Name }}": 1 }`, `f.json:2:3: TODO: a key that depends on the route, where the API definition has certain fields only`},
		{`{ "tags": [{{ range .GatewayTags }}"{{ . }}{{ end }}] }`, `f.json:2:21: TODO: this {{range}} ends where the end of a text should be`},
		{`{ "tags": [{{ range .GatewayTags }}"{{ . }}"]{{ end }} }`, `f.json:2:45: TODO: ']' in a {{range}} ends what was opened before it`},
		{`{ "tags": [{{ range .GatewayTags }}{{ if eq . "a" }}{{ break }}{{ end }}"{{ . }}",{{ end }}"x"] }`, `f.json:2:56: TODO: {{break}} is converted only where it ends every round of its loop`},
		{`{ "name": "{{ template "gone" . }}" }`, `f.json:2:24: TODO: there is no template gone`},
		{`{ "name": "{{ template "t" . }}" }`, `f.json:2:24: TODO: the template t calls itself`},
		{`{ "name": "{{ $x := "a" }}{{ range .GatewayTags }}{{ $x }}{{ $x = . }}{{ end }}" }`, `f.json:2:36: TODO: $x is assigned in this loop, so it differs from one element to the next`},
		{`{ "name": "x",, "domain": "y" }`, `f.json:2:15: TODO: this is no JSON, whatever the route: a comma too many`},
		{`{ "name": "x" "domain": "y" }`, `f.json:2:15: TODO: this is no JSON, whatever the route: a comma is missing`},
		{`{ "name": "x", }`, `f.json:2:16: TODO: this is no JSON, whatever the route: a comma before '}'`},
		{`{ "name": 'x' }`, `f.json:2:11: TODO: this is no JSON, whatever the route: 'x' is no value of JSON`},
		{"{ \"name\": \"x\n\" }", `f.json:2:13: TODO: this is no JSON, whatever the route: a line break or another control character in a text`},
		{`{ "name": "\x" }`, `f.json:2:12: TODO: this is no JSON, whatever the route: the text has an escape that JSON does not know: \x`},
		{`{ "name": "x"`, `f.json:2:14: TODO: this is no JSON, whatever the route: the JSON ends where a key or } should be`},
		{`["name"]`, `f.json:2:1: TODO: the JSON is no object`},
		{`{ "use_keyless": "true" }`, `f.json:2:18: TODO: use_keyless wants true or false, not a string`},
		{`{ "cache_options": [] }`, `f.json:2:20: TODO: cache_options wants an object, not a list`},
		{`{ "tags": {} }`, `f.json:2:11: TODO: tags wants a list, not an object`},
		{`{ "definition": { "location": "heder" } }`, `f.json:2:31: TODO: definition.location wants one of "header", "url", "url-param"`},
		{`{ "tags": [{{ range .GatewayTags }}{{ if . }}{ "a": {{ else }}{ "b": {{ end }}1{{ end }}] }`, `f.json:2:21: TODO: this {{range}} ends where a key or } should be`},
		{`{ "tags": [{{ range .GatewayTags }}"a"{{ if . }}]{{ end }}{{ end }}] }`, `f.json:2:45: TODO: the branches of this {{if}}, in a {{range}}, open and close different things`},
		{`{ {{ if eq .HostName "rare" }}"name": "{{ .Nam }}"{{ end }} }`, `f.json:2:43: TODO: the old controller had no variable .Nam; did you mean .Name?`},
		{`{ {{ if .Foo }}"name": "x"{{ end }} }`, `f.json:2:9: TODO: the old controller had no variable .Foo`},
		{`{ "config_data": { "a": [{{ range $i, $e := .GatewayTags }}{{ $i }}{{ end }}] } }`, `f.json:2:35: TODO: the values of this {{range}} may run into each other, or into the next one`},
		{`{ {{ range .GatewayTags }}"domain": "{{ . }}",{{ end }} "name": "x" }`, `f.json:2:27: TODO: domain is written for each element, of which the last one counts`},
		{`{ "name": "{{ . }}" }`, `f.json:2:15: TODO: the variables as a whole have no text`},
	}
	// The bundle of all of them together, as `vet` reads it.
	var all []Template
	var want []string
	for i, s := range stories {
		file := File{Name: "f.json", Data: []byte("{{ define \"t\" }}\n" + s.body + "{{ end }}")}
		c := convert(builtinDefinition(t), []File{file})
		var got []string
		for _, f := range c.Findings {
			if f.Kind == Unconverted {
				got = append(got, f.String())
			}
		}
		if !slices.Contains(got, s.want) {
			t.Errorf("%s:\n got %q\nwant %q", s.body, got, s.want)
			continue
		}
		at, why, _ := strings.Cut(s.want, ": TODO: ")
		x := c.Templates[0]
		if x.Complete || !bytes.Contains(x.Text, []byte(quote("TODO: "+at+": "+why))) {
			t.Errorf("%s: the CUE does not say so:\n%s", s.body, x.Text)
		}
		name := fmt.Sprintf("t%d", i)
		x.File = "templates/" + name + ".cue"
		x.Text = bytes.Replace(x.Text, []byte("templates: t:"), []byte("templates: "+name+":"), 1)
		all, want = append(all, x), append(want, name)
	}
	_, problems, err := loadSome(context.Background(), cuegate.Builtin(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range want {
		if !slices.ContainsFunc(problems, func(p engine.Problem) bool {
			return strings.HasPrefix(p.File, all[i].File) && strings.Contains(p.Message, "TODO: f.json:2:")
		}) {
			t.Errorf("%s: the bundle is not refused for it", name)
		}
	}
}

// TestBrokenFiles: a file that is no template does not keep the others from being
// converted.
func TestBrokenFiles(t *testing.T) {
	c := convert(builtinDefinition(t), []File{
		{Name: "broken.json", Data: []byte("{{ define \"x\" }}\n{ {{ if }} }{{ end }}")},
		{Name: "a/good.json", Data: []byte(`{{ define "same" }}{ "name": "a" }{{ end }}`)},
		{Name: "b/good.json", Data: []byte(`{{ define "same" }}{ "name": "b" }{{ end }}`)},
	})
	want := []string{
		"broken.json:2: TODO: missing value for if",
		"a/good.json:1:1: note: the template is defined again at b/good.json:1:1; the later one counts",
	}
	var got []string
	for _, f := range c.Findings {
		got = append(got, f.String())
	}
	if !slices.Equal(got, want) || len(c.Templates) != 1 || !bytes.Contains(c.Templates[0].Text, []byte(`*"b" | string`)) {
		t.Errorf("got %q and %d templates", got, len(c.Templates))
	}
}

// TestBounds: what would grow without end ends in a sentence.
func TestBounds(t *testing.T) {
	twice := ""
	for n := range 49 {
		twice += fmt.Sprintf("{{ define \"c%d\" }}{{ template \"c%d\" . }}{{ template \"c%d\" . }}{{ end }}", n, n+1, n+1)
	}
	crossing, doubled := "", ""
	for n := range 24 {
		crossing += fmt.Sprintf(` "a": {{ if eq .Name "x%d" }}{ "b": 1{{ else }}{ "c": 2{{ end }},`, n)
		doubled += fmt.Sprintf(`{{ if eq .Name "x%d" }}{{ $x = print $x $x .Name }}{{ end }}`, n)
	}
	stories := []struct{ text, want string }{
		{`{{ define "t" }}{{ template "c0" . }}{{ end }}` + twice + `{{ define "c49" }}{{ end }}`, "the template grows beyond any use"},
		{`{{ define "t" }}{ ` + crossing + ` "z": 1` + strings.Repeat("}", 25) + `{{ end }}`, "too many conditions cross each other here"},
		{`{{ define "t" }}{{ $x := "" }}` + doubled + `{ "name": "{{ $x }}" }{{ end }}`, "the expression grows beyond any use"},
		{`{{ define "t" }}` + strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300) + `{{ end }}`, "the JSON is more than 200 deep"},
	}
	for _, s := range stories {
		c := convert(builtinDefinition(t), []File{{Name: "f.json", Data: []byte(s.text)}})
		if !slices.ContainsFunc(c.Findings, func(f Finding) bool { return f.Kind == Unconverted && strings.Contains(f.Message, s.want) }) {
			t.Errorf("nothing says %q", s.want)
		}
	}
}

// TestProofFinds: a conversion that is not the same as its original does not pass.
func TestProofFinds(t *testing.T) {
	file := File{Name: "f.json", Data: []byte(`{{ define "t" }}{ "name": "{{ .Name }}", "use_keyless": {{ if eq .Org "rare" }}false{{ else }}true{{ end }}, "proxy": { "listen_path": "{{ .ListenPath }}" } }{{ end }}`)}
	stories := []struct{ name, from, to, want string }{
		{"as it is", "", "", ""},
		{"a condition that hardly ever holds", `*(in.org != "rare")`, `*true`, "these differ: use_keyless"},
		{"a field too many", `proxy: {`, "active: *true | bool\n\t\tproxy: {", "these differ: active"},
		{"a value that annotations cannot set", `*in.name | string`, `in.name`, "annotations can no longer set name"},
		{"a refusal", "errors: [", "errors: [\n\t\tif in.name == \"cafe-ingress:tea-svc\" {\"no\"},", "the conversion gives nothing: no"},
		{"no CUE", "proxy: {", "proxy: {{", "expected"},
	}
	for _, s := range stories {
		c := convert(builtinDefinition(t), []File{file})
		text := strings.Replace(string(c.Templates[0].Text), s.from, s.to, 1)
		if s.from != "" && text == string(c.Templates[0].Text) {
			t.Fatalf("%s: %q is not in\n%s", s.name, s.from, text)
		}
		c.Templates[0].Text = []byte(text)
		proofs, err := c.Prove(context.Background(), cuegate.Builtin(), 200)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(proofs[0].lines(200), "\n")
		if good := proofs[0].Good(200); good != (s.want == "") || !strings.Contains(lines, s.want) {
			t.Errorf("%s: good is %v, and the report %s", s.name, good, lines)
		}
	}
}
