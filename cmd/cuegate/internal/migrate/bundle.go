package migrate

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// Template is one template of the old controller, converted.
type Template struct {
	Name string
	// File of the bundle, and what it holds.
	File string
	Text []byte
	// At is where the original is defined.
	At place
	// Complete is set when all of it could be converted.
	Complete bool
	// escapes is set when it writes values for HTML or for URLs.
	escapes bool
}

// Conversion is what became of some files of templates.
type Conversion struct {
	// Templates in the order in which they were defined.
	Templates []Template
	Findings  []Finding
	// Fragments are templates that others call and that are no API definition of their
	// own; they are a part of those.
	Fragments []string

	sources *sources
}

// Convert converts files. builtin is the built-in bundle.
func Convert(ctx context.Context, builtin fs.FS, files []File) (*Conversion, error) {
	b, err := engine.LoadBundle(ctx, builtin, nil)
	if err != nil {
		return nil, err
	}
	d, err := newDefinition(b, builtin)
	if err != nil {
		return nil, err
	}
	return convert(d, files), nil
}

func convert(d *definition, files []File) *Conversion {
	c := &Conversion{}
	c.sources, c.Findings = readSources(files)
	for _, name := range slices.Sorted(maps.Keys(c.sources.vars)) {
		if note := c.sources.vars[name].note; note != "" {
			c.Findings = append(c.Findings, Finding{Kind: Note, Message: note})
		}
	}
	called := map[string]bool{}
	codes := map[string][]step{}
	for _, x := range c.sources.order {
		code, inlined := follow(c.sources, x)
		codes[x.name] = code
		maps.Copy(called, inlined)
	}
	taken := map[string]bool{}
	for _, x := range c.sources.order {
		doc, err := readJSON(codes[x.name])
		if called[x.name] && (err != nil || !d.isAPI(doc)) {
			c.Fragments = append(c.Fragments, x.name)
			continue
		}
		w := newWriter(d, c.sources, x.name, codes[x.name])
		t := Template{Name: x.name, At: x.at, File: "templates/" + fileName(x.name, taken) + ".cue"}
		t.Text = w.file(x, doc, err)
		t.Complete = w.failed == 0
		t.escapes = w.imports["html"] || w.imports["net"]
		c.Templates = append(c.Templates, t)
		for _, f := range w.findings {
			c.Findings = addFinding(c.Findings, f)
		}
	}
	return c
}

// isAPI tells whether any field of a document is one that an API definition has.
func (d *definition) isAPI(doc any) bool {
	o, ok := doc.(*object)
	found := false
	if ok {
		collect(o.entries, nil, nil, func(key string, _ *occurrence) {
			_, unknown := d.unknown([]string{key})
			_, folded := d.folded(nil, key)
			found = found || !unknown || folded
		})
	}
	return found
}

func newWriter(d *definition, all *sources, name string, code []step) *writer {
	w := &writer{definition: d, name: name, vars: all.vars, imports: map[string]bool{}}
	w.nameLoops(code)
	for i, s := range code {
		if s.kind == stepComment {
			w.comments, w.steps = append(w.comments, s), append(w.steps, i)
		}
	}
	return w
}

// file writes the CUE file of a template.
func (w *writer) file(d *defined, doc any, err error) []byte {
	var lines []line
	if failed := whyNot(err); failed != nil {
		lines = []line{{label: "api", value: w.unable(failed.at, failed.why)}}
	} else {
		lines = w.template(doc)
	}
	var b strings.Builder
	b.WriteString("package templates\n\n")
	const contract = `"github.com/cuegate/cuegate/cue/template"`
	if len(w.imports) == 0 {
		b.WriteString("import " + contract + "\n\n")
	} else {
		b.WriteString("import (\n")
		for _, name := range slices.Sorted(maps.Keys(w.imports)) {
			b.WriteString("\t" + quote(name) + "\n")
		}
		b.WriteString("\n\t" + contract + "\n)\n\n")
	}
	fmt.Fprintf(&b, "// %s was converted from %s.\n", oneLine(w.name), d.at)
	fmt.Fprintf(&b, "templates: %s: template.#Template & {\n\tin: template.#In\n", w.label(w.name))
	printLines(&b, lines, "\t")
	b.WriteString("}\n")
	return []byte(b.String())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// whyNot says why there is no document; nil when there is one.
func whyNot(err error) *unable {
	switch err := err.(type) {
	case *stuck:
		return &err.unable
	case *invalid:
		return &unable{err.at, "this is no JSON, whatever the route: " + err.why}
	}
	return nil
}

var unsafe = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// fileName makes a name for a file that CUE reads for every purpose and on every system,
// without the ending. It is not among those taken.
func fileName(name string, taken map[string]bool) string {
	base := strings.Trim(unsafe.ReplaceAllString(name, "-"), "-.")
	if base == "" {
		base = "template"
	}
	file := base
	for n := 2; taken[strings.ToLower(file)]; n++ {
		file = fmt.Sprintf("%s-%d", base, n)
	}
	taken[strings.ToLower(file)] = true
	return file
}

// Module is the cue.mod/module.cue of a bundle.
const Module = `module: "bundle.cuegate.dev@v0"
language: version: "v0.17.0"
`

// dotted writes a path with "." between keys.
func dotted(path []string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = strings.ReplaceAll(p, ".", `\.`)
	}
	return strings.Join(parts, ".")
}
