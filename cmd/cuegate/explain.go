package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/engine"
)

func newExplain() *cobra.Command {
	var in input
	var output, field string
	cmd := &cobra.Command{
		Use:   "explain -f FILE|DIR|- [--field PATH] OBJECT",
		Short: "Tell why an object became what it became",
		Long: `Explain walks one object through all stages and tells what each found: the facts,
the rules that fired, the template, the annotations that were taken or refused, and
where each value of the definitions came from; of a workload also what its sidecar
changes in it.

OBJECT is KIND/NAMESPACE/NAME, KIND/NAME, NAMESPACE/NAME or NAME; the kind is Ingress
and the namespace default where they are left out. Kinds have the short names of
kubectl: ing, deploy, sts, ds, svc. It exits with 1 when the object is refused, or one
of its routes is not served because another object comes first.`,
		Example: `  cuegate explain -f examples/01-cafe cafe-ingress
  cuegate explain -f examples/01-cafe --field proxy.target_url default/cafe-ingress
  cuegate explain -f manifests deploy/shop/echo`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: it is text or json", output)
			}
			ref, err := engine.ParseRef(args[0])
			if err != nil {
				return err
			}
			l, err := in.load(cmd.Context(), cmd.InOrStdin())
			if err != nil {
				return err
			}
			if !l.has(ref) && in.namespace != "" && strings.Count(args[0], "/") < 2 {
				// As with kubectl, the flag counts where no namespace is named.
				ref.Namespace = in.namespace
			}
			x, err := l.explain(cmd, ref)
			if err != nil {
				return err
			}
			if field != "" && !keepField(&x, field) {
				return fmt.Errorf("no definition of %s has a value at %s", ref, field)
			}
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), x)
			} else {
				p := printer{w: cmd.OutOrStdout(), colour: hasColour(cmd.OutOrStdout())}
				p.explanation(x, field)
				err = p.err
			}
			if err != nil {
				return err
			}
			tell(cmd.ErrOrStderr(), "refused", l.rejections())
			if x.pending() {
				return nil
			}
			if x.Outcome == engine.Held || x.Outcome == engine.Managed && len(x.Reasons) > 0 {
				return &exitError{code: exitRefused}
			}
			return nil
		},
	}
	in.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().StringVar(&field, "field", "", "tell only about this path of the definitions, and what is below it")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// explanation is what explain prints as JSON.
type explanation struct {
	engine.Explanation
	// Patch is without what may be secret; render has it whole.
	Patch   json.RawMessage `json:"patch,omitempty"`
	Service json.RawMessage `json:"service,omitempty"`

	desired engine.Desired
	object  engine.Object
}

func (x explanation) pending() bool { return isPending(x.desired) }

// explain explains one object, and what became of its routes among those of all
// others.
func (l *loaded) explain(cmd *cobra.Command, ref engine.Ref) (explanation, error) {
	i := slices.IndexFunc(l.objects, func(o engine.Object) bool { return o.Ref == ref })
	if i < 0 {
		return explanation{}, l.notFound(ref)
	}
	x := explanation{object: l.objects[i]}
	var err error
	x.desired, x.Explanation, err = l.engine.Explain(cmd.Context(), x.object, l.cluster)
	x.Patch, x.Service = shownPatch(x.desired.Patch), x.desired.Service
	if err := cmd.Context().Err(); err != nil {
		return x, err
	}
	if err != nil && x.desired.Outcome != engine.Held {
		return x, err
	}
	all, err := l.decideAll(cmd.Context())
	if err != nil {
		return x, err
	}
	_, conflicts := engine.MakePlan(all, nil)
	for _, c := range conflicts {
		if c.Object == ref {
			x.Steps = append(x.Steps, engine.Step{Stage: "plan", Reason: c.Reason})
			x.Reasons = append(x.Reasons, c.Reason)
			x.Definitions = slices.DeleteFunc(x.Definitions, func(d engine.DefinitionTrace) bool { return d.ID == c.ID })
		}
	}
	return x, nil
}

func (l *loaded) has(ref engine.Ref) bool {
	return slices.ContainsFunc(l.objects, func(o engine.Object) bool { return o.Ref == ref })
}

func (l *loaded) notFound(ref engine.Ref) error {
	var names, others []string
	for _, o := range l.objects {
		switch {
		case o.Kind == ref.Kind:
			names = append(names, o.Ref.String())
		case o.Name == ref.Name && (o.Kind == "Ingress" || !o.Neighbour()):
			others = append(others, o.Ref.String())
		}
	}
	text := fmt.Sprintf("no %s among the manifests", ref)
	if len(others) > 0 {
		names = others // of that name, and so more likely meant
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:5], "...")
	}
	if len(names) > 0 {
		text += "; there are " + strings.Join(names, ", ")
	}
	for _, r := range l.rejected {
		text += fmt.Sprintf("\n%s: %s (%s)", r.Source, r.Reason.Msg, r.Reason.ID)
	}
	return errors.New(printable(text))
}

// keepField leaves only the values at path and below; it tells whether there are any.
func keepField(x *explanation, path string) bool {
	found := false
	for i := range x.Definitions {
		d := &x.Definitions[i]
		d.Values = slices.DeleteFunc(d.Values, func(v engine.ValueTrace) bool {
			return v.Path != path && !strings.HasPrefix(v.Path, path+".")
		})
		found = found || len(d.Values) > 0
	}
	return found || len(x.Definitions) == 0
}

// hasColour follows https://no-color.org: colour on a terminal, unless NO_COLOR is
// set to anything.
func hasColour(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printer writes text for people and remembers the first error.
type printer struct {
	w      io.Writer
	colour bool
	err    error
}

func (p *printer) printf(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = printable(a)
		case painted:
			args[i] = string(a)
		}
	}
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// painted is a text with its colour, which printf leaves alone.
type painted string

// paint colours text on a terminal: red 31, green 32, yellow 33, faint 2.
func (p *printer) paint(code int, text string) painted {
	text = printable(text)
	if p.colour {
		text = fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, text)
	}
	return painted(text)
}

var outcomeColours = map[engine.Outcome]int{engine.Managed: 32, engine.Held: 31, engine.Ignored: 33}

func (p *printer) explanation(x explanation, field string) {
	not := ""
	if x.Outcome == engine.Managed && len(x.Reasons) > 0 {
		not = fmt.Sprintf(", but %s not served", isOrAre(len(x.Reasons), "route"))
	}
	outcome := p.paint(outcomeColours[x.Outcome], string(x.Outcome))
	if x.pending() {
		outcome = p.paint(33, "pending")
	}
	p.printf("%s is %s%s\n", x.Object, outcome, not)
	for _, r := range x.Reasons {
		p.reason("  ", r)
	}
	if field == "" {
		p.facts(x.Facts)
		p.rules(x.Explanation)
		p.steps(x.Steps)
		p.patch(x.desired.Patch, x.object.JSON)
		p.service(x.Service)
	}
	for _, d := range x.Definitions {
		if len(d.Values) == 0 {
			continue
		}
		p.printf("\ndefinition %s of %s\n", d.ID, d.Field)
		p.values(d.Values)
	}
}

func (p *printer) reason(indent string, r engine.Reason) {
	p.printf("%s%s: %s\n", indent, r.ID, r.Msg)
	if r.Field != "" {
		p.printf("%s  at  %s\n", indent, r.Field)
	}
	if r.Fix != "" {
		p.printf("%s  fix %s\n", indent, r.Fix)
	}
}

func (p *printer) facts(f *engine.Facts) {
	if f == nil {
		return
	}
	p.printf("\nfacts\n")
	known := ""
	if !f.Namespace.Known {
		known = " (not among the manifests)"
	}
	p.printf("  namespace  %s%s\n", f.Namespace.Name, known)
	for _, k := range sortedKeys(f.Namespace.Labels) {
		p.printf("    label    %s=%s\n", k, f.Namespace.Labels[k])
	}
	switch {
	case f.Workload != nil:
		p.workload(f.Workload)
	case f.Service != nil:
		p.ports(f.Service)
	default:
		p.printf("  class      %s\n", describeClass(f))
	}
	for _, o := range f.Overrides {
		p.printf("  override   %s sets %s\n", o.Key, strings.Join(o.Paths, ", "))
	}
	for _, r := range f.Routes {
		if f.Workload != nil {
			continue // the definitions tell
		}
		host := cmp.Or(r.Host, "every host")
		backend := fmt.Sprintf("service %s port %d", r.Backend.Name, r.Backend.Port)
		if r.Backend.Kind == "resource" {
			backend = fmt.Sprintf("resource %s %s", r.Backend.Resource, r.Backend.Name)
		}
		p.printf("  route      %s: %s %s %s to %s\n", r.Field, host, r.PathType, r.Path, backend)
		for _, s := range r.TLSSecrets {
			p.printf("    tls      %s\n", s)
		}
		for _, c := range r.Claims {
			p.printf("    claim    Ingress/%s/%s names the same host\n", c.Namespace, c.Name)
		}
	}
}

// workload tells what the rules saw of a workload.
func (p *printer) workload(w *engine.WorkloadFacts) {
	p.wish(w.Inject)
	p.printf("  injected   %s\n", yesOrNo(w.Injected))
	if w.HostNetwork {
		p.printf("  network    that of the node\n")
	}
	p.printf("  route      %s\n", w.Route)
	port := fmt.Sprint(w.Port)
	if w.PortProblem != "" {
		port = "not known: " + w.PortProblem
	}
	p.printf("  port       %s\n", port)
	p.printf("  group      %s\n", w.Group)
	callers := "not said"
	if w.Callers != nil {
		callers = strings.Join(w.Callers, ", ")
	}
	p.printf("  callers    %s\n", callers)
	if w.Interception != nil {
		p.printf("  intercept  %s\n", *w.Interception)
	}
	for _, c := range w.Containers {
		kind := "container "
		if c.Init {
			kind = "init      "
		}
		p.printf("  %s %s, image %s\n", kind, c.Name, c.Image)
	}
}

// ports tells what the rules saw of a Service.
func (p *printer) ports(s *engine.ServiceFacts) {
	p.wish(s.Inject)
	if s.Listed != nil {
		p.printf("  listed     %s\n", *s.Listed)
	}
	for _, x := range s.Ports {
		text := fmt.Sprintf("%d %s", x.Port, x.Protocol)
		if x.Name != "" {
			text += ", " + x.Name
		}
		if x.AppProtocol != "" {
			text += ", speaks " + x.AppProtocol
		}
		p.printf("  port       %s\n", text)
	}
}

func (p *printer) wish(inject *string) {
	wish := "not said"
	if inject != nil {
		wish = fmt.Sprintf("%q", *inject)
	}
	p.printf("  inject     %s\n", wish)
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func describeClass(f *engine.Facts) string {
	var text string
	switch c := f.Class; {
	case c.Annotation != nil:
		text = fmt.Sprintf("%q by annotation", *c.Annotation)
	case c.Name != nil:
		text = fmt.Sprintf("%q by spec.ingressClassName", *c.Name)
	default:
		text = "none named"
		for _, d := range f.DefaultClasses {
			text += fmt.Sprintf("; default class %q of controller %s", d.Name, d.Controller)
		}
		return text
	}
	if f.Class.Controller != nil {
		return text + ", of controller " + *f.Class.Controller
	}
	return text + ", no such IngressClass among the manifests"
}

func (p *printer) rules(x engine.Explanation) {
	if len(x.Rules) > 0 {
		ids := slices.Clone(x.Rules)
		slices.Sort(ids)
		p.printf("\nrules that fired\n  %s\n", strings.Join(slices.Compact(ids), ", "))
	}
	if x.Template != "" {
		p.printf("\ntemplate\n  %s\n", x.Template)
	}
}

func (p *printer) steps(steps []engine.Step) {
	if len(steps) == 0 {
		return
	}
	p.printf("\nsteps\n")
	for _, s := range steps {
		where := ""
		if s.Field != "" {
			where = s.Field + ": "
		}
		p.printf("  %-9s %s%s %s\n", s.Stage, where, s.Msg, p.paint(2, "("+s.ID+")"))
	}
}

func (p *printer) values(values []engine.ValueTrace) {
	width := 0
	for _, v := range values {
		width = max(width, len(v.Path))
	}
	for _, v := range values {
		origin := v.From + " " + v.Where
		if v.Expression != "" {
			origin += "  " + v.Expression
		}
		p.printf("  %-*s  %s  %s\n", width, v.Path, v.Value, p.paint(2, "<- "+origin))
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
