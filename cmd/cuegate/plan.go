package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/whatif"
	"github.com/cuegate/cuegate/engine"
)

// planning holds the flags of plan.
type planning struct {
	seen
	new, old      input
	meshNamespace string
	snapshot      string
	failOn        []string
	output        string
	colour        string
}

// What --fail-on may name.
const (
	failExposure = "exposure"
	failRefusal  = "refusal"
	failAny      = "any"
)

func newPlan() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan --bundle NEW [--against OLD] (-f FILE|DIR|- | --snapshot FILE | --kubeconfig FILE)",
		Short: "Tell what another bundle, or configuration, would change, and what that opens",
		Long: `Plan decides every object by two bundles, and tells what differs: definitions that
would be created, changed or deleted, field by field and with who wrote each value;
objects that would be refused or ignored; and, first of all, what becomes more open:
authentication that is gone or weaker, more hosts, less TLS, other targets.

The old bundle is that of --against, or the built-in one alone, and so is the new one
without --bundle. Configurations are compared in the same way. Nothing is pushed, and of
a gateway nothing is asked: what the old bundle would serve is what the new one finds.

It exits with 0 whatever it found, with 1 where --fail-on says so, and with 2 for wrong
usage or a broken bundle.`,
		Example: `  cuegate plan --bundle bundle -f manifests
  cuegate plan --bundle bundle --against main/bundle --snapshot cluster.yaml --fail-on exposure`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			r, err := p.compare(cmd.Context(), cmd.InOrStdin())
			if err != nil {
				return err
			}
			if err := p.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return p.verdict(r)
		},
	}
	p.seen.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&p.new.bundle, "bundle", "", "folder of the new bundle (default the built-in one alone)")
	f.StringVar(&p.old.bundle, "against", "", "folder of the old bundle (default the built-in one alone)")
	f.StringVar(&p.new.config, "config", "", "configuration file: clusterID, orgID, plainPaths, meshNamespace")
	f.StringVar(&p.old.config, "against-config", "", "configuration file of the old side (default that of --config)")
	f.StringVar(&p.snapshot, "snapshot", "", "file that cuegate snapshot wrote")
	f.StringSliceVar(&p.failOn, "fail-on", nil, "exit with 1 on: exposure, refusal, any")
	f.StringVarP(&p.output, "output", "o", "text", "text, json or markdown")
	f.StringVar(&p.colour, "color", "auto", "auto, always or never")
	f.StringVar(&p.meshNamespace, "mesh-namespace", "", "namespace of the certificates of the mesh (default "+defaultMeshNamespace+")")
	cmd.MarkFlagsOneRequired("file", "snapshot", "kubeconfig")
	cmd.MarkFlagsMutuallyExclusive("file", "snapshot", "kubeconfig")
	_ = cmd.MarkFlagDirname("bundle")
	_ = cmd.MarkFlagDirname("against")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("against-config", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("snapshot", "yaml", "yml", "json")
	for flag, values := range map[string][]string{"fail-on": {failExposure, failRefusal, failAny}, "output": {"text", "json", "markdown"}, "color": {"auto", "always", "never"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (p *planning) check() error {
	for _, f := range p.failOn {
		if f != failExposure && f != failRefusal && f != failAny {
			return fmt.Errorf("--fail-on is %q: it is exposure, refusal or any", f)
		}
	}
	if !slices.Contains([]string{"text", "json", "markdown"}, p.output) {
		return fmt.Errorf("unknown output %q: it is text, json or markdown", p.output)
	}
	if !slices.Contains([]string{"auto", "always", "never"}, p.colour) {
		return fmt.Errorf("--color is %q: it is auto, always or never", p.colour)
	}
	p.old.config = cmp.Or(p.old.config, p.new.config)
	p.old.meshNamespace, p.new.meshNamespace = p.meshNamespace, p.meshNamespace
	return nil
}

func (p *planning) compare(ctx context.Context, stdin io.Reader) (*whatif.Report, error) {
	newSide, c, err := p.side(ctx, &p.new, "--bundle")
	if err != nil {
		return nil, err
	}
	oldSide, _, err := p.side(ctx, &p.old, "--against")
	if err != nil {
		return nil, err
	}
	l := &loaded{config: c}
	if err := p.load(ctx, l, stdin, oldSide.Engine, newSide.Engine); err != nil {
		return nil, err
	}
	var bad []engine.Rejected
	l.cluster, bad = engine.NewCluster(l.objects)
	l.rejected = append(l.rejected, bad...)
	r, err := whatif.Compare(ctx, l.decidable(), l.cluster, oldSide, newSide)
	if err != nil {
		return nil, err
	}
	for _, e := range l.rejections() {
		r.Unread = append(r.Unread, whatif.Note{ID: e.ID, Message: e.Object + ": " + e.Message})
	}
	r.Summary.Unread = len(r.Unread)
	return r, nil
}

// side loads one of the two bundles.
func (p *planning) side(ctx context.Context, in *input, flag string) (whatif.Side, config, error) {
	c, err := in.readConfig()
	if err != nil {
		return whatif.Side{}, c, err
	}
	b, err := loadBundle(ctx, in.bundle)
	if err != nil {
		if in.bundle != "" {
			err = fmt.Errorf("%s %s: %w", flag, in.bundle, err)
		}
		return whatif.Side{}, c, err
	}
	rules := whatif.Rules{Bundle: cmp.Or(in.bundle, "built-in"), Digest: b.Digest(), Config: in.config}
	return whatif.Side{Rules: rules, Engine: engine.New(b, c.engine()), Config: c.engine()}, c, nil
}

// load reads the objects from where the flags say.
func (p *planning) load(ctx context.Context, l *loaded, stdin io.Reader, engines ...*engine.Engine) error {
	if len(p.files) == 0 && p.snapshot == "" {
		_, err := p.list(ctx, l, engines)
		return err
	}
	if p.snapshot != "" {
		p.files = []string{p.snapshot}
	}
	if err := p.read(l, stdin, p.new.bundle); err != nil {
		return err
	}
	if p.snapshot != "" && !slices.ContainsFunc(l.objects, func(o engine.Object) bool { return o.Kind == "Snapshot" && o.Neighbour() }) {
		return fmt.Errorf("%s is no snapshot: cuegate snapshot writes one, and -f reads manifests", p.snapshot)
	}
	return nil
}

func (p *planning) print(w io.Writer, r *whatif.Report) error {
	switch p.output {
	case "json":
		return printJSON(w, r)
	case "markdown":
		_, err := io.WriteString(w, r.Markdown())
		return err
	}
	out := printer{w: w, colour: p.colour == "always" || p.colour == "auto" && hasColour(w)}
	_, err := io.WriteString(w, r.Text(func(colour int, text string) string {
		if colour == 0 {
			return printable(text)
		}
		return string(out.paint(colour, text))
	}))
	return err
}

// verdict is an error where --fail-on says so. A document that could not be read may be
// of an object that is refused.
func (p *planning) verdict(r *whatif.Report) error {
	s := r.Summary
	var found []string
	for _, f := range p.failOn {
		switch {
		case f == failExposure && s.Exposure > 0:
			found = append(found, fmt.Sprintf("%s found (--fail-on exposure)", count(s.Exposure, "exposure")))
		case f == failRefusal && s.Refused+s.Unread > 0:
			found = append(found, fmt.Sprintf("%s refused or unread (--fail-on refusal)", count(s.Refused+s.Unread, "object")))
		case f == failAny && s.Different+s.Unread > 0:
			found = append(found, fmt.Sprintf("%s different or unread (--fail-on any)", count(s.Different+s.Unread, "object")))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &exitError{code: exitRefused, message: strings.Join(found, "; ")}
}
