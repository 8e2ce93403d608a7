package template

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// modulePath is the import path of our own CUE module; its packages follow.
const (
	modulePath      = "github.com/cuegate/cuegate/cue"
	schemaPackage   = modulePath + "/schema"
	sidecarPackage  = modulePath + "/sidecar"
	tykPackage      = modulePath + "/tyk"
	templatePackage = modulePath + "/template"
	builtinPackage  = modulePath + "/template/builtin"
)

// The files of a bundle are given to CUE below a folder that exists nowhere, so
// that nothing on the machine's disk can become part of a bundle.
const (
	root     = "/cuegate.invalid/"
	vendored = "cue.mod/pkg/" + modulePath + "/"
)

// ownPackages are those that every bundle is compiled with.
var ownPackages = []string{schemaPackage, tykPackage, templatePackage, builtinPackage, sidecarPackage}

// bareModule stands in for the cue.mod/module.cue of a bundle that has none.
const bareModule = `module: "bundle.cuegate.dev@v0"
language: version: "v0.17.0"
`

// Set holds the templates and schemas of one bundle, compiled. It is safe for
// concurrent use. All that CUE keeps for it goes when the Set goes.
type Set struct {
	ctx       *cue.Context
	templates map[string]cue.Value
	names     []string
	// strings that the CUE files spell out; see In.
	spelled map[string]bool
	// tellsKeys is set when a template could tell a key from another; see keys.
	tellsKeys bool
	// packages by the argument that loaded them.
	packages   map[string]cue.Value
	definition *schema.Schema
	settings   *schema.Schema
	facts      cue.Value
	// expressions by "file:line:column", for the origins of values.
	expressions map[string]string
	indexed     map[*build.Instance]bool
	// read are the files that some package holds.
	read map[string]bool
	// where each template begins.
	places map[string]problem.Problem
	// own are the templates that are not of the operator's bundle.
	own map[string]bool
	// sidecar is what is injected into workloads, and injected what was rendered of it
	// before.
	sidecar  cue.Value
	injected *renderings
	// blindSidecar is set when the sidecar cannot tell one name of a workload from another.
	blindSidecar bool
	// plain renders without CUE what it can; nil when it can render nothing.
	plain *plain
	// words for errors.
	words words
	// uses notes what is rendered; it may be nil.
	uses *Uses
	// objects is what the bundle asks of objects; nil where it asks nothing.
	objects *objects
}

// Load compiles the templates of a bundle: builtin is our own CUE module,
// operator the bundle of the operator or nil. Problems come all at once; when there
// are any, the Set is fit for nothing but further checks, and may be nil.
//
// The templates are compiled twice. The first time they are held to the real
// tyk.#Definition, so that a template that contradicts it is found here. What is
// kept is compiled against a stand-in that admits every field: rendering against
// the real one costs three times as much, and the engine checks each definition
// anyway, with the schema in its compiled form.
func Load(builtin, operator fs.FS) (*Set, []problem.Problem) {
	files, err := collect(builtin, operator)
	if err != nil {
		return nil, []problem.Problem{{Message: err.Error()}}
	}
	if ps := parseAll(files); len(ps) > 0 {
		return nil, ps
	}
	strict, ps := compile(files, holdToContract)
	if len(strict.packages) < len(ownPackages) {
		return nil, ps // not even ours can be loaded: the bundle's module is broken
	}
	ps = append(ps, unread(files, strict)...)
	ps = append(ps, strict.addSidecar()...)
	strict.facts = strict.packages[schemaPackage].LookupPath(cue.ParsePath("#Facts"))
	strict.definition, err = schema.Compile(strict.packages[tykPackage].LookupPath(cue.ParsePath("#Definition")), "an API definition")
	if err != nil {
		return nil, append(ps, problem.Problem{Message: "compiling tyk.#Definition: " + err.Error()})
	}
	strict.settings, err = schema.Compile(strict.packages[schemaPackage].LookupPath(cue.ParsePath("#Settings")), "the settings")
	if err != nil {
		return nil, append(ps, problem.Problem{Message: "compiling schema.#Settings: " + err.Error()})
	}
	if len(ps) > 0 {
		return strict, ps
	}
	held, ps := loadObjects(files, strict)
	if len(ps) > 0 {
		return strict, ps
	}
	if err := standIn(files, strict); err != nil {
		return nil, []problem.Problem{{Message: "compiling the package tyk: " + err.Error()}}
	}
	s, ps := compile(files, nil)
	if len(ps) > 0 {
		// A template that asks more of the package tyk than the stand-in has.
		strict.tellsKeys, strict.objects = true, held
		return strict, nil
	}
	s.definition, s.settings, s.facts = strict.definition, strict.settings, strict.facts
	s.sidecar, s.injected, s.blindSidecar = strict.sidecar, strict.injected, isBlind(files)
	s.objects = held
	s.plain = newPlain(files, s)
	return s, nil
}

// holdToContract unifies a template with #Template: a package may have forgotten to
// say that its templates are such.
func holdToContract(s *Set, t cue.Value) cue.Value {
	return t.Unify(s.packages[templatePackage].LookupPath(cue.ParsePath("#Template")))
}

// compile compiles the packages of a bundle and checks them as `cue vet -c=false`
// does. Each template goes through hold, unless that is nil.
func compile(files map[string][]byte, hold func(*Set, cue.Value) cue.Value) (*Set, []problem.Problem) {
	s := &Set{
		ctx:         cuecontext.New(),
		templates:   map[string]cue.Value{},
		packages:    map[string]cue.Value{},
		spelled:     map[string]bool{},
		expressions: map[string]string{},
		places:      map[string]problem.Problem{},
		own:         map[string]bool{},
		indexed:     map[*build.Instance]bool{},
		words:       words{files: files},
		read:        map[string]bool{},
	}
	args := slices.Clone(ownPackages)
	if hasPackage(files, "templates") {
		args = append(args, "./templates")
	}
	if hold != nil && hasPackage(files, "schema") {
		args = append(args, objectsPackage)
	}
	var ps []problem.Problem
	for i, inst := range instances(files, args) {
		for _, f := range slices.Concat(inst.BuildFiles, inst.InvalidFiles) {
			s.read[strings.TrimPrefix(f.Filename, root)] = true
		}
		if name := inst.PkgName; args[i] == "./templates" && name != "templates" && name != "" && inst.Err == nil {
			ps = append(ps, problem.Problem{File: "templates", Message: fmt.Sprintf("the package of the files is called %s, and has to be called templates", name)})
		}
		if inst.Err != nil {
			ps = append(ps, s.words.problems(inst.Err)...)
			continue
		}
		v := s.ctx.BuildInstance(inst)
		s.packages[args[i]] = v
		switch args[i] {
		case tykPackage:
			s.words.definition = v.LookupPath(cue.ParsePath("#Definition"))
		case templatePackage:
			s.words.contract = v
		}
		if err := v.Validate(); err != nil {
			ps = append(ps, s.words.problems(err)...)
		}
		if args[i] == objectsPackage {
			s.noteRead(inst) // it holds no templates
			continue
		}
		s.index(inst)
		ps = append(ps, s.addTemplates(v, hold, args[i] != "./templates")...)
	}
	s.indexed = nil
	s.names = slices.Sorted(maps.Keys(s.templates))
	return s, problem.Sort(ps)
}

// instances loads packages of a bundle.
func instances(files map[string][]byte, args []string) []*build.Instance {
	overlay := make(map[string]load.Source, len(files))
	for name, data := range files {
		overlay[root+name] = load.FromBytes(data)
	}
	return load.Instances(args, &load.Config{
		Dir:        strings.TrimSuffix(root, "/"),
		ModuleRoot: strings.TrimSuffix(root, "/"),
		Overlay:    overlay,
		Env:        []string{"CUE_REGISTRY=none"},
	})
}

// unread finds files of an operator's bundle that no package holds, and a package
// templates without templates: what they were to say would not be said.
func unread(files map[string][]byte, s *Set) []problem.Problem {
	var ps []problem.Problem
	for name := range files {
		if !s.read[name] && !strings.HasPrefix(name, "cue.mod/") {
			ps = append(ps, problem.Problem{File: name, Message: "this file is not read: templates are in the folder templates, package templates, constraints on objects in the folder schema, package schema, and others in packages that these import"})
		}
	}
	pkg, ok := s.packages["./templates"]
	if ok && pkg.Err() == nil && !pkg.LookupPath(cue.ParsePath("templates")).Exists() && !pkg.LookupPath(pathSidecar).Exists() {
		ps = append(ps, problem.Problem{File: "templates", Message: "the package has neither a field templates nor a field inject, so it defines nothing"})
	}
	return ps
}

// standIn replaces the files of the package tyk by one that gives each of its
// definitions in the open form, and #In of the package template by anything: the
// engine fills it in from a Go type that tests hold to it.
//
// A field that no template spells out needs no name in the open form.
func standIn(files map[string][]byte, strict *Set) error {
	spelled := func(name string) bool { return strict.spelled[name] }
	text := []byte("package tyk\n")
	it, err := strict.packages[tykPackage].Fields(cue.Definitions(true))
	if err != nil {
		return err
	}
	for it.Next() {
		def, err := schema.Compile(it.Value(), "")
		if err != nil {
			return fmt.Errorf("%s: %w", it.Selector(), err)
		}
		text = fmt.Appendf(text, "%s: %s\n", it.Selector(), def.Open(spelled))
	}
	for name := range files {
		if path.Dir(name) == vendored+"tyk" {
			delete(files, name)
		}
	}
	files[vendored+"tyk/definition.cue"] = text
	const contract = vendored + "template/template.cue"
	f, err := parser.ParseFile(contract, files[contract], parser.ParseComments)
	if err != nil {
		return err
	}
	for _, d := range f.Decls {
		if field, ok := d.(*ast.Field); ok {
			if name, _, err := ast.LabelName(field.Label); err == nil && name == "#In" {
				field.Value = ast.NewIdent("_")
			}
		}
	}
	files[contract], err = format.Node(f)
	return err
}

// addTemplates takes the templates of a package; a later package replaces those
// of an earlier one.
func (s *Set) addTemplates(pkg cue.Value, hold func(*Set, cue.Value) cue.Value, own bool) []problem.Problem {
	list := pkg.LookupPath(cue.ParsePath("templates"))
	if !list.Exists() {
		return nil
	}
	it, err := list.Fields()
	if err != nil {
		return s.words.problems(err)
	}
	var ps []problem.Problem
	for it.Next() {
		name := it.Selector().Unquoted()
		v := it.Value()
		if hold != nil {
			v = hold(s, v)
		}
		err := v.Validate()
		if err == nil {
			err = missingDefinition(v)
		}
		if err != nil {
			ps = append(ps, s.words.problems(err)...)
			continue
		}
		s.templates[name], s.own[name] = v, own
	}
	return ps
}

// missingDefinition finds a reference to a definition that its package does not have. To CUE
// that is incomplete, and no error: with more files there might be one.
func missingDefinition(v cue.Value) error {
	err := v.Err()
	if err == nil {
		return nil
	}
	for _, e := range errors.Errors(err) {
		if strings.HasPrefix(message(e), "undefined field: #") {
			return e
		}
	}
	return nil
}

// collect lays the files of a bundle out as CUE wants them: the operator's
// module at the root and ours vendored below it. A copy of ours that the
// operator vendored for the stock cue command is left out.
func collect(builtin, operator fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{"cue.mod/module.cue": []byte(bareModule)}
	if operator != nil {
		err := eachCUE(operator, func(name string, data []byte) {
			if !strings.HasPrefix(name, vendored) {
				files[name] = data
			}
		})
		if err != nil {
			return nil, err
		}
	}
	err := eachCUE(builtin, func(name string, data []byte) {
		if !strings.HasPrefix(name, "cue.mod/") {
			files[vendored+name] = data
		}
	})
	return files, err
}

func eachCUE(fsys fs.FS, add func(name string, data []byte)) error {
	return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading bundle: %w", err)
		}
		if d.IsDir() || path.Ext(name) != ".cue" {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("reading bundle: %w", err)
		}
		add(name, data)
		return nil
	})
}

// parseAll reports the syntax errors of every file; the loader would stop at the
// first package.
func parseAll(files map[string][]byte) []problem.Problem {
	var ps []problem.Problem
	for name, data := range files {
		if _, err := parser.ParseFile(root+name, data, parser.ParseComments); err != nil {
			found := words{files: files}.problems(err)
			if len(found) > 1 {
				// That a { is not closed follows from what is wrong before it.
				found = slices.DeleteFunc(found, func(p problem.Problem) bool { return strings.Contains(p.Message, "found 'EOF'") })
			}
			ps = append(ps, found...)
		}
	}
	return problem.Sort(ps)
}

func hasPackage(files map[string][]byte, dir string) bool {
	for name := range files {
		if path.Dir(name) == dir {
			return true
		}
	}
	return false
}

// index notes the strings and expressions of a package and of those that it
// imports. The package tyk is left out: it is no template.
func (s *Set) index(inst *build.Instance) {
	if s.indexed[inst] || strings.HasPrefix(inst.ImportPath, tykPackage) {
		return
	}
	s.indexed[inst] = true
	if inst.ImportPath != schemaPackage && inst.ImportPath != sidecarPackage {
		s.tellsKeys = s.tellsKeys || tellsKeys(inst)
	}
	for _, imported := range inst.Imports {
		s.index(imported)
	}
	for _, f := range inst.Files {
		s.read[strings.TrimPrefix(f.Filename, root)] = true
		ast.Walk(f, func(n ast.Node) bool {
			s.note(n)
			return true
		}, nil)
	}
}

// noteRead notes the files of a package and of those that it imports.
func (s *Set) noteRead(inst *build.Instance) {
	for _, f := range inst.Files {
		s.read[strings.TrimPrefix(f.Filename, root)] = true
	}
	for _, imported := range inst.Imports {
		s.noteRead(imported)
	}
}

// Definition returns tyk.#Definition, compiled.
func (s *Set) Definition() *schema.Schema { return s.definition }

// Settings returns schema.#Settings, compiled.
func (s *Set) Settings() *schema.Schema { return s.settings }

// Facts returns schema.#Facts.
func (s *Set) Facts() cue.Value { return s.facts }

// Names returns the names of the templates, sorted.
func (s *Set) Names() []string { return s.names }

// Place says where the template begins.
func (s *Set) Place(name string) problem.Problem { return s.places[name] }

// PlaceOf says where a template has a field of the definition, in the operator's bundle
// rather than in ours. It gives no file where no template says anything of the field.
func (s *Set) PlaceOf(name string, path []string) problem.Problem {
	sels := []cue.Selector{cue.Str("api")}
	for _, key := range path {
		sels = append(sels, cue.Str(key))
	}
	var best problem.Problem
	for _, c := range conjuncts(s.templates[name].LookupPath(cue.MakePath(sels...))) {
		if p := position(c.Pos()); rank(p) > rank(best) {
			best = p
		}
	}
	return best
}

// problems turns an error of CUE into problems, one per cause.
func problems(err error) []problem.Problem { return words{}.problems(err) }

// rank orders positions by how likely the mistake is there: in the operator's
// bundle rather than in our templates, there rather than in a schema.
func rank(p problem.Problem) int {
	switch {
	case p.File == "":
		return 0
	case strings.HasPrefix(p.File, "cue/template/"):
		return 2
	case strings.HasPrefix(p.File, "cue/"):
		return 1
	}
	return 3
}

var mismatch = regexp.MustCompile(`=~".*" (\(mismatched types (?:\w+) and (\w+)\))$`)

var bound = regexp.MustCompile(`invalid value (.*) \(out of bound [=!]~.*\)$`)

// message gives the message of an error without its positions, and without the
// regular expressions that nobody reads.
func message(e errors.Error) string {
	format, args := e.Msg()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), root, "")
	text = mismatch.ReplaceAllString(text, "$2 $1")
	return bound.ReplaceAllString(text, "$1 is not of the form that the schema asks for")
}

// position says where in the bundle pos is. Files of ours are named as they are
// in our repository.
func position(pos token.Pos) problem.Problem {
	if !pos.IsValid() {
		return problem.Problem{}
	}
	p := pos.Position()
	name := strings.TrimPrefix(p.Filename, root)
	if own, ok := strings.CutPrefix(name, vendored); ok {
		name = "cue/" + own
	}
	return problem.Problem{File: name, Line: p.Line, Column: p.Column}
}
