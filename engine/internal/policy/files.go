package policy

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// files is what the sources hold.
type files struct {
	modules map[string]*ast.Module // by name
	builtin map[*ast.Module]bool
	data    map[string]any
	// texts of the data files, in the order in which they were merged.
	texts []dataFile
}

type dataFile struct {
	name string
	// below is the path of the folder.
	below []string
	root  yamlnode.Node
}

// read adds the files of a source.
func (f *files) read(src Source) []problem.Problem {
	var ps []problem.Problem
	err := fs.WalkDir(src.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(src.FS, name)
		if err != nil {
			return err
		}
		full := path.Join(src.Name, name)
		switch {
		case strings.HasSuffix(name, "_test.rego"):
		case path.Ext(name) == ".rego":
			ps = append(ps, f.addModule(full, text, src.Builtin)...)
		case slices.Contains([]string{"data.yaml", "data.yml", "data.json"}, path.Base(name)):
			ps = append(ps, f.addData(full, path.Dir(name), text)...)
		case slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)):
			ps = append(ps, problem.Problem{File: full, Message: "this file is not read: files of data are called data.yaml, data.yml or data.json"})
		}
		return nil
	})
	if err != nil {
		ps = append(ps, problem.Problem{File: src.Name, Message: err.Error()})
	}
	return ps
}

// addModule parses a file. Where an operator's has the name of one of ours, both
// count, and ours gets another name.
func (f *files) addModule(name string, text []byte, builtin bool) []problem.Problem {
	if ours := f.modules[name]; ours != nil && f.builtin[ours] {
		delete(f.modules, name)
		f.modules[name+" (built-in)"] = ours
	}
	m, err := ast.ParseModuleWithOpts(name, string(text), ast.ParserOptions{ProcessAnnotation: true})
	if err != nil {
		return problems(err)
	}
	f.modules[name] = m
	f.builtin[m] = builtin
	return nil
}

// addData merges a data file into data, below the path of its folder.
func (f *files) addData(name, dir string, text []byte) []problem.Problem {
	bad := func(line int, message string) []problem.Problem {
		return []problem.Problem{{File: name, Line: line, Message: message}}
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return bad(problem.YAMLLine(err), problem.YAMLMessage(err))
	}
	var content any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&content); err != nil {
		return bad(0, err.Error())
	}
	object, ok := content.(map[string]any)
	if !ok {
		return bad(0, "data must be an object")
	}
	file := dataFile{name: name}
	if err := yamlnode.Unmarshal(text, &file.root); err != nil {
		return bad(0, err.Error())
	}
	if dir != "." {
		file.below = strings.Split(dir, "/")
		for _, part := range slices.Backward(file.below) {
			object = map[string]any{part: object}
		}
	}
	f.texts = append(f.texts, file)
	merge(f.data, object)
	return nil
}

func merge(into, from map[string]any) {
	for k, v := range from {
		a, aok := into[k].(map[string]any)
		b, bok := v.(map[string]any)
		if aok && bok {
			merge(a, b)
		} else {
			into[k] = v
		}
	}
}

// place finds the file and the line that wrote a path of data: the last one that
// did, or that wrote the longest part of it.
func (f *files) place(at []string) problem.Problem {
	var best problem.Problem
	depth := -1
	for _, file := range slices.Backward(f.texts) {
		n := min(len(file.below), len(at))
		if !slices.Equal(file.below[:n], at[:n]) {
			continue
		}
		node, found := find(&file.root, at[n:])
		if n+found > depth {
			best, depth = problem.Problem{File: file.name, Line: node.Line, Column: node.Column}, n+found
		}
	}
	return best
}

// find follows keys and indexes as far as they go; it gives the node of the last
// key, and how many there were.
func find(n *yamlnode.Node, at []string) (*yamlnode.Node, int) {
	if n.Kind == yamlnode.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	place := n
	for i, key := range at {
		next := child(n, key)
		if next == nil {
			return place, i
		}
		place, n = next[0], next[1]
	}
	return place, len(at)
}

// child gives the nodes of a key and of its value.
func child(n *yamlnode.Node, key string) []*yamlnode.Node {
	switch n.Kind {
	case yamlnode.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i : i+2]
			}
		}
	case yamlnode.SequenceNode:
		for i, item := range n.Content {
			if fmt.Sprint(i) == key {
				return []*yamlnode.Node{item, item}
			}
		}
	}
	return nil
}
