package main

import (
	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

// pushing holds the flags of the commands that compare manifests with targets.
type pushing struct {
	in      input
	targets targetFlags
}

func (p *pushing) flags(cmd *cobra.Command) {
	p.in.flags(cmd)
	p.targets.pushFlags(cmd)
}

// prepare decides the manifests and makes the fleet, without a call to anybody.
func (p *pushing) prepare(cmd *cobra.Command, out *reporter) (*loaded, []engine.Desired, *tyk.Fleet, error) {
	c, err := p.in.readConfig()
	if err != nil {
		return nil, nil, nil, err
	}
	settings, err := p.targets.settings(c)
	if err != nil {
		return nil, nil, nil, err
	}
	out.warn(settings)
	l, err := p.in.load(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return nil, nil, nil, err
	}
	all, err := l.decideAll(cmd.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	out.unloaded(all, settings)
	fleet, err := tyk.NewFleet(tyk.Options{
		ClusterID: c.ClusterID, Targets: settings, ConfirmDeletes: p.targets.confirmDeletes,
		Progress: out.progress,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	// What a document that cannot be read asks for, nobody knows.
	fleet.KeepUnknown(len(l.unreadable()) > 0)
	return l, all, fleet, nil
}

func newApply() *cobra.Command {
	var p pushing
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|- (--gateway URL | --dashboard URL)",
		Short: "Push once what manifests ask for, and verify it",
		Long: `Apply decides the manifests, pushes what differs to the gateways or the Dashboard,
and verifies that it is loaded. The manifests are all that there is to serve: what was
served for others is removed. What is not marked as Cuegate's is left alone.

When a document cannot be read, nothing is removed. It exits with 1 when an object was
refused, or anything is not served as it should be.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := newReporter(cmd.ErrOrStderr())
			l, all, fleet, err := p.prepare(cmd, out)
			if err != nil {
				return err
			}
			out.decisions(all, l.rejections())
			reports, err := fleet.Sync(cmd.Context(), all)
			if err != nil {
				return err
			}
			good := len(l.rejected) == 0
			for _, r := range reports {
				out.report(r)
				if !r.Changed() && r.OK() {
					out.line("%s: nothing to change, %d unchanged", r.Target, r.Unchanged)
				}
				good = good && r.OK() && len(r.Conflicts) == 0
			}
			for _, d := range all {
				good = good && d.Outcome != engine.Held
			}
			if !good {
				return &exitError{code: exitRefused, message: "not everything is served as the manifests ask for"}
			}
			return nil
		},
	}
	p.flags(cmd)
	return cmd
}
