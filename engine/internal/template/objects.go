package template

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

// What a bundle asks of objects
//
// A bundle may have a package schema, whose #Ingress, #Deployment, #StatefulSet and
// #DaemonSet say what such objects must be, most often by adding to ours:
//
//	import cuegate "github.com/cuegate/cuegate/cue/schema"
//
//	#Ingress: cuegate.#Ingress & {
//		metadata: labels: team!: string
//	}
//
// The engine has found out by itself whether an object is what ours say, and in plainer
// words. So what stands for ours here is open and asks nothing: what is left is what the
// bundle adds, and costs a fraction.

// objectsPackage is where that package is.
const objectsPackage = "./schema"

// objectKinds are the kinds that a bundle may ask something of.
var objectKinds = []string{"Ingress", "Deployment", "StatefulSet", "DaemonSet"}

const (
	openMeta = `{labels?: {...}, annotations?: {...}, ownerReferences?: [...{...}], managedFields?: [...{...}], ...}`

	openBackend = `{service?: {port?: {...}, ...}, resource?: {...}, ...}`

	openIngress = `{metadata?: ` + openMeta + `, spec?: {
		defaultBackend?: ` + openBackend + `
		tls?: [...{...}]
		rules?: [...{http?: {paths?: [...{backend?: ` + openBackend + `, ...}], ...}, ...}]
		...
	}, ...}`

	openWorkload = `{metadata?: ` + openMeta + `, spec?: {
		selector?: {matchLabels?: {...}, ...}
		template?: {metadata?: ` + openMeta + `, spec?: {containers?: [...{ports?: [...{...}], ...}], ...}, ...}
		...
	}, ...}`
)

// openObjects stand for definitions of our package schema.
var openObjects = map[string]string{
	"#Ingress": openIngress, "#Workload": openWorkload,
	"#Deployment": openWorkload, "#StatefulSet": openWorkload, "#DaemonSet": openWorkload,
}

// objects is the package, compiled with the open stand-ins.
type objects struct {
	ctx   *cue.Context
	kinds map[string]cue.Value
	// set knows which keys the package spells out.
	set *Set
	// faults were found before, by the hash of kind and object: a controller looks at the
	// same objects again and again.
	faults remembered
}

// remembered keeps what was found of the last objects, between maxRemembered and twice as
// many.
type remembered struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte][]ObjectFault
}

const maxRemembered = 8192

func (r *remembered) get(key [sha256.Size]byte) ([]ObjectFault, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.young[key]; ok {
		return f, true
	}
	f, ok := r.old[key]
	if ok {
		r.keep(key, f)
	}
	return f, ok
}

func (r *remembered) put(key [sha256.Size]byte, f []ObjectFault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(key, f)
}

func (r *remembered) keep(key [sha256.Size]byte, f []ObjectFault) {
	if r.young == nil || len(r.young) >= maxRemembered {
		r.old, r.young = r.young, map[[sha256.Size]byte][]ObjectFault{}
	}
	r.young[key] = f
}

// loadObjects compiles the package schema of a bundle; nil where there is none. strict
// has compiled it with our own definitions.
func loadObjects(files map[string][]byte, strict *Set) (*objects, []problem.Problem) {
	pkg, ok := strict.packages[objectsPackage]
	if !ok {
		return nil, nil
	}
	if ps := misspeltKinds(pkg); len(ps) > 0 {
		return nil, ps
	}
	files = maps.Clone(files)
	for name := range files {
		if path.Dir(name) != vendored+"schema" {
			continue
		}
		if err := openFile(files, name); err != nil {
			return nil, []problem.Problem{{Message: fmt.Sprintf("compiling the package schema: %s", err)}}
		}
	}
	inst := instances(files, []string{objectsPackage})[0]
	if inst.Err != nil {
		return nil, problems(inst.Err)
	}
	o := &objects{ctx: cuecontext.New(), kinds: map[string]cue.Value{}}
	o.set = &Set{spelled: map[string]bool{}, expressions: map[string]string{}, indexed: map[*build.Instance]bool{}, read: map[string]bool{}, places: map[string]problem.Problem{}}
	o.set.index(inst)
	o.set.tellsKeys = tellsObjectKeys(inst)
	v := o.ctx.BuildInstance(inst)
	for _, kind := range objectKinds {
		def, ps := lookup(v, "#"+kind)
		if len(ps) > 0 {
			return nil, ps
		}
		if def.Exists() {
			o.kinds[kind] = def
		}
	}
	return o, nil
}

// lookup gives a definition of a package, and what is wrong with it.
func lookup(pkg cue.Value, name string) (cue.Value, []problem.Problem) {
	it, err := pkg.Fields(cue.Definitions(true))
	if err != nil {
		return cue.Value{}, problems(err)
	}
	for it.Next() {
		if it.Selector().String() != name {
			continue
		}
		def := it.Value()
		if err := def.Validate(); err != nil {
			return def, problems(err)
		}
		return def, undefined(def, nil)
	}
	return cue.Value{}, nil
}

var noDefinition = regexp.MustCompile(`undefined field: _?#`)

// undefined finds references to definitions that there are not. CUE takes them for values
// to come, and would say so of every object.
func undefined(v cue.Value, ps []problem.Problem) []problem.Problem {
	if err := v.Err(); err != nil && noDefinition.MatchString(err.Error()) {
		return problem.Sort(append(ps, problems(err)...))
	}
	if elem := v.LookupPath(cue.MakePath(cue.AnyIndex)); elem.Exists() {
		ps = undefined(elem, ps)
	}
	it, err := v.Fields(cue.Optional(true), cue.Patterns(true))
	for err == nil && it.Next() {
		ps = undefined(it.Value(), ps)
	}
	return ps
}

// misspeltKinds finds a package schema that asks nothing, and a definition that is nearly
// called like a kind: nothing would be held to it.
func misspeltKinds(pkg cue.Value) []problem.Problem {
	var names []string
	for _, kind := range objectKinds {
		names = append(names, "#"+kind)
	}
	found := false
	var ps []problem.Problem
	it, err := pkg.Fields(cue.Definitions(true), cue.Optional(true))
	if err != nil {
		return problems(err)
	}
	for it.Next() {
		name := it.Selector().String()
		if slices.Contains(names, name) {
			found = true
			continue
		}
		near := schema.Nearest(name, names)
		// #IngressRule is a part of an Ingress, and no slip.
		if part := strings.TrimPrefix(name, near); near != "" && it.Selector().IsDefinition() && (part == name || !unicode.IsUpper(rune(part[0]))) {
			p := position(it.Value().Pos())
			p.Message = fmt.Sprintf("%s is asked of no object; did you mean %s?", name, near)
			ps = append(ps, p)
		}
	}
	if !found && len(ps) == 0 {
		ps = append(ps, problem.Problem{File: "schema", Message: "the package has none of " + strings.Join(names, ", ") + ", so it asks nothing of any object"})
	}
	return ps
}

// openFile writes the stand-ins into a file of ours.
func openFile(files map[string][]byte, name string) error {
	f, err := parser.ParseFile(name, files[name], parser.ParseComments)
	if err != nil {
		return err
	}
	changed := false
	for _, d := range f.Decls {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		label, _, err := ast.LabelName(field.Label)
		text, stands := openObjects[label]
		if err != nil || !stands {
			continue
		}
		if field.Value, err = parser.ParseExpr("", text); err != nil {
			return err
		}
		changed = true
	}
	if changed {
		// What is no longer used may be no longer imported.
		files[name], err = format.Node(f)
		if err == nil {
			files[name], err = withoutUnusedImports(name, files[name])
		}
	}
	return err
}

// withoutUnusedImports leaves out the imports that a file makes no use of, which CUE
// takes for mistakes.
func withoutUnusedImports(name string, text []byte) ([]byte, error) {
	f, err := parser.ParseFile(name, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	ast.Walk(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			used[id.Name] = true
		}
		return true
	}, nil)
	f.Decls = slices.DeleteFunc(f.Decls, func(d ast.Decl) bool {
		imports, ok := d.(*ast.ImportDecl)
		if !ok {
			return false
		}
		imports.Specs = slices.DeleteFunc(imports.Specs, func(spec *ast.ImportSpec) bool {
			text, err := literal.Unquote(spec.Path.Value)
			return err == nil && spec.Name == nil && !used[path.Base(text)]
		})
		return len(imports.Specs) == 0
	})
	return format.Node(f)
}

// tellsObjectKeys is tellsKeys for a package that may import ours, as long as it takes
// nothing of it but what is open here.
func tellsObjectKeys(inst *build.Instance) bool {
	for _, imported := range inst.Imports {
		if imported.ImportPath != schemaPackage && tellsObjectKeys(imported) {
			return true
		}
	}
	bare := &build.Instance{}
	for _, f := range inst.Files {
		names := map[string]bool{} // of our package, in this file
		copied := *f
		copied.Decls = nil
		for _, d := range f.Decls {
			imports, ok := d.(*ast.ImportDecl)
			if !ok {
				copied.Decls = append(copied.Decls, d)
				continue
			}
			for _, spec := range imports.Specs {
				text, err := literal.Unquote(spec.Path.Value)
				if err != nil || text != schemaPackage {
					copied.Decls = append(copied.Decls, &ast.ImportDecl{Specs: []*ast.ImportSpec{spec}})
					continue
				}
				names["schema"] = true
				if spec.Name != nil {
					names[spec.Name.Name] = true
				}
			}
		}
		takes := false
		ast.Walk(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] {
					name, _, err := ast.LabelName(sel.Sel)
					_, open := openObjects[name]
					takes = takes || err != nil || !open
				}
			}
			return true
		}, nil)
		if takes {
			return true
		}
		bare.Files = append(bare.Files, &copied)
	}
	return tellsKeys(bare)
}
