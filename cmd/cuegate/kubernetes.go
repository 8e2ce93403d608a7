package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/adapters/k8s"
	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

// kubernetesSource is what --source names to watch a cluster.
const kubernetesSource = "kubernetes"

// cluster are the flags of run that matter when a cluster is watched.
type cluster struct {
	kubeconfig     string
	qps            float32
	namespaces     []string
	gatewayService string

	bundleConfigMaps, bundleNamespace, shadowBundle string

	leaderElect, sidecar   bool
	leaseNamespace, lease  string
	leaseDuration          time.Duration
	publishAddresses       []string
	publishService         string
	clearStatusOnShutdown  bool
	diagnostics, logFormat string
	logLevel               slog.Level

	mesh meshFlags
}

func (k *cluster) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig file; without it KUBECONFIG counts, or the service account of the pod")
	s.Float32Var(&k.qps, "kube-api-qps", 50, "calls a second to the API server, over a longer time; twice as many in a burst")
	s.StringSliceVar(&k.namespaces, "watch-namespace", nil, "namespace to watch; may be given several times (default all)")
	s.StringVar(&k.gatewayService, "gateway-service", "", "headless Service of gateways, NAMESPACE/NAME or NAMESPACE/NAME:PORT, with https:// before it for TLS; each of its pods is pushed to")
	s.StringVar(&k.bundleConfigMaps, "bundle-configmaps", "", "label selector of ConfigMaps that hold the bundle, in --bundle-namespace")
	s.StringVar(&k.bundleNamespace, "bundle-namespace", "", "namespace of the bundle's ConfigMaps (default the controller's own)")
	s.StringVar(&k.shadowBundle, "shadow-bundle", "", "folder of a bundle whose decisions are compared with the active ones, and never pushed")
	s.BoolVar(&k.leaderElect, "leader-elect", true, "push only while this controller holds the Lease")
	s.BoolVar(&k.sidecar, "sidecar", false, "push to the gateway beside this controller without an election; the Lease decides only who writes status and Events")
	s.StringVar(&k.leaseNamespace, "lease-namespace", "", "namespace of the Lease (default the controller's own)")
	s.StringVar(&k.lease, "lease-name", "cuegate", "name of the Lease")
	s.DurationVar(&k.leaseDuration, "lease-duration", 15*time.Second, "how long a Lease lasts that is not renewed")
	s.StringSliceVar(&k.publishAddresses, "publish-address", nil, "IP address or host name for the status of Ingresses; may be given several times")
	s.StringVar(&k.publishService, "publish-service", "", "NAMESPACE/NAME of the Service whose addresses go into the status of Ingresses")
	s.BoolVar(&k.clearStatusOnShutdown, "clear-status-on-shutdown", false, "take the addresses back from the status of Ingresses at the end")
	s.StringVar(&k.diagnostics, "diagnostics", "127.0.0.1:9090", "where /healthz, /readyz, /metrics and /debug/ are served; \"\" is nowhere")
	s.StringVar(&k.logFormat, "log-format", "json", "json or text")
	s.TextVar(&k.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	k.mesh.flags(cmd)
	_ = cmd.MarkFlagFilename("kubeconfig")
	_ = cmd.MarkFlagDirname("shadow-bundle")
	cmd.MarkFlagsMutuallyExclusive("publish-address", "publish-service")
	cmd.MarkFlagsMutuallyExclusive("gateway-service", "dashboard")
}

// clusterOnly are the flags that mean nothing without a cluster.
var clusterOnly = slices.Concat([]string{
	"kubeconfig", "kube-api-qps", "watch-namespace", "gateway-service", "bundle-configmaps", "bundle-namespace", "shadow-bundle", "leader-elect", "sidecar",
	"lease-namespace", "lease-name", "lease-duration", "publish-address", "publish-service", "clear-status-on-shutdown", "diagnostics", "log-format", "log-level", "mesh",
}, meshOnly, hookOnly)

// follow watches a cluster until ctx ends.
func (r *running) follow(ctx context.Context, logs io.Writer) error {
	k := &r.cluster
	if os.Getenv("GOGC") == "" {
		// What is kept is small beside what a decision or a push allocates for a moment:
		// collecting four times as often costs little, and saves a fifth to a quarter of the memory.
		debug.SetGCPercent(25)
	}
	log, err := k.logger(logs)
	if err != nil {
		return err
	}
	klog.SetSlogLogger(log) // what client-go says goes into the one log
	if note := oldVariables(os.Environ()); note != "" {
		log.Warn(note)
	}
	c, err := r.source.in.readConfig()
	if err != nil {
		return err
	}
	restConfig, own, err := k.connection()
	if err != nil {
		return err
	}
	c.MeshNamespace = cmp.Or(c.MeshNamespace, own)
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return err
	}
	meta, err := metadata.NewForConfig(restConfig)
	if err != nil {
		return err
	}
	version, revision := buildVersion()
	o := k8s.Options{
		Client: client, Metadata: meta, Namespaces: k.namespaces, Engine: c.engine(),
		Builtin: cuegate.Builtin(), BundleDir: r.source.in.bundle, BundleConfigMaps: k.bundleConfigMaps, BundleNamespace: cmp.Or(k.bundleNamespace, own), ShadowDir: k.shadowBundle,
		Election: k.election(own), ElectTeller: k.sidecar,
		PublishAddresses: k.publishAddresses, PublishService: k.publishService, ClearOnShutdown: k.clearStatusOnShutdown,
		Diagnostics: k.diagnostics, Log: log, Version: version, Revision: revision,
	}
	fleet := tyk.Options{ClusterID: c.ClusterID, DriftInterval: r.targets.driftInterval, ConfirmDeletes: r.targets.confirmDeletes, DiscoverInterval: time.Second}
	keeper, err := k.mesh.keeper(client, k.namespaces, c, log)
	if err != nil {
		return err
	}
	if keeper != nil {
		o.Mesh = &k8s.MeshSettings{Keeper: keeper}
	}
	var gateways, sidecars finder
	if k.gatewayService != "" {
		gateways, err = r.discover(ctx, client, c)
	}
	if err == nil {
		sidecars, fleet.Wake, err = k.mesh.sidecars(ctx, client, k.namespaces, c, keeper, r.targets.timeout)
	}
	fleet.Discover = findBoth(gateways, sidecars, log)
	if err == nil && (fleet.Discover == nil || r.targets.named(c)) {
		var stop func()
		fleet.Targets, stop, err = r.place(c)
		if err == nil {
			defer stop()
		}
	}
	if err != nil {
		return err
	}
	warned := fleet.Targets
	if k.gatewayService != "" {
		// What holds for the Service holds for each of its pods.
		warned = append(slices.Clone(warned), tyk.Settings{Name: k.gatewayService, URL: gatewayURL(k.gatewayService), InsecureSkipVerify: r.targets.insecure})
	}
	for _, s := range warned {
		for _, f := range s.Warnings() {
			log.Warn(f.Msg, "target", s.Name, "id", f.ID)
		}
	}
	if keeper != nil && sidecars == nil && !slices.ContainsFunc(fleet.Targets, func(s tyk.Settings) bool { return s.Mode != tyk.Gateway || len(s.Tags) > 0 }) {
		log.Warn("nobody pushes to the sidecars of the mesh: --mesh-push does, and a Dashboard would")
	}
	if gateways == nil && len(fleet.Targets) == 0 {
		log.Warn("no gateway is named, so Ingresses are not served")
	}
	if k.mesh.webhook != "" {
		o.Diagnostics = "" // runBoth serves them
	}
	o.NewPusher = func(report func(k8s.Pushed)) (k8s.Pusher, error) { return newFleetPusher(fleet, report) }
	controller, err := k8s.New(o)
	if err != nil {
		return err
	}
	if keeper != nil {
		if err := keeper.Register(controller.Registerer()); err != nil {
			return err
		}
	}
	hook, err := k.mesh.hook(client, own, controller, controller.Registerer(), log)
	if err != nil {
		return err
	}
	log.Info("watching the cluster", "server", restConfig.Host, "namespaces", k.namespaces, "version", version)
	return runBoth(ctx, controller, hook, k.diagnostics)
}

func (k *cluster) logger(w io.Writer) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: k.logLevel}
	switch k.logFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("unknown log format %q: it is json or text", k.logFormat)
}

// connection finds the API server, and the namespace of this controller.
func (k *cluster) connection() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("finding the API server: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", err
	}
	version, _ := buildVersion()
	config.QPS, config.Burst, config.UserAgent = k.qps, int(2*k.qps), "cuegate/"+version
	return config, namespace, nil
}

// election is nil when this controller is the only one.
func (k *cluster) election(own string) *k8s.Election {
	if !k.leaderElect {
		return nil
	}
	identity := os.Getenv("POD_NAME")
	if identity == "" {
		host, _ := os.Hostname()
		identity = fmt.Sprintf("%s_%d", host, os.Getpid())
	}
	return &k8s.Election{
		Namespace: cmp.Or(k.leaseNamespace, own), Name: k.lease, Identity: identity,
		Duration: k.leaseDuration, RenewDeadline: k.leaseDuration * 2 / 3, RetryPeriod: k.leaseDuration / 8,
	}
}

// gatewayURL is the name of a Service as a URL.
func gatewayURL(service string) string {
	if strings.Contains(service, "://") {
		return service
	}
	return "http://" + service
}

// discover finds the pods of the gateways' Service.
func (r *running) discover(ctx context.Context, client kubernetes.Interface, c config) (finder, error) {
	scheme, name, _ := strings.Cut(gatewayURL(r.cluster.gatewayService), "://")
	name, port, _ := strings.Cut(name, ":")
	namespace, name, ok := strings.Cut(name, "/")
	if !ok || namespace == "" || name == "" {
		return nil, fmt.Errorf("--gateway-service is %q, and not of the form NAMESPACE/NAME or NAMESPACE/NAME:PORT", r.cluster.gatewayService)
	}
	base := r.targets.target("", tyk.Gateway)
	if _, err := base.settings(c.OrgID, r.targets.timeout); err != nil {
		return nil, err // the secret, most likely: later would be too late to tell
	}
	d, err := k8s.NewDiscoverer(client, k8s.Discovery{Namespace: namespace, Service: name, Port: port, Scheme: scheme})
	if err != nil {
		return nil, err
	}
	d.Start(ctx)
	return func(ctx context.Context) ([]tyk.Settings, error) {
		endpoints, err := d.Endpoints(ctx)
		if err != nil {
			return nil, err
		}
		var all []tyk.Settings
		for _, e := range endpoints {
			t := base
			t.Name, t.URL = e.Name, e.URL
			s, err := t.settings(c.OrgID, r.targets.timeout)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, nil
	}, nil
}

// fleetPusher is the Fleet as the controller wants it.
type fleetPusher struct{ *tyk.Fleet }

func newFleetPusher(o tyk.Options, report func(k8s.Pushed)) (k8s.Pusher, error) {
	o.Report = func(r tyk.Report) { report(pushed(r)) }
	fleet, err := tyk.NewFleet(o)
	if err != nil {
		return nil, err
	}
	return fleetPusher{fleet}, nil
}

// Run implements k8s.Pusher.
func (p fleetPusher) Run(ctx context.Context) error {
	inner, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	defer context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, k8s.ErrLostLease) {
			cause = tyk.ErrAtOnce
		}
		end(cause)
	})()
	return p.Fleet.Run(inner)
}

// Targets implements k8s.Pusher.
func (p fleetPusher) Targets() []k8s.Target {
	var all []k8s.Target
	for _, name := range p.Fleet.Targets() {
		all = append(all, k8s.Target{Name: name, Scopes: p.Scopes(name)})
	}
	return all
}

// Plan implements k8s.Pusher.
func (p fleetPusher) Plan(ctx context.Context, all []engine.Desired) (any, error) {
	diffs, err := p.Diff(ctx, all)
	return describeDiffs(diffs), err
}

func pushed(r tyk.Report) k8s.Pushed {
	p := k8s.Pushed{
		Target: r.Target, Generation: r.Generation, Err: r.Err,
		Created: r.Created, Updated: r.Updated, Deleted: r.Deleted, Unchanged: r.Unchanged,
		Conflicts: r.Conflicts, Drift: len(r.Drift), Reloads: r.Reloads, ReloadsFailed: r.ReloadsFailed, Took: r.Took,
	}
	if r.Held != nil {
		p.Held = r.Held.String()
	}
	for _, f := range r.Failed {
		p.Failed = append(p.Failed, k8s.PushFailure{Object: f.Owner, ID: f.ID, Err: f.Err})
	}
	for _, f := range r.Certificates {
		p.Certificates = append(p.Certificates, k8s.CertificateFailure{Secret: f.Secret, Err: f.Err})
	}
	return p
}
