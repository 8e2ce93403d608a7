package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
	on, push              bool
	caSecret, trustDomain string
	lifetime, overlap     time.Duration
	caLifetime, caOverlap time.Duration

	webhook                        string
	certFile, keyFile              string
	secret, service, configuration string
	webhookLifetime                time.Duration
}

func (m *meshFlags) flags(cmd *cobra.Command) {
	s := cmd.Flags()
	s.BoolVar(&m.on, "mesh", false, "look after workloads that ask for a sidecar: their definitions, Services, certificates and pods")
	s.BoolVar(&m.push, "mesh-push", false, "push to the sidecars of the mesh (Community Edition); with a Dashboard they ask that")
	s.StringVar(&m.caSecret, "mesh-ca-secret", "cuegate-mesh-ca", "Secret of the mesh's CA in --mesh-namespace; one of yours is used and never written, else it is made")
	s.StringVar(&m.trustDomain, "mesh-trust-domain", "cluster.local", "trust domain in the client certificates of the mesh")
	s.DurationVar(&m.lifetime, "mesh-certificate-lifetime", 90*24*time.Hour, "how long certificates of the mesh are valid; they are renewed after two thirds of it")
	s.DurationVar(&m.overlap, "mesh-certificate-overlap", time.Hour, "how long a client certificate is let in before callers show it, and after; a sixth of its lifetime at most")
	s.DurationVar(&m.caLifetime, "mesh-ca-lifetime", 10*365*24*time.Hour, "how long a CA of the mesh is valid that is made here")
	s.DurationVar(&m.caOverlap, "mesh-ca-overlap", 7*24*time.Hour, "how long such a CA is trusted before it signs, and after nothing needs it; a sixth of its lifetime at most")
	s.StringVar(&m.webhook, "webhook", "", "where the webhook is served that brings sidecars in, such as :9443; every replica serves it, whoever leads")
	s.StringVar(&m.certFile, "webhook-cert", "", "certificate of the webhook, with those that lead to its CA; the file is followed")
	s.StringVar(&m.keyFile, "webhook-key", "", "private key of --webhook-cert")
	s.StringVar(&m.secret, "webhook-secret", "cuegate-webhook", "Secret in the controller's namespace of the webhook's own certificate, which is made, renewed and told to the API server, unless --webhook-cert is given")
	s.StringVar(&m.service, "webhook-service", "cuegate-webhook", "Service in the controller's namespace by which the API server calls the webhook")
	s.StringVar(&m.configuration, "webhook-configuration", "cuegate", "MutatingWebhookConfiguration that is told the CA of the webhook's own certificate")
	s.DurationVar(&m.webhookLifetime, "webhook-certificate-lifetime", 90*24*time.Hour, "how long the webhook's own certificate is valid; it is renewed after two thirds of it")
	cmd.MarkFlagsRequiredTogether("webhook-cert", "webhook-key")
	_ = cmd.MarkFlagFilename("webhook-cert")
	_ = cmd.MarkFlagFilename("webhook-key")
	for _, name := range selfOnly {
		cmd.MarkFlagsMutuallyExclusive("webhook-cert", name)
	}
	// Each would push to what another one pushes to.
	cmd.MarkFlagsMutuallyExclusive("mesh-push", "dashboard")
	cmd.MarkFlagsMutuallyExclusive("mesh-push", "sidecar")
}

// meshOnly are the flags that mean nothing without --mesh, hookOnly those that mean
// nothing without --webhook, and selfOnly those of them for a certificate of its own.
var (
	meshOnly = []string{
		"mesh-push", "mesh-ca-secret", "mesh-trust-domain", "mesh-certificate-lifetime", "mesh-certificate-overlap", "mesh-ca-lifetime", "mesh-ca-overlap", "webhook",
	}
	selfOnly = []string{"webhook-secret", "webhook-service", "webhook-configuration", "webhook-certificate-lifetime"}
	hookOnly = slices.Concat(selfOnly, []string{"webhook-cert", "webhook-key"})
)

// check says which flag means nothing as the others are.
func (m *meshFlags) check(changed func(string) bool) error {
	for _, name := range meshOnly {
		if changed(name) && !m.on {
			return fmt.Errorf("--%s needs --mesh", name)
		}
	}
	for _, name := range hookOnly {
		if changed(name) && m.webhook == "" {
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
		Lifetime: m.lifetime, Overlap: m.overlap, CALifetime: m.caLifetime, CAOverlap: m.caOverlap, Log: log,
	})
}

// sidecars finds the sidecars of the mesh. It gives as well what has an element when there
// may be others.
func (m *meshFlags) sidecars(ctx context.Context, client kubernetes.Interface, namespaces []string, c config, keeper *k8s.Mesh, timeout time.Duration) (finder, <-chan struct{}, error) {
	if !m.push {
		return nil, nil, nil
	}
	pods, err := k8s.NewSidecars(client, namespaces)
	if err != nil {
		return nil, nil, err
	}
	pods.Start(ctx)
	find := func(ctx context.Context) ([]tyk.Settings, error) {
		found, err := pods.Found(ctx)
		if err != nil {
			return nil, err
		}
		var all []tyk.Settings
		for _, x := range found {
			secret, known := keeper.GatewaySecret(x.Namespace)
			if !known {
				return nil, errors.New("the secrets of sidecars are not known yet")
			}
			all = append(all, tyk.Settings{
				Name: x.Name, URL: x.URL, Secret: tyk.NewSecret(secret), OrgID: c.OrgID, Mode: tyk.Gateway, Tags: x.Tags, Sidecar: true, Timeout: timeout,
			})
		}
		return all, nil
	}
	return find, pods.Changed(), nil
}

// hook makes the webhook; nil where none is to be served.
func (m *meshFlags) hook(client kubernetes.Interface, own string, controller *k8s.Controller, registry prometheus.Registerer, log *slog.Logger) (*webhook.Server, error) {
	if m.webhook == "" {
		return nil, nil
	}
	var certificates webhook.Certificates
	var err error
	if m.certFile != "" {
		certificates = webhook.NewFiles(webhook.FilesOptions{CertFile: m.certFile, KeyFile: m.keyFile, Log: log})
	} else {
		certificates, err = webhook.NewSelf(webhook.SelfOptions{
			Client: client, Namespace: own, Secret: m.secret, Service: m.service, Configuration: m.configuration, LeafLifetime: m.webhookLifetime, Log: log,
		})
	}
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{
		Decide: controller.Decide, Ready: controller.Ready, Certificates: certificates, Address: m.webhook, Metrics: registry, Log: log,
	})
}

// finder finds targets. An error says that they are not known, and not that there are
// none.
type finder func(context.Context) ([]tyk.Settings, error)

// findBoth finds what two finders find. What one of them does not know now stays as it was, so
// that it does not keep the other's from being found.
func findBoth(a, b finder, log *slog.Logger) finder {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	var mu sync.Mutex
	finders := []finder{a, b}
	last, said := make([][]tyk.Settings, len(finders)), make([]string, len(finders))
	return func(ctx context.Context) ([]tyk.Settings, error) {
		mu.Lock()
		defer mu.Unlock()
		var all []tyk.Settings
		var failed []error
		for i, find := range finders {
			found, err := find(ctx)
			text := ""
			if err != nil {
				failed, text = append(failed, err), err.Error()
			} else {
				last[i] = found
			}
			if text != "" && text != said[i] && ctx.Err() == nil {
				log.Warn("some targets are not known now, and stay as they were", "error", err)
			}
			said[i] = text
			all = append(all, last[i]...)
		}
		if len(failed) == len(finders) {
			return nil, errors.Join(failed...)
		}
		return all, nil
	}
}
