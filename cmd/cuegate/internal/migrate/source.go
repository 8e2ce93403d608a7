package migrate

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// File is a file of templates.
type File struct {
	Name string
	Data []byte
}

// place is where something stands in a file; lines and columns count from 1, columns in
// bytes.
type place struct {
	file         string
	line, column int
}

func (p place) String() string {
	switch {
	case p.file == "":
		return ""
	case p.line == 0:
		return p.file
	case p.column == 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

// source is the text that templates were parsed from.
type source struct {
	name, text string
	// lines are the offsets at which they begin.
	lines []int
}

func newSource(name, text string) *source {
	s := &source{name: name, text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

func (s *source) at(offset int) place {
	i, ok := slices.BinarySearch(s.lines, offset)
	if !ok {
		i--
	}
	return place{s.name, i + 1, offset - s.lines[i] + 1}
}

// defined is one template.
type defined struct {
	name string
	src  *source
	tree *parse.Tree
	// at is where its {{ define }} begins.
	at place
}

// sources are all templates of some files.
type sources struct {
	templates map[string]*defined
	// order in which they were met.
	order []*defined
	// vars are the variables of the old controller, with what each of them holds here.
	vars map[string]variableOf
}

// readSources parses files. As with the old controller all of them know each other, and
// of two templates of one name the later one counts.
func readSources(files []File) (*sources, []Finding) {
	all := &sources{templates: map[string]*defined{}}
	var findings []Finding
	for _, f := range files {
		src := newSource(filepath.ToSlash(f.Name), string(f.Data))
		trees := map[string]*parse.Tree{}
		base := filepath.Base(f.Name)
		t := parse.New(base)
		t.Mode = parse.ParseComments | parse.SkipFuncCheck
		if _, err := t.Parse(src.text, "", "", trees); err != nil {
			findings = append(findings, Finding{Kind: Unconverted, At: parsePlace(src, err), Message: parseMessage(err)})
			continue
		}
		var found []*defined
		for name, tree := range trees {
			if name == base && parse.IsEmptyTree(tree.Root) {
				continue // what stands outside of {{ define }}
			}
			found = append(found, &defined{name: name, src: src, tree: tree, at: definedAt(src, tree, name == base)})
		}
		slices.SortFunc(found, func(a, b *defined) int {
			return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.column, b.at.column), cmp.Compare(a.name, b.name))
		})
		for _, d := range found {
			if before, ok := all.templates[d.name]; ok {
				findings = append(findings, Finding{Kind: Note, At: before.at, Template: d.name,
					Message: fmt.Sprintf("the template is defined again at %s; the later one counts", d.at)})
				all.order = slices.DeleteFunc(all.order, func(x *defined) bool { return x == before })
			}
			all.templates[d.name] = d
			all.order = append(all.order, d)
		}
	}
	all.vars = variablesOf(all)
	return all, findings
}

// definedAt finds the {{ define }} or {{ block }} before a tree.
func definedAt(src *source, tree *parse.Tree, whole bool) place {
	first := int(tree.Root.Position())
	if whole || first > len(src.text) {
		return src.at(0)
	}
	if i := strings.LastIndex(src.text[:first], "{{"); i >= 0 {
		return src.at(i)
	}
	return src.at(0)
}

var parseError = regexp.MustCompile(`(?s)^template: .*?:(\d+)(?::(\d+))?: (.*)$`)

func parsePlace(src *source, err error) place {
	p := place{file: src.name}
	if m := parseError.FindStringSubmatch(err.Error()); m != nil {
		p.line, _ = strconv.Atoi(m[1])
	}
	return p
}

func parseMessage(err error) string {
	if m := parseError.FindStringSubmatch(err.Error()); m != nil {
		return m[3]
	}
	return err.Error()
}
