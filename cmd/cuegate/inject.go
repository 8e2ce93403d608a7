package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
	yamlnode "go.yaml.in/yaml/v3"

	"github.com/cuegate/cuegate/engine"
)

// Where annotations of the mesh stand, as gjson and sjson have it.
const (
	wishAtTemplate = `spec.template.metadata.annotations.injector\.tyk\.io/inject`
	wishAtObject   = `metadata.annotations.injector\.tyk\.io/inject`
	doneAtTemplate = `spec.template.metadata.annotations.injector\.tyk\.io/status`
	doneAtObject   = `metadata.annotations.injector\.tyk\.io/status` // of a Service
)

// meshServiceLabel marks the Services by which sidecars find each other.
const meshServiceLabel = `metadata.labels.cuegate\.dev/mesh`

func newInject() *cobra.Command {
	in := input{keep: true}
	var services, remove bool
	cmd := &cobra.Command{
		Use:   "inject -f FILE|DIR|- [-f ...]",
		Short: "Write manifests with the sidecars that their workloads ask for",
		Long: `Inject does to manifests what the webhook does to objects: it brings sidecars into the
workloads that ask for one, and target ports of Services to them. It is for those who
want no webhook. The bundle must be that of the controller, which serves the routes.

All documents are written to standard output, in their order. What is not changed stays
byte for byte. A document that is changed is written anew: it keeps its comments and the
order of its keys, and may lose blank lines and a comment of what is replaced; aliases
are written out. A List is one document.

What is there already is not added again, so the output may be the input of another run,
and with a new bundle brings sidecars up to date. Workloads that ask for none any more
lose it.

It exits with 1 when anything was refused; that stays as it was.`,
		Example: `  cuegate inject -f manifests --services | kubectl apply -f -
  helm template shop ./chart | cuegate inject -f - -n shop | kubectl apply -n shop -f -
  cuegate inject -f injected.yaml --remove`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := in.load(cmd.Context(), cmd.InOrStdin())
			if err != nil {
				return err
			}
			i := injection{loaded: l, services: services, namespace: cmp.Or(in.namespace, "default"), changes: map[where]*change{}}
			if remove {
				err = i.remove(cmd.Context())
			} else {
				err = i.decide(cmd.Context())
			}
			if err != nil {
				return err
			}
			if err := i.write(cmd.OutOrStdout()); err != nil {
				return err
			}
			w := cmd.ErrOrStderr()
			tell(w, "warning", i.warnings)
			tell(w, "ignored", i.doc.Ignored)
			tell(w, "pending", i.doc.Pending)
			if len(i.doc.Pending) > 0 {
				fmt.Fprintln(w, pendingHint(l.config.meshNamespace()))
			}
			for _, text := range i.changed {
				fmt.Fprintf(w, "changed: %s\n", text)
			}
			tell(w, "refused", i.doc.Refused)
			if len(i.doc.Refused) > 0 {
				return &exitError{code: exitRefused, message: summary(i.doc)}
			}
			return nil
		},
	}
	in.flags(cmd)
	cmd.Flags().BoolVar(&services, "services", false, "also write the Service by which other sidecars find a workload, after it; with --remove, leave those out")
	cmd.Flags().BoolVar(&remove, "remove", false, "take out again what was injected, whatever workloads ask for")
	return cmd
}

// where is an object in the input: no two have the same.
type where struct {
	source     string
	apiVersion string
	ref        engine.Ref
}

func whereOf(o engine.Object) where { return where{o.Source, o.APIVersion, o.Ref} }

// change is what happens to an object in its document.
type change struct {
	ops []patchOp
	// service is a Service to write behind it, as JSON, or nil.
	service []byte
	// drop leaves the object out.
	drop bool
}

// injection is one run of inject.
type injection struct {
	*loaded
	services  bool
	namespace string // of objects that name none
	changes   map[where]*change
	doc       document // of refused, ignored and pending objects
	warnings  []reasonEntry
	changed   []string
}

func (i *injection) change(o engine.Object) *change {
	c := i.changes[whereOf(o)]
	if c == nil {
		c = &change{}
		i.changes[whereOf(o)] = c
	}
	return c
}

func (i *injection) refuse(o engine.Object, id, msg string) {
	i.doc.Refused = append(i.doc.Refused, reasonEntry{o.Ref.String(), id, msg})
}

// patch notes what a decision changes in an object.
func (i *injection) patch(o engine.Object, raw []byte) error {
	if raw == nil {
		return nil
	}
	ops, err := readPatch(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Ref, err)
	}
	i.change(o).ops = ops
	return nil
}

// decide asks the engine about all that the mesh may have to do with.
func (i *injection) decide(ctx context.Context) error {
	i.doc.Refused = i.rejections()
	objects := slices.DeleteFunc(i.decidable(), func(o engine.Object) bool { return o.Kind == "Ingress" })
	all, err := i.loaded.decide(ctx, objects)
	if err != nil {
		return err
	}
	for n, d := range all {
		o := objects[n]
		for _, w := range d.Warnings {
			i.warnings = append(i.warnings, reasonEntry{o.Ref.String(), w.ID, sentence(w)})
		}
		for _, r := range d.Reasons {
			e := reasonEntry{o.Ref.String(), r.ID, sentence(r)}
			switch {
			case isPending(d):
				// The sidecar can wait for its certificates; its Service is not known yet.
				if i.services {
					i.doc.Pending = append(i.doc.Pending, reasonEntry{o.Ref.String(), r.ID, r.Msg + " Its Service is not written."})
				}
			case d.Outcome == engine.Held:
				i.doc.Refused = append(i.doc.Refused, e)
			case r.ID != "kind-unknown" && !(r.ID == "not-asked" && (d.Patch != nil || hasWish(o))):
				i.doc.Ignored = append(i.doc.Ignored, e)
			}
		}
		if err := i.patch(o, d.Patch); err != nil {
			return err
		}
		if i.services && d.Service != nil {
			i.serve(o, d.Service)
		}
	}
	return nil
}

func hasWish(o engine.Object) bool {
	at := gjson.GetManyBytes(o.JSON, wishAtTemplate, wishAtObject)
	return at[0].Exists() || at[1].Exists()
}

// serve notes the Service of a workload, unless it is among the manifests.
func (i *injection) serve(o engine.Object, service []byte) {
	want := gjson.GetManyBytes(service, "metadata.namespace", "metadata.name", "spec.ports", "spec.selector")
	ref := engine.Ref{Kind: "Service", Namespace: want[0].String(), Name: want[1].String()}
	n := slices.IndexFunc(i.objects, func(o engine.Object) bool { return o.Ref == ref && o.Neighbour() })
	if n < 0 {
		if gjson.GetBytes(o.JSON, "metadata.namespace").String() == "" {
			service, _ = sjson.DeleteBytes(service, "metadata.namespace") // it goes where its workload goes
		}
		i.change(o).service = service
		return
	}
	there := i.objects[n]
	if !isMeshService(there) {
		i.refuse(o, "mesh-service-foreign", fmt.Sprintf("There is a Service %s already, which is not of the mesh: it is not touched, and other sidecars do not find the workload. Give one of them another name.", ref))
		return
	}
	have := gjson.GetManyBytes(there.JSON, "spec.ports", "spec.selector")
	c := i.change(there)
	if !within(want[2].Value(), have[0].Value()) {
		c.ops = append(c.ops, patchOp{"add", "/spec/ports", numbered(want[2].Raw)})
	}
	if !within(want[3].Value(), have[1].Value()) || len(want[3].Map()) != len(have[1].Map()) {
		c.ops = append(c.ops, patchOp{"add", "/spec/selector", numbered(want[3].Raw)})
	}
}

func numbered(raw string) any {
	v, _ := decodeJSON([]byte(raw)) // gjson has read it
	return v
}

// within tells whether all that is wanted is there: an API server adds to it.
func within(wanted, have any) bool {
	switch w := wanted.(type) {
	case map[string]any:
		h, _ := have.(map[string]any)
		for k := range w {
			if !within(w[k], h[k]) {
				return false
			}
		}
		return h != nil
	case []any:
		h, _ := have.([]any)
		for i := range w {
			if i >= len(h) || !within(w[i], h[i]) {
				return false
			}
		}
		return len(h) == len(w)
	}
	return wanted == have
}

func isMeshService(o engine.Object) bool {
	return o.Kind == "Service" && o.Neighbour() && gjson.GetBytes(o.JSON, meshServiceLabel).String() == "service"
}

// remove asks the engine what would become of all that was injected into if it asked for
// nothing.
func (i *injection) remove(ctx context.Context) error {
	i.doc.Refused = i.rejections()
	var objects, asNone []engine.Object
	for _, o := range i.objects {
		at := gjson.GetManyBytes(o.JSON, doneAtTemplate, doneAtObject)
		isService := o.Kind == "Service"
		if i.services && isMeshService(o) {
			i.change(o).drop = true
		}
		if !at[0].Exists() && !(isService && at[1].Exists()) {
			continue
		}
		none := o
		for _, path := range []string{wishAtTemplate, wishAtObject} {
			if gjson.GetBytes(o.JSON, path).Exists() {
				none.JSON, _ = sjson.SetBytes(none.JSON, path, "false")
			}
		}
		objects, asNone = append(objects, o), append(asNone, none)
	}
	all, err := i.loaded.decide(ctx, asNone)
	if err != nil {
		return err
	}
	for n, d := range all {
		switch o := objects[n]; {
		case d.Outcome == engine.Held:
			for _, r := range d.Reasons {
				i.refuse(o, r.ID, sentence(r))
			}
		case d.Patch == nil:
			i.refuse(o, "injected-invalid", "The annotation that lists what was injected cannot be read, so nothing was taken out. Remove it, and what was injected.")
		default:
			if err := i.patch(o, d.Patch); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes all files one after the other.
func (i *injection) write(w io.Writer) error {
	var out bytes.Buffer
	bySource := map[string]bool{}
	for at, c := range i.changes {
		if len(c.ops) > 0 || c.service != nil || c.drop {
			bySource[at.source] = true
		} else {
			delete(i.changes, at)
		}
	}
	for n, f := range i.texts {
		for m, p := range splitPieces(f.name, f.data) {
			text := p.text
			if bySource[p.source] {
				text = i.rewrite(p)
			}
			if len(text) == 0 {
				continue
			}
			newLine(&out)
			if n > 0 && m == 0 && out.Len() > 0 && !isSeparator(text) {
				out.WriteString("---\n")
			}
			out.Write(text)
		}
	}
	for at := range i.changes {
		i.doc.Refused = append(i.doc.Refused, reasonEntry{at.ref.String(), unwritable, fmt.Sprintf("It was not found again in the document at %s.", at.source)})
	}
	slices.Sort(i.changed)
	_, err := w.Write(out.Bytes())
	return err
}

// newLine ends a line that has no end.
func newLine(out *bytes.Buffer) {
	if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
		out.WriteByte('\n')
	}
}

// unwritable is the id of the reason of documents that cannot be written anew.
const unwritable = "document-unwritable"

// rewrite gives the text of a document with all changes. One that cannot be written is
// refused, and stays as it is.
func (i *injection) rewrite(p piece) []byte {
	e := editing{source: p.source, namespace: i.namespace, changes: i.changes}
	text, err := e.rewrite(p)
	if err != nil {
		i.doc.Refused = append(i.doc.Refused, reasonEntry{p.source, unwritable, fmt.Sprintf("The document stays as it is: %s.", err)})
		maps.DeleteFunc(i.changes, func(at where, _ *change) bool { return at.source == p.source })
		return p.text
	}
	i.changed = append(i.changed, e.done...)
	return text
}

// editing is the rewriting of one document.
type editing struct {
	source    string
	namespace string // of objects that name none
	isJSON    bool
	changes   map[where]*change
	done      []string
}

func (e *editing) rewrite(p piece) ([]byte, error) {
	t, err := p.parse()
	if err != nil {
		return nil, err
	}
	e.isJSON = t.isJSON
	behind, drop, err := e.edit(t.root.Content[0], "", "")
	if err != nil || drop {
		return nil, err
	}
	text, err := t.encode()
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(text)
	for _, service := range behind {
		newLine(out)
		out.WriteString("---" + t.newline)
		text, err := t.encodeOther(service)
		if err != nil {
			return nil, err
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// edit changes an object, or the items of a List. It gives the Services to write behind
// the document, and whether to leave it out. A List without a type of its own takes its
// Services in itself.
func (e *editing) edit(n *yamlnode.Node, apiVersion, kind string) (behind [][]byte, drop bool, err error) {
	apiVersion, kind = cmp.Or(textOf(n, "apiVersion"), apiVersion), cmp.Or(textOf(n, "kind"), kind)
	items := valueOf(n, "items")
	if !strings.HasSuffix(kind, "List") || items == nil || items.Kind != yamlnode.SequenceNode {
		return e.object(n, apiVersion, kind)
	}
	itemKind, itemVersion := strings.TrimSuffix(kind, "List"), ""
	if itemKind != "" {
		itemVersion = apiVersion
	}
	var kept []*yamlnode.Node
	for _, item := range items.Content {
		services, drop, err := e.edit(item, itemVersion, itemKind)
		if err != nil {
			return nil, false, err
		}
		if !drop {
			kept = append(kept, item)
		}
		if itemKind != "" {
			behind = append(behind, services...)
			continue
		}
		for _, raw := range services {
			v, err := decodeJSON(raw)
			if err != nil {
				return nil, false, err
			}
			service, err := newNode(v)
			if err != nil {
				return nil, false, err
			}
			kept = append(kept, service)
		}
	}
	items.Content = kept
	return behind, false, nil
}

func (e *editing) object(n *yamlnode.Node, apiVersion, kind string) ([][]byte, bool, error) {
	at := where{e.source, apiVersion, engine.Ref{Kind: kind, Namespace: cmp.Or(textOf(n, "metadata", "namespace"), e.namespace), Name: textOf(n, "metadata", "name")}}
	c := e.changes[at]
	if c == nil {
		return nil, false, nil
	}
	delete(e.changes, at) // one that is there again has nothing to do with it
	said := "left out"
	if !c.drop {
		raw, err := json.Marshal(c.ops)
		if err != nil {
			return nil, false, err
		}
		said = summarizePatch(raw)
		if c.service != nil {
			said = strings.TrimPrefix(said+", and a Service", ", and ")
		}
		if err := applyPatch(n, c.ops, e.isJSON); err != nil {
			return nil, false, err
		}
	}
	e.done = append(e.done, at.ref.String()+": "+said)
	if c.service == nil {
		return nil, c.drop, nil
	}
	return [][]byte{c.service}, c.drop, nil
}
