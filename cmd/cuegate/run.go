package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

// exampleSource is what run watches when nothing is named.
const exampleSource = "examples/01-cafe"

// embeddedName names the embedded gateway, in flags and reports.
const embeddedName = "embedded"

// running is the command run.
type running struct {
	source  source
	targets targetFlags
	listen  string
	// listenTLS is where the embedded gateway serves TLS; "" is nowhere.
	listenTLS string
	cluster   cluster
	settings  []tyk.Settings // of the targets
	out       *reporter
}

func newRun() *cobra.Command {
	var r running
	cmd := &cobra.Command{
		Use:   "run [--source DIR|kubernetes] [--gateway URL | --dashboard URL]",
		Short: "Watch manifests, and keep a gateway at what they ask for",
		Long: `Run watches folders of manifests, decides every object, and keeps a gateway or a
Dashboard at what they ask for: changes are pushed, what somebody else changed is
repaired.

With no gateway named it starts a small one of its own, which behaves as Tyk's
does, and serves the routes. Services whose names do not resolve are answered for.

A file that cannot be read whole takes nothing away: what is served for its objects
stays.

With --source kubernetes it watches a cluster instead, tells the authors of Ingresses
in Events and annotations what became of them, and serves health and metrics. With
--mesh it looks after workloads too that ask for a sidecar, and with --webhook it brings
the sidecars in. Of several replicas one pushes and tells; all of them serve the webhook.

Every flag may be a key of the file --config instead, or an environment variable:
watchNamespace or CUEGATE_WATCH_NAMESPACE for --watch-namespace. A flag counts before a
variable, and that before the file; "cuegate config print" shows what comes out.`,
		Example: `  cuegate run
  cuegate run --source manifests --gateway http://localhost:9696 --secret-file secret
  cuegate run --source kubernetes --gateway-service cuegate/gateways:9696
  cuegate run --source kubernetes --gateway-service cuegate/gateways:9696 --mesh --mesh-push --webhook :9443
  cuegate run --source kubernetes --dashboard https://dashboard.tyk:3000 --mesh --webhook :9443`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkVariables(cmd.Flags(), os.Environ()); err != nil {
				return err
			}
			if err := r.check(cmd.Flags()); err != nil {
				return err
			}
			if r.inCluster() {
				return r.follow(cmd.Context(), cmd.ErrOrStderr())
			}
			r.out = newReporter(cmd.ErrOrStderr())
			if note := oldVariables(os.Environ()); note != "" {
				r.out.line("%s", note)
			}
			return r.run(cmd.Context())
		},
	}
	r.flags(cmd)
	return cmd
}

func (r *running) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringArrayVar(&r.source.in.files, "source", nil, "folder or file of manifests, watched; may be given several times (default "+exampleSource+"); or "+kubernetesSource+", a cluster")
	s.StringVar(&r.source.in.bundle, "bundle", "", "folder of a bundle, watched: templates, policies")
	s.StringVar(&r.source.in.config, "config", "", "configuration file, cuegate.yaml: every flag as a key (watchNamespace for --watch-namespace), and targets")
	r.source.in.engineFlags(cmd, "(default the controller's own in a cluster, "+defaultMeshNamespace+" elsewhere)")
	s.StringVar(&r.listen, "listen", "127.0.0.1:8080", "where the embedded gateway listens")
	s.StringVar(&r.listenTLS, "listen-tls", "", "where the embedded gateway listens for TLS, such as 127.0.0.1:8443")
	s.DurationVar(&r.targets.driftInterval, "drift-interval", 5*time.Minute, "how often the definitions of a gateway are compared with what they should be")
	r.targets.pushFlags(cmd)
	r.cluster.flags(cmd)
	_ = cmd.MarkFlagDirname("source")
	_ = cmd.MarkFlagDirname("bundle")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
}

// inCluster tells whether a cluster is watched.
func (r *running) inCluster() bool {
	return slices.Equal(r.source.in.files, []string{kubernetesSource})
}

// check says which flag means nothing as the others are.
func (r *running) check(flags *pflag.FlagSet) error {
	if r.inCluster() {
		return r.cluster.mesh.check(flags.Changed)
	}
	for _, name := range clusterOnly {
		if flags.Changed(name) {
			return fmt.Errorf("--%s needs --source %s", name, kubernetesSource)
		}
	}
	return nil
}

func (r *running) run(ctx context.Context) error {
	if len(r.source.in.files) == 0 {
		if _, err := os.Stat(exampleSource); err != nil {
			return errors.New("name a folder of manifests with --source")
		}
		r.source.in.files = []string{exampleSource}
	}
	c, err := r.source.in.readConfig()
	if err != nil {
		return err
	}
	first, err := r.source.read(ctx)
	if err != nil {
		return err
	}
	settings, stop, err := r.place(c)
	if err != nil {
		return err
	}
	defer stop()
	r.settings = settings
	r.out.warn(settings)
	fleet, err := tyk.NewFleet(tyk.Options{
		ClusterID: c.ClusterID, Targets: settings, DriftInterval: r.targets.driftInterval, ConfirmDeletes: r.targets.confirmDeletes,
		Report: r.reports(first), Progress: r.out.progress,
	})
	if err != nil {
		return err
	}
	r.want(fleet, first)
	var all sync.WaitGroup
	all.Go(func() { _ = fleet.Run(ctx) })
	err = r.source.watch(ctx, func() { r.reread(ctx, fleet) })
	all.Wait()
	return err
}

// want hands over what the source asks for, and tells of what it refused.
func (r *running) want(fleet *tyk.Fleet, all []engine.Desired) {
	r.out.decisions(all, r.source.loaded.rejections())
	r.out.unloaded(all, r.settings)
	fleet.KeepUnknown(r.source.unknown)
	fleet.Want(all)
}

func (r *running) reread(ctx context.Context, fleet *tyk.Fleet) {
	all, err := r.source.read(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.out.line("nothing changes, because the source cannot be read: %s", err)
		}
		return
	}
	r.want(fleet, all)
}

// place finds where to push to: what is named, or a gateway of its own.
func (r *running) place(c config) (settings []tyk.Settings, stop func(), err error) {
	if len(r.targets.gateways) == 1 && r.targets.gateways[0] == embeddedName {
		r.targets.gateways = nil
	} else if r.targets.named(c) {
		settings, err = r.targets.settings(c)
		return settings, func() {}, err
	}
	return r.embed(c)
}

// reports tells of pushes, and after the first good one in two lines what to try.
func (r *running) reports(first []engine.Desired) func(tyk.Report) {
	var once sync.Once
	host, path := example(first)
	return func(x tyk.Report) {
		r.out.report(x)
		if x.Target != embeddedName || !x.OK() {
			return
		}
		once.Do(func() {
			header := ""
			if host != "" {
				header = fmt.Sprintf(" -H 'Host: %s'", host)
			}
			secure := ""
			if r.listenTLS != "" {
				secure = ", and TLS at https://" + r.listenTLS
			}
			r.out.line("Serving the manifests of %s%s; edit them, and the routes follow. Try", strings.Join(r.source.in.files, ", "), secure)
			r.out.line("  curl%s http://%s%s", header, r.listen, path)
		})
	}
}
