package migrate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Report says in lines what became of the templates, and tells whether nothing is left to
// do. proofs may be nil; inputs is how many were wanted.
func (c *Conversion) Report(proofs []*Proof, inputs int) (lines []string, good bool) {
	good = true
	for _, t := range c.Templates {
		lines = append(lines, fmt.Sprintf("%s: template %s -> %s", t.At, t.Name, t.File))
	}
	for _, name := range c.Fragments {
		lines = append(lines, fmt.Sprintf("%s: %s is a piece of other templates, and no template of its own", c.sources.templates[name].at, name))
	}
	for _, f := range c.Findings {
		lines = append(lines, f.String())
		good = good && f.Kind != Unconverted
	}
	lines = append(lines, c.advice()...)
	for _, p := range proofs {
		lines = append(lines, p.lines(inputs)...)
		good = good && p.Good(inputs)
	}
	for _, t := range c.Templates {
		if !t.Complete {
			lines = append(lines, fmt.Sprintf("%s: not compared with its original, as it is not complete", t.Name))
		}
	}
	return lines, good
}

// Left counts what a person has to convert.
func (c *Conversion) Left() int {
	n := 0
	for _, f := range c.Findings {
		if f.Kind == Unconverted {
			n++
		}
	}
	return n
}

// lines say what the proof found.
func (p *Proof) lines(inputs int) []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, p.Template+": "+fmt.Sprintf(format, args...))
	}
	for _, problem := range p.Problems {
		add("%s", problem)
	}
	if p.Compared == 0 {
		add("not proved: on no input does the original give JSON")
		return lines
	}
	silent := ""
	if p.Silent > 0 {
		silent = fmt.Sprintf("; on %d more the original gives no JSON", p.Silent)
	}
	add("equal on %d of %d inputs%s", p.Equal, p.Compared, silent)
	if p.Compared < inputs {
		add("not proved: %d inputs were wanted", inputs)
	}
	if p.Difference != "" {
		add("first difference: %s", p.Difference)
	}
	if len(p.Fixed) == 0 {
		add("annotations can still set each of its %d values", p.Settable)
	} else {
		add("annotations can no longer set %s", strings.Join(p.Fixed, ", "))
	}
	if p.Hostile == 0 {
		return lines
	}
	how := ""
	if p.Refused > 0 {
		how = fmt.Sprintf(" (%d by a refusal)", p.Refused)
	}
	wrong := p.Corrupted - p.Right - p.Refused - p.Unjudged
	switch {
	case p.Corrupted == 0:
		add("none of %d inputs with quotes, backslashes, line breaks or JSON in them changes the original", p.Hostile)
		return lines
	case p.Unjudged == 0 && wrong == 0:
		add("%d of %d inputs with quotes, backslashes, line breaks or JSON in them corrupt the original, and none the conversion%s", p.Corrupted, p.Hostile, how)
	default:
		add("%d of %d inputs with quotes, backslashes, line breaks or JSON in them corrupt the original; of these the conversion is right on %d%s, wrong on %d, and cannot be judged on %d",
			p.Corrupted, p.Hostile, p.Right+p.Refused, how, wrong, p.Unjudged)
	}
	add("e.g. %s", p.Example)
	return lines
}

// builtins are the names of the built-in templates.
var builtins = []string{"default", "legacy", "tokenAuth", "jwt", "basicAuth", "oauth2", "mutualTLS", "inbound", "mesh"}

// locked matches a template that asks for credentials, unless an annotation says otherwise.
var locked = regexp.MustCompile(`(?m)^\t\tuse_keyless: +\*false \|`)

// advice says what the person who moves should know about the names of templates.
func (c *Conversion) advice() []string {
	var lines []string
	mesh := map[string]string{}
	for _, t := range c.Templates {
		if locked.Match(t.Text) {
			lines = append(lines, fmt.Sprintf("%s: note: as before, an annotation may set use_keyless to true; write `use_keyless: false` in %s, and none can", t.Name, t.File))
		}
		switch {
		case slices.Contains(builtins, t.Name):
			lines = append(lines, fmt.Sprintf("%s: note: it takes the place of the built-in template of this name", t.Name))
		case t.Name == "default-mesh", t.Name == "default-inbound":
			mesh[strings.TrimPrefix(t.Name, "default-")] = t.Name
		}
	}
	for _, role := range []string{"inbound", "mesh"} {
		if name := mesh[role]; name != "" {
			lines = append(lines, fmt.Sprintf("%s: note: for workloads of the mesh that name no template, put settings.mesh.templates.%s: %s into policies/data.yaml of the bundle", name, role, name))
		}
	}
	return lines
}
