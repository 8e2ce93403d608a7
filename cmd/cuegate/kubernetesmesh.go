package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/adapters/k8s"
	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/webhook"
)

// meshFlags are the flags of run that matter when a cluster has a mesh.
type meshFlags struct {
	on, sidecarTargets     bool
	caSecret, trustDomain  string
	certLifetime, overlap  time.Duration
	address                string
	certFile, keyFile      string
	secret, service        string
	configuration          string
	webhookCertificateLife time.Duration
}

func (m *meshFlags) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.BoolVar(&m.on, "mesh", false, "look after workloads that ask for a sidecar: their definitions, Services, certificates and pods")
	s.BoolVar(&m.sidecarTargets, "mesh-push", false, "push to the sidecars of the mesh (Community Edition); with a Dashboard they ask that")
	s.StringVar(&m.caSecret, "mesh-ca-secret", "cuegate-mesh-ca", "Secret of the mesh's CA in --mesh-namespace; one of yours is used and never written, else it is made")
	s.StringVar(&m.trustDomain, "mesh-trust-domain", "cluster.local", "trust domain in the client certificates of the mesh")
	s.DurationVar(&m.certLifetime, "mesh-certificate-lifetime", 90*24*time.Hour, "how long certificates of the mesh are valid; they are renewed after two thirds of it")
	s.DurationVar(&m.overlap, "mesh-certificate-overlap", time.Hour, "how long a client certificate is let in before callers show it, and after")
	s.StringVar(&m.address, "webhook", "", "where the webhook is served, such as :9443; every replica serves it")
	s.StringVar(&m.certFile, "webhook-cert", "", "certificate of the webhook; the file is followed")
	s.StringVar(&m.keyFile, "webhook-key", "", "private key of --webhook-cert")
	s.StringVar(&m.secret, "webhook-secret", "cuegate-webhook", "Secret in the controller's namespace of the webhook's own certificate, which is made, renewed and told to the API server, unless --webhook-cert is given")
	s.StringVar(&m.service, "webhook-service", "cuegate-webhook", "Service in the controller's namespace by which the API server calls the webhook")
	s.StringVar(&m.configuration, "webhook-configuration", "cuegate", "MutatingWebhookConfiguration that is told the CA of the webhook's own certificate")
	s.DurationVar(&m.webhookCertificateLife, "webhook-certificate-lifetime", 90*24*time.Hour, "how long the webhook's own certificate is valid; it is renewed after two thirds of it")
	cmd.MarkFlagsRequiredTogether("webhook-cert", "webhook-key")
	_ = cmd.MarkFlagFilename("webhook-cert")
	_ = cmd.MarkFlagFilename("webhook-key")
}

// meshOnly are the flags that mean nothing without --mesh, or without --webhook.
var (
	meshOnly = []string{"mesh-push", "mesh-ca-secret", "mesh-trust-domain", "mesh-certificate-lifetime", "mesh-certificate-overlap"}
	hookOnly = []string{"webhook-cert", "webhook-key", "webhook-secret", "webhook-service", "webhook-configuration", "webhook-certificate-lifetime"}
)

// check says which flag means nothing as the others are.
func (m *meshFlags) check(changed func(string) bool) error {
	for _, name := range meshOnly {
		if changed(name) && !m.on {
			return fmt.Errorf("--%s needs --mesh", name)
		}
	}
	for _, name := range hookOnly {
		if changed(name) && m.address == "" {
			return fmt.Errorf("--%s needs --webhook", name)
		}
	}
	return nil
}

// keeper makes what keeps the certificates and secrets of the mesh; nil without a mesh.
func (m *meshFlags) keeper(client kubernetes.Interface, namespaces []string, c config, log *slog.Logger) (*k8s.Mesh, error) {
	if !m.on {
		return nil, nil
	}
	return k8s.NewMesh(k8s.MeshOptions{
		Client: client, Namespace: c.meshNamespace(), Namespaces: namespaces, TrustDomain: m.trustDomain, CASecret: m.caSecret,
		Lifetime: m.certLifetime, Overlap: m.overlap, Log: log,
	})
}

// sidecars adds the sidecars of the mesh to what is discovered. Each has the secret of
// its namespace.
func (m *meshFlags) sidecars(ctx context.Context, client kubernetes.Interface, namespaces []string, c config, keeper *k8s.Mesh, timeout time.Duration, o *tyk.Options) error {
	if !m.sidecarTargets {
		return nil
	}
	pods, err := k8s.NewSidecars(client, namespaces)
	if err != nil {
		return err
	}
	pods.Start(ctx)
	others := o.Discover
	o.Wake = pods.Changed()
	o.Discover = func(ctx context.Context) ([]tyk.Settings, error) {
		var all []tyk.Settings
		if others != nil {
			var err error
			if all, err = others(ctx); err != nil {
				return nil, err
			}
		}
		found, err := pods.Found(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range found {
			secret, ok := keeper.GatewaySecret(x.Namespace)
			if !ok {
				continue // it was not made yet, so no gateway can have it
			}
			all = append(all, tyk.Settings{Name: x.Name, URL: x.URL, Secret: tyk.NewSecret(secret), OrgID: c.OrgID, Mode: tyk.Gateway, Tags: x.Tags, Timeout: timeout})
		}
		return all, nil
	}
	return nil
}

// hook makes the webhook; nil where none is to be served.
func (m *meshFlags) hook(client kubernetes.Interface, own string, controller *k8s.Controller, registry prometheus.Registerer, log *slog.Logger) (*webhook.Server, error) {
	if m.address == "" {
		return nil, nil
	}
	var certificates webhook.Certificates
	var err error
	if m.certFile != "" {
		certificates = webhook.NewFiles(webhook.FilesOptions{CertFile: m.certFile, KeyFile: m.keyFile, Log: log})
	} else {
		certificates, err = webhook.NewSelf(webhook.SelfOptions{
			Client: client, Namespace: own, Secret: m.secret, Service: m.service, Configuration: m.configuration, LeafLifetime: m.webhookCertificateLife, Log: log,
		})
	}
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{
		Decide: controller.Decide, Ready: controller.Ready, Certificates: certificates, Address: m.address, Metrics: registry, Log: log,
	})
}

// both runs the controller and the webhook, and ends both when one of them fails. The
// webhook is served to the end of the controller's last push.
func both(ctx context.Context, controller *k8s.Controller, hook *webhook.Server) error {
	if hook == nil {
		return controller.Run(ctx)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, 1)
	go func() {
		err := hook.Run(ctx)
		end()
		failed <- err
	}()
	err := controller.Run(ctx)
	end()
	return errors.Join(err, <-failed)
}
