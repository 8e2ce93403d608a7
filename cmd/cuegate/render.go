package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine"
)

// document is what render prints: everything that became of the input.
type document struct {
	APIs    []apiEntry    `json:"apis"`
	Patches []patchEntry  `json:"patches"`
	Refused []reasonEntry `json:"refused"`
	Ignored []reasonEntry `json:"ignored"`

	// Of the mesh, where there is any: Services by which sidecars find each other, and
	// objects that wait for a certificate.
	Services []serviceEntry `json:"services,omitempty"`
	Pending  []reasonEntry  `json:"pending,omitempty"`
}

type apiEntry struct {
	Object     string          `json:"object"`
	Template   string          `json:"template"`
	Definition json.RawMessage `json:"definition"`
	// match orders the definitions of an object: by host, then by path.
	match string
}

type patchEntry struct {
	Object string          `json:"object"`
	Patch  json.RawMessage `json:"patch"`
}

type serviceEntry struct {
	Object  string          `json:"object"`
	Service json.RawMessage `json:"service"`
}

type reasonEntry struct {
	Object  string `json:"object"`
	ID      string `json:"id"`
	Message string `json:"message"`
}

func newRender() *cobra.Command {
	var in input
	var output string
	cmd := &cobra.Command{
		Use:   "render -f FILE|DIR|- [-f ...]",
		Short: "Print the API definitions that manifests ask for",
		Long: `Render decides every object of the manifests and prints the API definitions; of
workloads that ask for a sidecar also the patch that brings it in, a JSON Patch, and
the Service by which other sidecars find it.

Services, Namespaces, IngressClasses and TLS Secrets among the manifests are what
the objects are decided by. In a mesh with TLS these are also the Secrets of its
certificates: workloads whose certificates are not among the manifests are pending,
and have no definitions.

It exits with 1 when anything was refused, and with 2 for wrong usage or a broken
bundle.`,
		Example: `  cuegate render -f examples/01-cafe
  kubectl get ingress,service,ingressclass -A -o yaml | cuegate render -f - -o names`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := documentWriter(output)
			if err != nil {
				return err
			}
			l, err := in.load(cmd.Context(), cmd.InOrStdin())
			if err != nil {
				return err
			}
			doc, warnings, err := l.render(cmd)
			if err != nil {
				return err
			}
			tell(cmd.ErrOrStderr(), "warning", warnings)
			tell(cmd.ErrOrStderr(), "pending", doc.Pending)
			if len(doc.Pending) > 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), pendingHint(l.config.meshNamespace()))
			}
			if output == "names" {
				tell(cmd.ErrOrStderr(), "ignored", doc.Ignored)
				tell(cmd.ErrOrStderr(), "refused", doc.Refused)
			}
			if err := write(cmd.OutOrStdout(), doc); err != nil {
				return err
			}
			if len(doc.Refused) > 0 {
				return &exitError{code: exitRefused, message: summary(doc)}
			}
			return nil
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "yaml, json or names")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json", "names"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func tell(w io.Writer, what string, entries []reasonEntry) {
	for _, e := range entries {
		fmt.Fprintf(w, "%s: %s: %s (%s)\n", what, e.Object, e.Message, e.ID)
	}
}

func summary(doc document) string {
	objects := map[string]bool{}
	for _, r := range doc.Refused {
		objects[r.Object] = true
	}
	noun := "objects were"
	if len(objects) == 1 {
		noun = "object was"
	}
	return fmt.Sprintf("%d %s refused; cuegate explain tells more", len(objects), noun)
}

// render decides all objects, and which of them are served where they meet.
func (l *loaded) render(cmd *cobra.Command) (document, []reasonEntry, error) {
	doc := document{APIs: []apiEntry{}, Patches: []patchEntry{}, Refused: []reasonEntry{}, Ignored: []reasonEntry{}}
	var warnings []reasonEntry
	doc.Refused = append(doc.Refused, l.rejections()...)
	all, err := l.decideAll(cmd.Context())
	if err != nil {
		return doc, nil, err
	}
	for _, d := range all {
		name := d.Object.String()
		for _, r := range d.Reasons {
			e := reasonEntry{name, r.ID, sentence(r)}
			switch {
			case isPending(d):
				doc.Pending = append(doc.Pending, reasonEntry{name, r.ID, r.Msg})
			case d.Outcome == engine.Held:
				doc.Refused = append(doc.Refused, e)
			default:
				doc.Ignored = append(doc.Ignored, e)
			}
		}
		if d.Patch != nil {
			doc.Patches = append(doc.Patches, patchEntry{name, d.Patch})
		}
		if d.Service != nil {
			doc.Services = append(doc.Services, serviceEntry{name, d.Service})
		}
		for _, w := range d.Warnings {
			warnings = append(warnings, reasonEntry{name, w.ID, sentence(w)})
		}
	}
	_, conflicts := engine.MakePlan(all, nil)
	lost := map[string]bool{}
	for _, c := range conflicts {
		lost[c.ID] = true
		doc.Refused = append(doc.Refused, reasonEntry{c.Object.String(), c.Reason.ID, sentence(c.Reason)})
	}
	for _, d := range all {
		for i, def := range d.Definitions {
			if !lost[def.ID] {
				doc.APIs = append(doc.APIs, apiEntry{d.Object.String(), templateOf(d, i), def.JSON, def.Match})
			}
		}
	}
	slices.SortStableFunc(doc.Patches, func(a, b patchEntry) int { return cmp.Compare(a.Object, b.Object) })
	slices.SortStableFunc(doc.Services, func(a, b serviceEntry) int { return cmp.Compare(a.Object, b.Object) })
	slices.SortStableFunc(doc.APIs, func(a, b apiEntry) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.match, b.match))
	})
	for _, list := range [][]reasonEntry{doc.Refused, doc.Ignored, doc.Pending, warnings} {
		slices.SortStableFunc(list, func(a, b reasonEntry) int {
			return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message))
		})
	}
	return doc, warnings, nil
}

// rejections are the documents that are no objects.
func (l *loaded) rejections() []reasonEntry {
	var entries []reasonEntry
	for _, r := range l.rejected {
		entries = append(entries, reasonEntry{r.Source, r.Reason.ID, r.Reason.Msg})
	}
	return entries
}

// decideAll decides every object that is not only a neighbour of others, on all cores.
// Workloads that do not speak of the mesh come without a reason.
func (l *loaded) decideAll(ctx context.Context) ([]engine.Desired, error) {
	return l.decide(ctx, l.decidable())
}

func (l *loaded) decidable() []engine.Object {
	var objects []engine.Object
	for _, o := range l.objects {
		if !o.Neighbour() || o.Kind == "Service" && speaksOfMesh(o) {
			objects = append(objects, o)
		}
	}
	return objects
}

// decide gives what becomes of each of the objects.
func (l *loaded) decide(ctx context.Context, objects []engine.Object) ([]engine.Desired, error) {
	all := make([]engine.Desired, len(objects))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, o := range objects {
		g.Go(func() error {
			// An object that cannot be decided is held, which says everything.
			all[i], _, _ = l.engine.Decide(ctx, o, l.cluster)
			if isNotAsked(all[i]) && !speaksOfMesh(o) {
				all[i].Reasons = nil // as most workloads: not worth a line
			}
			return ctx.Err()
		})
	}
	return all, g.Wait()
}

// sentence puts a reason into one line: field, message, fix.
func sentence(r engine.Reason) string {
	s := r.Msg
	if r.Field != "" {
		s = r.Field + ": " + s
	}
	if r.Fix != "" {
		s += " " + r.Fix
	}
	return s
}

func documentWriter(format string) (func(io.Writer, document) error, error) {
	switch format {
	case "json":
		return writeJSON, nil
	case "yaml":
		return writeYAML, nil
	case "names":
		return writeNames, nil
	}
	return nil, fmt.Errorf("unknown output %q: it is yaml, json or names", format)
}

func writeJSON(w io.Writer, doc document) error { return printJSON(w, doc) }

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func writeYAML(w io.Writer, doc document) error { return printYAML(w, doc) }

func printYAML(w io.Writer, v any) error {
	var b bytes.Buffer
	if err := printJSON(&b, v); err != nil {
		return err
	}
	text, err := yaml.JSONToYAML(b.Bytes())
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// writeNames prints a line for each definition: its id, object, template, name, and
// where it listens; for each patch what it does, and for each Service its name.
func writeNames(w io.Writer, doc document) error {
	var b bytes.Buffer
	for _, a := range doc.APIs {
		var d struct {
			ID     string `json:"api_id"`
			Name   string `json:"name"`
			Domain string `json:"domain"`
			Port   int    `json:"listen_port"`
			Proxy  struct {
				ListenPath string `json:"listen_path"`
			} `json:"proxy"`
		}
		if err := json.Unmarshal(a.Definition, &d); err != nil {
			return err
		}
		at := d.Domain
		if d.Port != 0 {
			at += fmt.Sprintf(":%d", d.Port)
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%s%s\n", d.ID, a.Object, a.Template, d.Name, at, d.Proxy.ListenPath)
	}
	for _, p := range doc.Patches {
		fmt.Fprintf(&b, "patch\t%s\t%s\n", p.Object, summarizePatch(p.Patch))
	}
	for _, s := range doc.Services {
		o := gjson.GetManyBytes(s.Service, "metadata.namespace", "metadata.name")
		fmt.Fprintf(&b, "service\t%s\t%s/%s\n", s.Object, o[0], o[1])
	}
	_, err := w.Write(b.Bytes())
	return err
}
