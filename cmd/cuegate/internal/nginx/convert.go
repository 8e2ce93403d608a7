package nginx

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate/engine"
)

// Options are what the caller chose.
type Options struct {
	// Class is the ingressClassName to write.
	Class string
	// From are the classes of ingress-nginx beside "nginx" and those of the manifests.
	From []string
	// Accept are the names of differences that are taken.
	Accept []string
	// Namespace is that of objects that name none.
	Namespace string
}

// Migration is what became of all manifests.
type Migration struct {
	Ingresses []*Migrated `json:"ingresses"`
	// Settings are those of the ConfigMap of the controller.
	Settings []Entry `json:"settings,omitempty"`
	// Hints are for all Ingresses.
	Hints []string `json:"hints,omitempty"`

	// Files are the manifests and the bundle, with paths below the folder to write.
	Files *txtar.Archive `json:"-"`
}

// Migrated is what became of one Ingress.
type Migrated struct {
	Object string `json:"object"`
	Source string `json:"source"`
	// Outcome is the worst of its entries: with LeftOut nothing was written of it.
	Outcome Outcome `json:"outcome"`
	// File and Template that were written; "" where it was left out.
	File     string  `json:"file,omitempty"`
	Template string  `json:"template,omitempty"`
	Entries  []Entry `json:"annotations"`
}

// Entry is what became of one annotation, or of one setting of the controller.
type Entry struct {
	Name    string  `json:"name"`
	Value   string  `json:"value,omitempty"` // "" where it is hidden
	Outcome Outcome `json:"outcome"`
	Accept  string  `json:"accept,omitempty"` // the name to accept, where it was not
	Note    string  `json:"note"`
}

// draft is an Ingress on its way.
type draft struct {
	in        *ingress
	global    *global
	options   Options
	overrides map[string]any // by path of the definition
	limited   rateLimit
	shape     shape
	result    *Migrated
	// protected: an annotation decides who may call.
	protected bool
	// approximated: a path is only nearly as it was.
	approximated bool
}

// shape is what an Ingress needs of its template.
type shape struct {
	timeout   int   // seconds
	body      int64 // bytes
	https     bool  // to the service
	ownHost   bool  // the Host of the service
	hsts      string
	tlsHosts  []string // with a certificate
	only      []string // of those: not served in clear
	basicAuth bool
	paths     map[string]pathPlan // by host and path, with a space between
}

func (d *draft) accepts(name string) bool { return slices.Contains(d.options.Accept, name) }

const versionPath = "version_data.versions.Default."

// Migrate converts the Ingresses of files and lets the engine decide them. What it refuses
// is left out, and all is converted again without it: others might take its requests.
// neighbours are the other objects of the files.
func Migrate(ctx context.Context, builtin fs.FS, files []File, neighbours []engine.Object, o Options, config engine.Config) (*Migration, error) {
	refused := map[string][]string{}
	for {
		m := convert(files, o, refused)
		again, err := m.prove(ctx, builtin, neighbours, o, config, refused)
		if err != nil || !again {
			return m, err
		}
	}
}

// convert converts all Ingresses but those that are refused, by Object.
func convert(files []File, o Options, refused map[string][]string) *Migration {
	in := read(files, o.Namespace)
	m := &Migration{Ingresses: []*Migrated{}, Files: &txtar.Archive{}}
	g := readGlobal(in.configMaps)
	m.Settings = g.entries
	all := &host{regexes: map[string]bool{}, tls: map[string]bool{}}
	for _, i := range in.ingresses {
		if i.isOf(in, o) {
			all.note(i)
		}
	}
	t := newTable()
	var drafts []*draft
	for _, i := range in.ingresses {
		r := &Migrated{Object: i.String(), Source: i.source, Entries: []Entry{}}
		if !i.isOf(in, o) {
			switch {
			case i.class == "":
				r.add(Entry{Name: "spec.ingressClassName", Outcome: LeftOut,
					Note: "It names no class, and among the manifests no IngressClass of ingress-nginx is the default one. Where ingress-nginx served it, give that IngressClass, or write the class into the Ingress."})
			case len(i.annotations) > 0:
				r.add(Entry{Name: "spec.ingressClassName", Value: i.class, Outcome: LeftOut,
					Note: "The class is none of ingress-nginx, as far as the manifests tell: name it with --from, or give its IngressClass."})
			default:
				continue // another controller's
			}
			m.Ingresses = append(m.Ingresses, r)
			continue
		}
		d := &draft{in: i, global: g, options: o, overrides: map[string]any{}, shape: g.shape, result: r}
		d.convert(t, all)
		for _, text := range refused[r.Object] {
			r.add(Entry{Name: "the engine", Outcome: LeftOut, Note: "It refuses what came of it: " + text})
		}
		m.Ingresses = append(m.Ingresses, r)
		drafts = append(drafts, d)
	}
	coverUp(drafts, all)
	drafts = slices.DeleteFunc(drafts, func(d *draft) bool { return d.result.Outcome == LeftOut })
	m.write(drafts)
	m.Hints = g.hints(drafts)
	return m
}

// add notes what became of something; the worst of all is what became of the Ingress.
func (r *Migrated) add(e Entry) {
	if r.Entries = append(r.Entries, e); r.Outcome == "" || e.Outcome.worse(r.Outcome) {
		r.Outcome = e.Outcome
	}
}

// host is what ingress-nginx makes of hosts, by all Ingresses that name them.
type host struct {
	regexes map[string]bool // paths are regular expressions
	tls     map[string]bool // there is a certificate
}

func (h *host) note(in *ingress) {
	target := in.annotations["rewrite-target"]
	for _, p := range in.paths {
		if in.annotations["use-regex"] == "true" || target != "" && target != p.path {
			h.regexes[p.host] = true
		}
	}
	for _, name := range in.tls {
		h.tls[name] = true
	}
}

// isOf tells whether ingress-nginx serves it: by its class, or where it has none and that
// of ingress-nginx is the default, or it has annotations of ingress-nginx.
func (in *ingress) isOf(all *input, o Options) bool {
	switch {
	case in.class == "":
		return all.byDefault || len(in.annotations) > 0
	case slices.Contains(all.classes, in.class), slices.Contains(o.From, in.class):
		return true
	}
	return in.class == "nginx"
}

// convert applies the rows to an Ingress, in order of their names.
func (d *draft) convert(t table, all *host) {
	r := d.result
	r.Outcome = Mapped
	if v := d.in.apiVersion; v != "networking.k8s.io/v1" {
		r.add(Entry{Name: "apiVersion", Value: v, Outcome: LeftOut, Note: "Servers of Kubernetes have networking.k8s.io/v1 since 1.19, and nothing else since 1.22. Convert the manifest first."})
	}
	for _, name := range d.in.ours() {
		r.add(Entry{Name: name, Outcome: LeftOut, Note: "It is an annotation of Cuegate, in whose place another would be written. Is the Ingress migrated already? Else remove the annotation, and put what it says into what is written."})
	}
	for _, h := range d.in.hosts() {
		if all.tls[h] {
			d.shape.tlsHosts = append(d.shape.tlsHosts, h)
		}
	}
	d.shape.only = d.httpsOnly()
	d.planPaths(all)
	for _, name := range slices.Sorted(maps.Keys(d.in.annotations)) {
		row := t.row(name)
		e := d.apply(row, d.in.annotations[name])
		d.protected = d.protected || row.Closes && e.Outcome != Needless
		r.add(e)
	}
	for _, e := range d.defaults() {
		r.add(e)
	}
}

// apply does what a row says of a value.
func (d *draft) apply(row Row, value string) Entry {
	e := Entry{Name: row.Name, Value: value, Outcome: row.Outcome, Note: row.Note}
	if row.Hidden {
		e.Value = ""
	}
	var v verdict
	if row.convert != nil {
		v = row.convert(d, value)
	}
	if v.note != "" {
		e.Note = v.note
	}
	switch {
	case v.outcome != "":
		e.Outcome, e.Accept = v.outcome, v.accept
	case row.Accept != "" && !d.accepts(row.Accept):
		e.Outcome, e.Accept = LeftOut, row.Accept
		if v.note == "" {
			e.Note = row.Note
		}
	}
	return e
}

// planPaths plans all paths, and tells which ones change.
func (d *draft) planPaths(all *host) {
	d.shape.paths = map[string]pathPlan{}
	for _, p := range d.in.paths {
		if !all.regexes[p.host] {
			continue
		}
		plan, err := planPath(p.path, d.in.annotations["rewrite-target"])
		if plan == (pathPlan{}) && err == nil {
			continue
		}
		if strings.HasPrefix(p.host, "*") && err == nil {
			err = fmt.Errorf("the gateway would prefer a regular expression under the wildcard host %s to exact hosts; name the hosts one by one", quoteShort(p.host))
		}
		e := Entry{Name: "path", Value: p.host + p.path, Outcome: Mapped, Note: plan.describe()}
		switch {
		case err != nil:
			e.Outcome, e.Note = LeftOut, "It cannot be carried over: "+err.Error()+"."
		case plan.note != "":
			e.Outcome, d.approximated = Approximated, true
		}
		if err == nil {
			d.shape.paths[p.host+" "+written(p.path)] = plan
			if p.node != nil {
				p.node.Value = written(p.path)
			}
		}
		d.result.add(e)
	}
}

// describe tells what becomes of the path, in a sentence or two.
func (p pathPlan) describe() string {
	s := "A regular expression as on ingress-nginx: without regard to case, from the beginning."
	switch {
	case p.strip && p.prefix != "":
		s += " What it matches is replaced by " + p.prefix + "/."
	case p.strip:
		s += " What it matches is taken off."
	}
	if p.note != "" {
		s += " " + p.note
	}
	return s
}

// defaults are what ingress-nginx did without being told so by the Ingress.
func (d *draft) defaults() []Entry {
	var entries []Entry
	if len(d.shape.only) > 0 && d.in.annotations["ssl-redirect"] == "" && d.in.annotations["force-ssl-redirect"] == "" {
		entries = append(entries, Entry{Name: "ssl-redirect (default)", Outcome: Approximated,
			Note: "Where a host has a certificate ingress-nginx redirects by default. Plain HTTP is not redirected, and not served (404): the definition has protocol https. Accept ssl-redirect to serve it."})
	}
	return append(entries, d.global.inherited(d)...)
}
