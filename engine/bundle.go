package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// Bundle is a set of schemas, templates and policies that was loaded and checked
// as a whole. It never changes, and is safe for concurrent use.
type Bundle struct {
	templates  *template.Set
	rules      *policy.Rules
	definition *schema.Schema
	digest     string
}

// LoadBundle loads the built-in bundle (cuegate.Builtin) and over it that of an
// operator, which may be nil:
//
//	templates/*.cue   package templates; its field `templates` holds templates by name
//	schema/*.cue      package schema; what its #Ingress, #Deployment, #StatefulSet and
//	                  #DaemonSet ask, objects have to be
//	policies/**       Rego files, and data.yaml with what differs in the settings
//	cue.mod/**        module.cue, and packages that the bundle vendors; our own are
//	                  never read from there, but from the built-in bundle
//
// Other files, such as tests and manifests, are left alone, unless they look like one of
// these in the wrong place.
//
// The error is a *BundleError with everything that is wrong.
func LoadBundle(ctx context.Context, builtin, operator fs.FS) (*Bundle, error) {
	own, err := fs.Sub(builtin, "cue")
	if err != nil {
		return nil, err
	}
	templates, problems := template.Load(own, operator)
	problems = append(problems, strays(operator)...)
	b := &Bundle{templates: templates}
	if len(problems) > 0 {
		// What is right is checked further, so that all problems come at once.
		if templates != nil {
			b.definition = templates.Definition()
			problems = append(problems, b.Check()...)
		}
		// The types of the facts come from the built-in bundle.
		if templates, _ = template.Load(own, nil); templates == nil {
			return nil, &BundleError{problem.Sort(problems)}
		}
	}
	b.definition = templates.Definition()
	rules, more := loadRules(ctx, templates, builtin, operator)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, &BundleError{problem.Sort(problems)}
	}
	b.rules = rules
	if b.digest, err = digest(builtin, operator); err != nil {
		return nil, &BundleError{[]Problem{{Message: err.Error()}}}
	}
	return b, nil
}

func loadRules(ctx context.Context, t *template.Set, builtin, operator fs.FS) (*policy.Rules, []problem.Problem) {
	input, err := t.FactsSchema()
	if err != nil {
		return nil, []problem.Problem{{File: "cue/schema/facts.cue", Message: err.Error()}}
	}
	var sources []policy.Source
	for _, fsys := range []fs.FS{builtin, operator} {
		if fsys == nil {
			continue
		}
		if info, err := fs.Stat(fsys, "policies"); err != nil || !info.IsDir() {
			continue
		}
		sub, err := fs.Sub(fsys, "policies")
		if err != nil {
			return nil, []problem.Problem{{File: "policies", Message: err.Error()}}
		}
		sources = append(sources, policy.Source{FS: sub, Name: "policies", Builtin: len(sources) == 0})
	}
	types := policy.Types{
		Input:    input,
		Settings: func(settings any) []schema.Violation { return checkSettings(t, settings) },
		Setting:  t.Settings().Known,
	}
	return policy.Load(ctx, types, sources...)
}

// strays finds files of an operator's bundle where nothing reads them. A bundle with
// nothing to read is a problem too: most likely another folder was meant.
func strays(operator fs.FS) []problem.Problem {
	if operator == nil {
		return nil
	}
	var ps []problem.Problem
	read := 0
	err := fs.WalkDir(operator, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside := strings.HasPrefix(name, "policies/")
		switch base := path.Base(name); {
		case (strings.HasPrefix(name, "templates/") || strings.HasPrefix(name, "schema/")) && path.Ext(name) == ".cue", inside && decides(name):
			read++
		case inside:
		case path.Ext(name) == ".rego", base == "data.yaml", base == "data.yml", base == "data.json":
			ps = append(ps, problem.Problem{File: name, Message: "this file is not read: policies and their data are in the folder policies"})
		}
		return nil
	})
	switch {
	case err != nil:
		ps = append(ps, problem.Problem{Message: fmt.Sprintf("reading bundle: %s", err)})
	case read == 0:
		ps = append(ps, problem.Problem{Message: "the bundle has neither templates/*.cue nor schema/*.cue nor policies: is it the right folder?"})
	}
	return ps
}

// Digest names the content of the bundle: "sha256:" and 64 hexadecimal digits.
func (b *Bundle) Digest() string { return b.digest }

// Templates returns the names of the templates, sorted.
func (b *Bundle) Templates() []string { return b.templates.Names() }

// vendored is where a bundle keeps copies of our packages for the stock cue command.
const vendored = "cue.mod/pkg/github.com/cuegate/cuegate/cue/"

// digest hashes every file that can change a decision, by name and content.
func digest(trees ...fs.FS) (string, error) {
	h := sha256.New()
	for i, fsys := range trees {
		if fsys == nil {
			continue
		}
		err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !decides(name) {
				return err
			}
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "%d %s %d\n", i, name, len(data))
			h.Write(data)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("reading bundle: %w", err)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func decides(name string) bool {
	switch path.Ext(name) {
	case ".cue":
		return !strings.HasPrefix(name, vendored)
	case ".rego", ".yaml", ".yml", ".json":
		return strings.HasPrefix(name, "policies/") && !strings.HasSuffix(name, "_test.rego")
	}
	return false
}

// Check renders every template on sample routes and gives what is wrong. A
// template's own `errors` are no fault: the samples may not be what it is for.
func (b *Bundle) Check() []Problem {
	var problems []problem.Problem
	for _, name := range b.templates.Names() {
		for _, in := range samples() {
			doc, origins, err := b.sample(name, in)
			if err != nil {
				problems = append(problems, b.faultProblem(name, err)...)
				continue
			}
			for _, v := range b.definition.Validate(doc) {
				problems = append(problems, b.wrong(name, origins, v.Path, v.Error()))
			}
		}
	}
	return problem.Sort(problems)
}

// Unservable gives what is wrong with templates that make definitions which the gateway
// does not serve, whatever the route.
func (b *Bundle) Unservable() []Problem {
	var problems []problem.Problem
	for _, name := range b.templates.Names() {
		var found []problem.Problem
		for _, in := range samples() {
			doc, origins, err := b.sample(name, in)
			if err != nil {
				found = nil
				break // Check tells
			}
			found = nil
			for _, f := range unservable(in.Host, doc) {
				found = append(found, b.wrong(name, origins, f.path, schema.Join(f.path)+": "+f.msg))
			}
			if len(found) == 0 {
				break
			}
		}
		problems = append(problems, found...)
	}
	return problem.Sort(problems)
}

// sample renders a template on one route.
func (b *Bundle) sample(name string, in template.In) (map[string]any, map[string]template.Origin, error) {
	rendered, err := b.templates.Render(name, in, nil)
	if err != nil {
		return nil, nil, err
	}
	doc, err := decode(rendered.JSON)
	return doc, rendered.Origins(), err
}

// wrong places what is wrong with a field where the field has its value.
func (b *Bundle) wrong(name string, origins map[string]template.Origin, path []string, message string) Problem {
	p := origins[schema.Join(path)].Problem
	if p.File == "" {
		p = b.templates.Place(name)
	}
	p.Message = fmt.Sprintf("templates.%s.api: %s", name, message)
	return p
}

func (b *Bundle) faultProblem(name string, err error) []Problem {
	f, ok := err.(*template.Fault)
	if !ok {
		return []Problem{{Message: err.Error()}}
	}
	if f.Author {
		return nil
	}
	p := b.templates.Place(name)
	if len(f.Positions) > 0 {
		p = f.Positions[0]
	}
	if strings.HasPrefix(f.Message, "incomplete value ") {
		if at := b.templates.PlaceOf(name, f.Path); at.File != "" {
			p.File, p.Line, p.Column = at.File, at.Line, at.Column
		}
	}
	p.Message = fmt.Sprintf("templates.%s.api: %s", name, b.templates.Reword(f))
	return []Problem{p}
}

// samples are routes of the kinds that a template will meet.
func samples() []template.In {
	in := template.In{
		ID: "00000000000000000000000000000000", Org: "default", Role: roleIngress, Name: "cafe-ingress:tea-svc", Slug: "default-cafe-ingress-000000000000",
		Object:    template.Object{Kind: "Ingress", Namespace: "default", Name: "cafe-ingress"},
		Namespace: template.Namespace{Name: "default"},
		Host:      "cafe.example.com", Domain: "cafe.example.com",
		Path: "/tea", PathType: "Prefix", ListenPath: "/tea{path_prefix:(?:/|$)}",
		Service: template.Service{Name: "tea-svc", Namespace: "default", Port: 80},
		Target:  "http://tea-svc.default:80", Tags: []string{"ingress"},
		Certificates: []string{"default" + strings.Repeat("0", 64)},
	}
	bare := in
	bare.Host, bare.Domain, bare.Path, bare.PathType, bare.ListenPath = "", "", "/", pathTypeDefault, "/"
	bare.Certificates = nil
	return []template.In{in, bare}
}

func decode(data []byte) (map[string]any, error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var doc map[string]any
	err := dec.Decode(&doc)
	return doc, err
}
