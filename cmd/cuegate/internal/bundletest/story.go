// Package bundletest runs the tests of a bundle that an operator wrote, and tells what
// came of them. There are two kinds:
//
//	policies/**/*_test.rego   Rego tests
//	tests/**/*.txtar          stories: objects in, what is wanted of them out
//
// A story is a txtar archive. Its comment says what it is about. Its files are
//
//	*.yaml, *.yml, *.json           manifests
//	config.yaml                     what --config would name
//	want                            everything that becomes of the objects
//	want/outcome                    the same without definitions and patches
//	want/explain OBJECT [FIELD]     what cuegate explain tells
//
// Only what is wanted is compared.
package bundletest

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// Story is a file with objects, and what is wanted of them.
type Story struct {
	// Path of the file in the bundle, e.g. "tests/partner.txtar".
	Path string
	// Manifests are the files with objects.
	Manifests []txtar.File
	// Config is the configuration; nil where there is none.
	Config []byte
	// Wants are what is compared.
	Wants []Want

	archive *txtar.Archive
	// broken says why the story is none.
	broken []Failure
}

// Name is that by which --run picks the story, e.g. "tests/partner".
func (s *Story) Name() string { return strings.TrimSuffix(s.Path, ".txtar") }

// Want is a file of a story that says what is wanted.
type Want struct {
	// Name of the file: "want", "want/outcome" or "want/explain ...".
	Name string
	// Line of its first line in the story, from 1.
	Line int
	Text string

	index int // in the archive
}

// Explain gives the object and the field that a want/explain asks for.
func (w Want) Explain() (object, field string, ok bool) {
	rest, ok := strings.CutPrefix(w.Name, "want/explain ")
	words := strings.Fields(rest)
	if !ok || len(words) == 0 || len(words) > 2 {
		return "", "", false
	}
	if len(words) == 2 {
		field = words[1]
	}
	return words[0], field, true
}

// WantAll and WantOutcome are the names of what is wanted.
const (
	WantAll     = "want"
	WantOutcome = "want/outcome"
)

// Stories reads the stories of a bundle, in the order of their paths. A story that is
// broken is among them, and fails.
func Stories(bundle fs.FS) ([]*Story, error) {
	var stories []*Story
	err := fs.WalkDir(bundle, "tests", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == "tests" {
				return fs.SkipAll // no stories
			}
			return err
		}
		if d.IsDir() || path.Ext(name) != ".txtar" {
			return nil
		}
		text, err := fs.ReadFile(bundle, name)
		if err != nil {
			return err
		}
		stories = append(stories, parse(name, text))
		return nil
	})
	return stories, err
}

// Strays names the files of a bundle that look like tests, and are run by nothing.
func Strays(bundle fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(bundle, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		if path.Ext(name) == ".txtar" && top != "tests" && top != "cue.mod" {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func parse(name string, text []byte) *Story {
	s := &Story{Path: name, archive: txtar.Parse(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))}
	line := 1 + bytes.Count(s.archive.Comment, []byte("\n"))
	seen := map[string]bool{}
	for i, f := range s.archive.Files {
		s.file(i, f, line, seen[f.Name])
		seen[f.Name] = true
		line += 1 + bytes.Count(f.Data, []byte("\n"))
	}
	if len(s.Manifests) == 0 && len(s.broken) == 0 {
		s.broken = append(s.broken, Failure{File: name, Line: 1, Text: "the story has no manifests: a file such as `-- ingress.yaml --`, and what is in it"})
	}
	return s
}

// file sorts in one file of the archive, whose marker is at the line.
func (s *Story) file(i int, f txtar.File, line int, again bool) {
	w := Want{Name: f.Name, Line: line + 1, Text: string(f.Data), index: i}
	_, _, explains := w.Explain()
	switch {
	case again:
		s.fail(line, "the file %s is there twice", f.Name)
	case f.Name == WantAll, f.Name == WantOutcome, explains:
		s.Wants = append(s.Wants, w)
	case f.Name == "config.yaml":
		s.Config = f.Data
	case slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(f.Name)):
		s.Manifests = append(s.Manifests, f)
	default:
		s.fail(line, "nothing reads the file %q: manifests are *.yaml, *.yml and *.json, what is wanted is in want, want/outcome and \"want/explain OBJECT [FIELD]\"", f.Name)
	}
}

func (s *Story) fail(line int, format string, args ...any) {
	s.broken = append(s.broken, Failure{File: s.Path, Line: line, Text: fmt.Sprintf(format, args...)})
}

// Updated gives the text of the story with other texts in place of those that are wanted,
// by their names. A story that wants nothing gets the whole outcome.
func (s *Story) Updated(texts map[string]string) []byte {
	a := &txtar.Archive{Comment: s.archive.Comment, Files: slices.Clone(s.archive.Files)}
	for _, w := range s.Wants {
		if text, ok := texts[w.Name]; ok {
			a.Files[w.index].Data = []byte(text)
		}
	}
	if text, ok := texts[WantAll]; ok && len(s.Wants) == 0 {
		a.Files = append(a.Files, txtar.File{Name: WantAll, Data: []byte(text)})
	}
	return txtar.Format(a)
}
