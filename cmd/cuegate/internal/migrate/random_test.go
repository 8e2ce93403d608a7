package migrate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cuegate/cuegate"
)

var seeds = flag.Int("seeds", 1, "how many sets of templates TestRandomTemplates makes")

// TestRandomTemplates converts templates that nobody wrote: actions at every place of
// JSON, one in the other. All of them must be converted, and be the same as the original.
func TestRandomTemplates(t *testing.T) {
	for seed := range *seeds {
		w := &scribe{random: rand.New(rand.NewPCG(uint64(seed), 7))}
		var files []File
		for n := range 12 {
			files = append(files, File{Name: fmt.Sprintf("random-%d-%d.tmpl", seed, n), Data: []byte(w.template(fmt.Sprintf("random%d", n)))})
		}
		c := convert(builtinDefinition(t), files)
		for _, f := range c.Findings {
			if f.Kind == Unconverted {
				t.Errorf("seed %d: %s\n%s", seed, f, sourceOf(files, f.At.file))
			}
		}
		proofs, err := c.Prove(context.Background(), cuegate.Builtin(), 40)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range proofs {
			p.Hostile, p.Corrupted, p.Right, p.Refused, p.Unjudged = 0, 0, 0, 0, 0
			if !p.Good(20) {
				t.Errorf("seed %d: %s\n%s\n%s", seed, strings.Join(p.lines(40), "\n"), files[i].Data, c.Templates[i].Text)
			}
		}
	}
}

func sourceOf(files []File, name string) string {
	for _, f := range files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// scribe writes templates.
type scribe struct {
	random *rand.Rand
	// elems and keys are the variables of the loops around.
	elems, keys []string
	depth       int
	names       int
}

func (s *scribe) n(n int) int { return s.random.IntN(n) }

func (s *scribe) one(list ...string) string { return list[s.n(len(list))] }

func (s *scribe) name(prefix string) string {
	s.names++
	return fmt.Sprintf("%s%d", prefix, s.names)
}

func (s *scribe) template(name string) string {
	text := fmt.Sprintf("{{ define %q }}", name)
	text += s.one("", `{{ $v := "x" }}{{ if .HostName }}{{ $v = .Org }}{{ end }}`, `{{- $n := len .GatewayTags }}`)
	vars := strings.Contains(text, "$v :=")
	s.elems, s.keys, s.depth = nil, nil, 0
	text += `{ "name": "{{ .Name }}", "proxy": { "listen_path": "{{ .ListenPath }}" }, "config_data": ` + s.object()
	if vars {
		text += `, "slug": "{{ $v }}"`
	}
	return text + s.space() + "}{{ end }}\n" + pieces
}

// pieces are what templates of one file call; they are the same in each.
const pieces = `{{ define "piece" }}{{ template "quoted" . }}{{ end }}{{ define "quoted" }}{{ if . }}{ "is": "{{ . }}" }{{ else }}null{{ end }}{{ end }}`

func (s *scribe) space() string {
	return s.one("", " ", "\n", "\t", " {{/* note */}}", " {{- \"\" }}", " {{ \"\" -}} ")
}

func (s *scribe) value() string {
	s.depth++
	defer func() { s.depth-- }()
	choice := s.n(12)
	if s.depth > 3 {
		choice = s.n(6)
	}
	switch choice {
	case 0, 1, 2:
		return `"` + s.text() + `"`
	case 3:
		return s.one("0", "-1", "12", "1.5", "true", "false", "1{{ if "+s.cond()+" }}0{{ end }}", "{{ len $.GatewayTags }}")
	case 4:
		return "{{ " + s.truth() + " }}"
	case 5:
		return `{{ printf "%q" ` + s.operand() + ` }}`
	case 6, 7:
		return s.object()
	case 8, 9:
		return s.list()
	case 10:
		return "{{ if " + s.cond() + " }}" + s.space() + s.value() + "{{ else }}" + s.value() + s.space() + "{{ end }}"
	}
	// Both branches begin an object, a list or a text that goes on behind them.
	switch s.n(4) {
	case 0:
		return fmt.Sprintf(`"%s{{ if %s }}%s"{{ else }}%s"{{ end }}`, s.text(), s.cond(), s.text(), s.text())
	case 1:
		return fmt.Sprintf(`{{ template "piece" %s }}`, s.one(append([]string{"$.Name", "$.HostName"}, s.elems...)...))
	case 2:
		return fmt.Sprintf(`{{ if %s }}{ "a": %s{{ else }}{ "b": %s{{ end }}, "c": %s }`, s.cond(), s.value(), s.value(), s.value())
	}
	return fmt.Sprintf(`[ %s, {{ if %s }}%s ]{{ else }}%s, %s ]{{ end }}`, s.value(), s.cond(), s.value(), s.value(), s.value())
}

// object has one field that is always there, so that the others can begin with a comma.
func (s *scribe) object() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{%s"%s"%s:%s%s`, s.space(), s.name("k"), s.space(), s.space(), s.value())
	for range s.n(4) {
		b.WriteString(s.space())
		switch s.n(8) {
		case 6:
			fmt.Fprintf(&b, `, "%s": %s`, s.one("in", "strings", "len", "true", "with-dash", "e1", "", "a b"), s.value())
		case 7:
			k := s.name("k")
			fmt.Fprintf(&b, `, "%s": %s {{ if %s }}, "%s": %s{{ end }}`, k, s.value(), s.cond(), k, s.value())
		case 0, 1:
			fmt.Fprintf(&b, `, "%s": %s`, s.name("k"), s.value())
		case 2:
			fmt.Fprintf(&b, `{{ if %s }}, "%s": %s{{ end }}`, s.cond(), s.name("k"), s.value())
		case 3:
			fmt.Fprintf(&b, `{{ if %s }}, "%s": %s{{ else }}, "%s": %s, "%s": 1{{ end }}`, s.cond(), s.name("k"), s.value(), s.name("k"), s.value(), s.name("k"))
		case 4:
			fmt.Fprintf(&b, `, "{{ if %s }}%s{{ else }}%s{{ end }}": %s`, s.cond(), s.name("k"), s.name("k"), s.value())
		case 5:
			if s.depth < 3 {
				k, e := s.name("$i"), s.name("$e")
				fmt.Fprintf(&b, `{{ range %s, %s := %s }}, "%s-{{ %s }}": %s{{ end }}`, k, e, s.over(), s.name("k"), k, s.within(k, e, s.value))
			}
		}
	}
	return b.String() + s.space() + "}"
}

func (s *scribe) within(key, elem string, f func() string) string {
	s.keys, s.elems = append(s.keys, key), append(s.elems, elem)
	defer func() { s.keys, s.elems = s.keys[:len(s.keys)-1], s.elems[:len(s.elems)-1] }()
	return f()
}

func (s *scribe) list() string {
	var b strings.Builder
	b.WriteString("[" + s.space())
	switch s.n(4) {
	case 0:
		return b.String() + "]"
	case 1:
		k, e := s.name("$i"), s.name("$e")
		fmt.Fprintf(&b, `{{ range %s, %s := %s }}{{ if %s }},%s{{ end }}%s{{ end }}`, k, e, s.over(), k, s.space(), s.within(k, e, s.value))
		return b.String() + s.space() + "]"
	}
	b.WriteString(s.value())
	for range s.n(4) {
		b.WriteString(s.space())
		switch s.n(4) {
		case 0:
			b.WriteString("," + s.value())
		case 1:
			fmt.Fprintf(&b, "{{ if %s }}, %s{{ end }}", s.cond(), s.value())
		case 2:
			fmt.Fprintf(&b, "{{ with %s }}, %s{{ else }}, %s, %s{{ end }}", s.one("$.HostName", "$.Org"), `"{{ . }}"`, s.value(), s.value())
		case 3:
			k, e := s.name("$i"), s.name("$e")
			fmt.Fprintf(&b, "{{ range %s, %s := %s }}, %s{{ end }}", k, e, s.over(), s.within(k, e, s.value))
		}
	}
	return b.String() + s.space() + "]"
}

func (s *scribe) over() string { return s.one("$.GatewayTags", "$.CertificateID") }

func (s *scribe) text() string {
	var b strings.Builder
	for range 1 + s.n(3) {
		switch s.n(6) {
		case 0, 1:
			b.WriteString(s.one("a", "é", `\"`, `\\`, `\u00e9`, ": ", "{}", "[", ",", "1"))
		case 2:
			b.WriteString("{{ " + s.operand() + " }}")
		case 3:
			fmt.Fprintf(&b, "{{ if %s }}%s{{ else }}%s{{ end }}", s.cond(), s.one("x", "{{ $.Slug }}"), s.one("", "y"))
		case 4:
			k, e := s.name("$i"), s.name("$e")
			fmt.Fprintf(&b, "{{ range %s, %s := %s }}{{ if %s }}%s{{ end }}%s{{ end }}", k, e, s.over(), k, s.one(", ", "-"), s.within(k, e, func() string {
				return s.one("{{ "+e+" }}", "{{ "+k+" }}:{{ "+e+" }}", "#")
			}))
		case 5:
			b.WriteString("{{ " + s.one("len $.Name", "$.GatewayTags", "eq 1 1", s.truth()) + " }}")
		}
	}
	return b.String()
}

// operand is a text.
func (s *scribe) operand() string {
	list := []string{"$.Name", "$.Org", "$.HostName", "$.ListenPath", `(or $.HostName "none")`, `(and $.HostName $.Org)`, `"constant"`, `(printf "%s/%d" $.Slug 5)`}
	return s.one(append(list, s.elems...)...)
}

func (s *scribe) cond() string {
	list := []string{"$.HostName", "$.GatewayTags", "$.CertificateID", s.truth()}
	list = append(list, s.elems...)
	return s.one(append(list, s.keys...)...)
}

func (s *scribe) truth() string {
	list := []string{
		`eq $.Org "default"`, `ne $.HostName ""`, `gt (len $.GatewayTags) 2`, `lt (len $.CertificateID) 2`, `not $.GatewayTags`,
		`eq $.HostName "cafe.example.com" "bücher.example"`, `le 1 (len $.GatewayTags)`,
	}
	for _, e := range s.elems {
		list = append(list, fmt.Sprintf("eq %s %q", e, "edge"))
	}
	for _, k := range s.keys {
		list = append(list, fmt.Sprintf("gt %s 1", k))
	}
	if s.n(4) == 0 {
		return fmt.Sprintf("not (eq (%s) (%s))", s.one(list...), s.one(list...))
	}
	return s.one(list...)
}

var mutations = flag.Int("mutations", 3000, "how many templates TestMutatedTemplates makes")

// TestMutatedTemplates reads templates in which signs are missing or doubled, and in which
// conditions stand around any piece of text: most are no JSON for some routes. Where the
// original gives JSON, it has to be what was read.
func TestMutatedTemplates(t *testing.T) {
	routes := fuzzRoutes()
	for seed := range *mutations {
		w := &scribe{random: rand.New(rand.NewPCG(uint64(seed), 99))}
		w.depth = w.n(3)
		text := "{{ define \"t\" }}" + w.mutate(w.one(w.object(), w.list(), w.value())) + "{{ end }}" + pieces
		all, _ := readSources([]File{{Name: "t.tmpl", Data: []byte(text)}})
		d := all.templates["t"]
		if d == nil {
			continue // a condition was cut through
		}
		original, err := all.original()
		if err != nil {
			t.Fatal(err)
		}
		code, _ := follow(all, d)
		doc, err := readJSON(code)
		var s *stuck
		if errors.As(err, &s) {
			continue
		}
		for _, in := range routes {
			if problem := compareDocument(all, original, "t", doc, err, in); problem != "" {
				t.Fatalf("seed %d: %s\n%s", seed, text, problem)
			}
		}
	}
}

// mutate changes a text in some places.
func (s *scribe) mutate(text string) string {
	for range s.n([]int{4, 10}[s.n(2)]) {
		i, j := s.n(len(text)+1), s.n(len(text)+1)
		if i > j {
			i, j = j, i
		}
		if j > i+12 {
			j = i + s.n(12)
		}
		switch s.n(6) {
		case 0:
			if k := strings.IndexAny(text[i:], `,{}[]":`); k >= 0 && !strings.HasPrefix(text[i+k:], "{{") && !strings.HasPrefix(text[i+k:], "}}") {
				text = text[:i+k] + text[i+k+1:]
			}
		case 1:
			text = text[:i] + s.one(",", `"`, "}", "]", "1", " ") + text[i:]
		case 2, 3:
			text = text[:i] + "{{ if " + s.cond() + " }}" + text[i:j] + "{{ end }}" + text[j:]
		case 4:
			text = text[:i] + "{{ if " + s.cond() + " }}" + text[i:j] + "{{ else }}" + s.one(",", `"`, "}", "1", `"a": 1`, "") + "{{ end }}" + text[j:]
		case 5:
			text = text[:i] + "{{ range $.GatewayTags }}" + text[i:j] + "{{ end }}" + text[j:]
		}
	}
	return text
}
