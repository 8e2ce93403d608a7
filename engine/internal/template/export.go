package template

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/encoding/jsonschema"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// JSON Schema for editors
//
// It says less than the CUE that it is made of: a condition on other fields is left out
// rather than said wrongly, so what it finds is wrong, and what is right for it may still
// be refused. What it is written in, JavaScript reads as well as Go.

// exported is a schema that people may want beside what they write.
type exported struct {
	name, pkg, definition string
	// own is set where the bundle's package schema may have a stricter one.
	own bool
	// doc says what the document is, in one line.
	doc string
	// change makes of it what a document is held to; it may be nil.
	change func(root map[string]any) map[string]any
}

var exports = []exported{
	{name: "definition", pkg: tykPackage, definition: "#Definition", doc: "An API definition of the Tyk Gateway."},
	{name: "ingress", pkg: schemaPackage, definition: "#Ingress", own: true, doc: "An Ingress, with the annotations that Cuegate reads."},
	{name: "ingressclass", pkg: schemaPackage, definition: "#IngressClass", doc: "An IngressClass."},
	{name: "deployment", pkg: schemaPackage, definition: "#Deployment", own: true, doc: "A Deployment, with the annotations that Cuegate reads."},
	{name: "statefulset", pkg: schemaPackage, definition: "#StatefulSet", own: true, doc: "A StatefulSet, with the annotations that Cuegate reads."},
	{name: "daemonset", pkg: schemaPackage, definition: "#DaemonSet", own: true, doc: "A DaemonSet, with the annotations that Cuegate reads."},
	{name: "settings", pkg: schemaPackage, definition: "#Settings", doc: "policies/data.yaml of a bundle: what differs from the settings that are built in.", change: asData},
	{name: "config", pkg: schemaPackage, definition: "#Config", doc: "cuegate.yaml, the configuration file of the program."},
	{name: "facts", pkg: schemaPackage, definition: "#Facts", doc: "The facts of one object: the input of policies."},
}

// Exports names the schemas that Export knows, each with what its documents are.
func Exports() [][2]string {
	var list [][2]string
	for _, x := range exports {
		list = append(list, [2]string{x.name, x.doc})
	}
	return list
}

// Export gives the schema of a name as a JSON Schema (2020-12), decoded. operator may be
// nil. Problems are those of the bundle.
func Export(builtin, operator fs.FS, name string) (map[string]any, []problem.Problem, error) {
	i := slices.IndexFunc(exports, func(x exported) bool { return x.name == name })
	if i < 0 {
		return nil, nil, fmt.Errorf("there is no schema %q", name)
	}
	x := exports[i]
	files, err := collect(builtin, operator)
	if err != nil {
		return nil, nil, err
	}
	if ps := parseAll(files); len(ps) > 0 {
		return nil, ps, nil
	}
	for name := range files {
		if dir := path.Dir(name); dir == vendored+"schema" || dir == "schema" {
			if files[name], err = unconditional(name, files[name]); err != nil {
				return nil, nil, err
			}
		}
	}
	v, ps := x.find(files)
	if len(ps) > 0 {
		return nil, ps, nil
	}
	root, err := generate(v)
	if err != nil {
		return nil, nil, fmt.Errorf("the schema %s: %w", name, err)
	}
	defs, _ := root["$defs"].(map[string]any)
	delete(root, "$defs")
	delete(root, "$schema")
	if x.pkg == schemaPackage {
		tellAnnotations(defs, files)
	}
	root = merger{defs}.value(root).(map[string]any)
	for part, def := range defs {
		defs[part] = merger{defs}.value(def)
	}
	if defs = usedOf(root, defs); len(defs) > 0 {
		root["$defs"] = defs
	}
	root = portable(root).(map[string]any)
	if x.change != nil {
		root = x.change(root)
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = x.name
	root["description"] = x.doc
	return root, nil, nil
}

// find gives the definition, that of the bundle where it has one.
func (x exported) find(files map[string][]byte) (cue.Value, []problem.Problem) {
	ctx := cuecontext.New()
	args := []string{x.pkg}
	if x.own && hasPackage(files, "schema") {
		args = append([]string{objectsPackage}, args...)
	}
	for _, inst := range instances(files, args) {
		if inst.Err != nil {
			return cue.Value{}, problems(inst.Err)
		}
		pkg := ctx.BuildInstance(inst)
		if err := pkg.Validate(); err != nil {
			return cue.Value{}, problems(err)
		}
		if v, ps := lookup(pkg, x.definition); v.Exists() || len(ps) > 0 {
			return v, ps
		}
	}
	return cue.Value{}, []problem.Problem{{Message: "there is no " + x.definition}}
}

// generate writes a definition as JSON Schema. The generator of CUE 0.17 is
// experimental; it is used in this package only.
func generate(v cue.Value) (map[string]any, error) {
	expr, err := jsonschema.Generate(v, &jsonschema.GenerateConfig{Version: jsonschema.VersionDraft2020_12})
	if err != nil {
		return nil, err
	}
	text, err := format.Node(expr)
	if err != nil {
		return nil, err
	}
	raw, err := cuecontext.New().CompileBytes(text).MarshalJSON()
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	err = json.Unmarshal(raw, &doc)
	return doc, err
}

// unconditional takes the conditions out of a file, of which the generator understands
// none. What is asked of a field unless it is null stays.
func unconditional(name string, text []byte) ([]byte, error) {
	f, err := parser.ParseFile(name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	conditions := false
	ast.Walk(f, nil, func(n ast.Node) {
		if body, ok := n.(*ast.StructLit); ok {
			conditions = conditions || slices.ContainsFunc(body.Elts, isComprehension)
			body.Elts = withoutConditions(body.Elts)
		}
	})
	if !conditions {
		return text, nil // with the lines that people know
	}
	out, err := format.Node(f)
	if err != nil {
		return nil, err
	}
	return withoutUnusedImports(name, out)
}

func isComprehension(d ast.Decl) bool {
	_, is := d.(*ast.Comprehension)
	return is
}

func withoutConditions(decls []ast.Decl) []ast.Decl {
	var kept []ast.Decl
	for _, d := range decls {
		c, ok := d.(*ast.Comprehension)
		if !ok {
			kept = append(kept, d)
			continue
		}
		if body, ok := c.Value.(*ast.StructLit); ok && unlessNull(c.Clauses) {
			kept = append(kept, body.Elts...)
		}
	}
	return kept
}

// unlessNull finds `if (field & null) == _|_`.
func unlessNull(clauses []ast.Clause) bool {
	if len(clauses) != 1 {
		return false
	}
	c, ok := clauses[0].(*ast.IfClause)
	if !ok {
		return false
	}
	text, err := format.Node(c.Condition)
	return err == nil && notNull.Match(text)
}

var notNull = regexp.MustCompile(`^\(\w+ & null\) == _\|_$`)

// portable writes regular expressions so that JavaScript reads them, for editors.
func portable(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = portable(v[i])
		}
	case map[string]any:
		for key, x := range v {
			v[key] = portable(x)
			if text, ok := x.(string); ok && key == "pattern" {
				v[key] = portablePattern(text)
			}
		}
		if patterns, ok := v["patternProperties"].(map[string]any); ok {
			for text, x := range patterns {
				delete(patterns, text)
				patterns[portablePattern(text)] = x
			}
		}
	}
	return v
}

// portablePattern writes a pattern that begins with (?i) without it.
func portablePattern(text string) string {
	rest, ok := strings.CutPrefix(text, "(?i)")
	if !ok {
		return text
	}
	var b strings.Builder
	escaped := false
	for _, c := range rest {
		switch {
		case !escaped && unicode.IsLetter(c):
			fmt.Fprintf(&b, "[%c%c]", unicode.ToUpper(c), unicode.ToLower(c))
		default:
			b.WriteRune(c)
		}
		escaped = !escaped && c == '\\'
	}
	return b.String()
}

// tellAnnotations has names of annotations held to those that there are: the generator
// leaves out what combines two patterns.
func tellAnnotations(defs map[string]any, files map[string][]byte) {
	annotations, ok := defs["Annotations"].(map[string]any)
	if !ok {
		return
	}
	inst := instances(files, []string{schemaPackage})[0]
	if inst.Err != nil {
		return
	}
	v := cuecontext.New().BuildInstance(inst)
	pattern := func(name string) string {
		text, err := v.LookupPath(cue.MakePath(cue.Hid(name, inst.ID()))).String()
		if err != nil {
			return ""
		}
		return text
	}
	if ours, known := pattern("_ours"), pattern("_known"); ours != "" && known != "" {
		annotations["propertyNames"] = map[string]any{
			"if": map[string]any{"pattern": ours}, "then": map[string]any{"pattern": known},
		}
	}
}

// asData makes the schema of policies/data.yaml, where a bundle states what differs.
func asData(root map[string]any) map[string]any {
	defs := root["$defs"]
	delete(root, "$defs")
	optional(root)
	whole := map[string]any{
		"type":       "object",
		"properties": map[string]any{"settings": root},
	}
	if defs != nil {
		whole["$defs"] = defs
	}
	return whole
}

// optional asks for no field of an object, nor of objects in it. What lists hold is whole.
func optional(v map[string]any) {
	delete(v, "required")
	properties, _ := v["properties"].(map[string]any)
	for _, x := range properties {
		if p, ok := x.(map[string]any); ok && p["type"] == "object" {
			optional(p)
		}
	}
}
