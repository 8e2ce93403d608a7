package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/time/rate"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// The label of a Secret that is ours. One without it is the user's: it is served, and
// never written.
const (
	ManagedLabel = "cuegate.dev/webhook-certificate"
	managed      = "managed"
)

// fieldManager names us to the API server.
const fieldManager = "cuegate-webhook"

const day = 24 * time.Hour

// SelfOptions say where a Self keeps its certificates, and how long these last.
type SelfOptions struct {
	Client kubernetes.Interface
	// Namespace is that of the Secret and of the Service by which the API server calls
	// the webhook.
	Namespace, Secret, Service string
	// Configuration is the name of the MutatingWebhookConfiguration that is told the
	// CA. It may come later.
	Configuration string

	// LeafLifetime is that of what is served, 90 days where it is 0; CALifetime is that
	// of the CA, 5 years where it is 0, and three times the former at least.
	LeafLifetime, CALifetime time.Duration
	// Settle is how long the configuration has to hold a new CA before that signs: as
	// long as an API server may take to hear of it. It is 1 hour where it is 0.
	Settle time.Duration
	// Interval is how often everything is looked at although nothing was heard; 1
	// minute where it is 0.
	Interval time.Duration
	// Now is time.Now where it is nil.
	Now func() time.Time
	Log *slog.Logger
}

// Self makes its own CA and certificate, and keeps both in a Secret, which all replicas
// share: each of them makes what is missing and replaces what is worn, and who comes
// second follows the first. It tells the CA to the API server, and again when somebody
// wipes that away.
//
// A Secret of ours that cannot be read is replaced. One that is removed is made again,
// and its CA is replaced as soon as the API server knows the next one: so that is how to
// ask for a new CA.
type Self struct {
	serving
	options SelfOptions
	rules   rules
	dirty   chan struct{}
	// pace bounds how often it is looked: somebody who always writes what we do not want
	// must not keep the API server busy.
	pace *rate.Limiter

	// Of the goroutine that runs.
	known *authority // what the Secret held last; nil if that was not ours
	// toldOf is the next CA that the configuration holds, and since when we know.
	toldOf    []byte
	toldSince time.Time
}

// NewSelf calls nobody.
func NewSelf(o SelfOptions) (*Self, error) {
	for what, name := range map[string]string{"namespace": o.Namespace, "Secret": o.Secret, "Service": o.Service, "MutatingWebhookConfiguration": o.Configuration} {
		if name == "" {
			return nil, fmt.Errorf("the certificate of the webhook needs the name of its %s", what)
		}
	}
	o.LeafLifetime, o.CALifetime = cmp.Or(o.LeafLifetime, 90*day), cmp.Or(o.CALifetime, 5*365*day)
	o.Settle, o.Interval = cmp.Or(o.Settle, time.Hour), cmp.Or(o.Interval, time.Minute)
	if o.LeafLifetime < 0 || o.CALifetime < 3*o.LeafLifetime {
		return nil, fmt.Errorf("a CA that lasts %s cannot sign certificates that last %s: it must last three times as long", o.CALifetime, o.LeafLifetime)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	host := o.Service + "." + o.Namespace + ".svc"
	return &Self{options: o, dirty: make(chan struct{}, 1), pace: rate.NewLimiter(1, 20), rules: rules{
		leaf: o.LeafLifetime, ca: o.CALifetime, names: []string{host, host + ".cluster.local"},
	}}, nil
}

// Run implements Certificates.
func (s *Self) Run(ctx context.Context) error {
	end := s.watch(ctx)
	defer end()
	const soonest = 250 * time.Millisecond
	pause := soonest
	for {
		err := s.pass(ctx)
		wait := s.options.Interval
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
			s.options.Log.Debug("another replica was faster", "error", err)
			wait = min(wait, soonest)
		case err != nil:
			s.options.Log.Error("keeping the certificate of the webhook", "error", err)
			wait = min(wait, pause)
			pause = min(2*pause, s.options.Interval)
		default:
			pause = soonest
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.dirty:
		case <-timer.C:
		}
		timer.Stop()
		if s.pace.Wait(ctx) != nil {
			return nil
		}
	}
}

// watch looks again whenever the Secret or the configuration changes. What these hold is
// read then, so that nothing is done on the word of a copy that is behind. end waits for
// the watches to be over.
func (s *Self) watch(ctx context.Context) (end func()) {
	watching, stop := context.WithCancel(ctx)
	o := s.options
	one := func(namespace, name string) informers.SharedInformerFactory {
		return informers.NewSharedInformerFactoryWithOptions(o.Client, 0, informers.WithNamespace(namespace), informers.WithTransform(bare),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			}))
	}
	secrets, configurations := one(o.Namespace, o.Secret), one(metav1.NamespaceAll, o.Configuration)
	look := func(any) { s.look() }
	handler := cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, o any) { look(o) }, DeleteFunc: look}
	for _, informer := range []cache.SharedIndexInformer{
		secrets.Core().V1().Secrets().Informer(),
		configurations.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
	} {
		// It fails only for an informer that has ended.
		_, _ = informer.AddEventHandler(handler)
	}
	secrets.Start(watching.Done())
	configurations.Start(watching.Done())
	return func() {
		stop()
		secrets.Shutdown()
		configurations.Shutdown()
	}
}

// bare keeps no more than that an object changed. What it holds, private keys above all,
// is not kept.
func bare(o any) (any, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return o, nil // a mark that an object is gone
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
	}}, nil
}

func (s *Self) look() {
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// pass brings the Secret to what it has to be, serves what it holds, and tells the CA.
func (s *Self) pass(ctx context.Context) error {
	ctx, end := context.WithTimeout(ctx, 30*time.Second)
	defer end()
	o := s.options
	// The configuration is read before the Secret. So whoever told it of a later state of
	// the Secret than we are to read wrote it after we did, and makes our write fail.
	configuration, untold := o.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, o.Configuration, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(untold):
		// Nobody calls yet. We hear of it when it comes.
		configuration, untold = &admissionregistrationv1.MutatingWebhookConfiguration{}, nil
	case untold != nil:
		configuration = nil
	}
	bundle, err := s.follow(ctx, configuration)
	if err == nil && configuration != nil && len(bundle) > 0 {
		untold = s.tell(ctx, configuration, bundle)
	}
	if untold != nil {
		untold = fmt.Errorf("telling the CA to the API server: %w", untold)
	}
	return errors.Join(err, untold)
}

// follow makes and replaces what has to be, serves what there is then, and gives the CAs
// that callers must know, nil if that is not known. configuration is nil if it could not
// be read.
func (s *Self) follow(ctx context.Context, configuration *admissionregistrationv1.MutatingWebhookConfiguration) ([]byte, error) {
	o := s.options
	secret, err := o.Client.CoreV1().Secrets(o.Namespace).Get(ctx, o.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if secret != nil && secret.Labels[ManagedLabel] != managed {
		s.known = nil
		return s.supplied(secret)
	}
	a, why, err := s.wanted(secret, configuration)
	if err != nil {
		return nil, err
	}
	if why != "" {
		if err := s.write(ctx, secret, a); err != nil {
			return nil, err
		}
		o.Log.Info("the Secret of the webhook's certificate was written", "secret", s.name(), "because", why)
		s.look() // there may be more to do
	}
	s.known = a
	s.serve(a.leaf)
	return a.bundle(), nil
}

// wanted gives what a Secret of ours, or one that is missing, has to hold, and why it
// has to be written; "" if it need not be.
func (s *Self) wanted(secret *corev1.Secret, configuration *admissionregistrationv1.MutatingWebhookConfiguration) (a *authority, why string, err error) {
	now := s.options.Now()
	if secret == nil && s.known != nil {
		const why = "it was removed: what is served stays until another CA takes over"
		if s.known.next != nil {
			return s.known, why, nil
		}
		a, err = s.rules.withNext(s.known, now)
		return a, why, err
	}
	if secret != nil {
		if a, err = decodeAuthority(secret.Data); err != nil {
			s.options.Log.Warn("the Secret of the webhook's certificate cannot be read, and is replaced", "secret", s.name(), "error", err)
			if s.known != nil {
				return s.known, "it could not be read", nil
			}
		}
	}
	a, why, err = s.rules.step(a, now, s.told(a, configuration))
	if err == nil && why == "" && !bytes.Equal(secret.Data[bundleKey], a.bundle()) {
		why = bundleKey + " is not what it has to be"
	}
	return a, why, err
}

func (s *Self) name() string { return s.options.Namespace + "/" + s.options.Secret }

// write creates the Secret, or updates the one that was read. It fails when another
// replica was faster.
func (s *Self) write(ctx context.Context, secret *corev1.Secret, a *authority) error {
	data, err := a.encode()
	if err != nil {
		return err
	}
	secrets := s.options.Client.CoreV1().Secrets(s.options.Namespace)
	if secret != nil {
		secret.Data = data // with the resourceVersion that was read
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	}
	_, err = secrets.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.options.Secret, Labels: map[string]string{ManagedLabel: managed}},
		Type:       corev1.SecretTypeTLS, Data: data,
	}, metav1.CreateOptions{FieldManager: fieldManager})
	return err
}

// supplied serves a Secret of the user's, and gives its CAs, if it names them.
func (s *Self) supplied(secret *corev1.Secret) ([]byte, error) {
	leaf, err := readPair(secret.Data, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	if err != nil {
		return nil, fmt.Errorf("the Secret %s is not ours, as it has no label %s=%s, and cannot be served: %w", s.name(), ManagedLabel, managed, err)
	}
	s.serve(leaf)
	bundle := secret.Data[bundleKey]
	if len(bundle) == 0 {
		return nil, nil // the API server knows the CA already, or somebody else tells it
	}
	if _, err := parseCertificates(bundle); err != nil {
		return nil, fmt.Errorf("%s of the Secret %s: %w", bundleKey, s.name(), err)
	}
	return bundle, nil
}

func (s *Self) serve(leaf tls.Certificate) {
	if c := s.current.Load(); c != nil && bytes.Equal(c.Certificate[0], leaf.Certificate[0]) {
		return
	}
	s.current.Store(&leaf)
	s.options.Log.Info("another certificate is served by the webhook", "secret", s.name(), "notAfter", leaf.Leaf.NotAfter)
}

// told tells whether the configuration has held the next CA for long enough.
func (s *Self) told(a *authority, configuration *admissionregistrationv1.MutatingWebhookConfiguration) bool {
	if a == nil || a.next == nil || configuration == nil || !s.holds(configuration, a.next) {
		s.toldOf = nil
		return false
	}
	now := s.options.Now()
	if next := a.next.Certificate[0]; !bytes.Equal(s.toldOf, next) {
		s.toldOf, s.toldSince = next, now
	}
	return now.Sub(s.toldSince) >= s.options.Settle
}

// holds tells whether all webhooks that call us know the CA.
func (s *Self) holds(configuration *admissionregistrationv1.MutatingWebhookConfiguration, ca *tls.Certificate) bool {
	for _, w := range configuration.Webhooks {
		if !s.calls(w) {
			continue
		}
		all, err := parseCertificates(w.ClientConfig.CABundle)
		if err != nil || !slices.ContainsFunc(all, ca.Leaf.Equal) {
			return false
		}
	}
	return true
}

// calls tells whether a webhook is served by us.
func (s *Self) calls(w admissionregistrationv1.MutatingWebhook) bool {
	service := w.ClientConfig.Service
	return service != nil && service.Namespace == s.options.Namespace && service.Name == s.options.Service
}

// tell writes the CAs into all webhooks that call us and have others.
func (s *Self) tell(ctx context.Context, configuration *admissionregistrationv1.MutatingWebhookConfiguration, bundle []byte) error {
	type clientConfig struct {
		CABundle []byte `json:"caBundle"`
	}
	type webhook struct {
		Name         string       `json:"name"`
		ClientConfig clientConfig `json:"clientConfig"`
	}
	var patch struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Webhooks []webhook `json:"webhooks"`
	}
	for _, w := range configuration.Webhooks {
		if s.calls(w) && !bytes.Equal(w.ClientConfig.CABundle, bundle) {
			patch.Webhooks = append(patch.Webhooks, webhook{w.Name, clientConfig{bundle}})
		}
	}
	if len(patch.Webhooks) == 0 {
		if len(configuration.Webhooks) > 0 && !slices.ContainsFunc(configuration.Webhooks, s.calls) {
			return fmt.Errorf("no webhook of the MutatingWebhookConfiguration %s calls the Service %s/%s", configuration.Name, s.options.Namespace, s.options.Service)
		}
		return nil
	}
	// With the version that was read, it fails when somebody else was faster.
	patch.Metadata.ResourceVersion = configuration.ResourceVersion
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = s.options.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ctx, configuration.Name, types.StrategicMergePatchType, text, metav1.PatchOptions{FieldManager: fieldManager})
	if err == nil {
		s.options.Log.Info("the API server was told the CA of the webhook", "configuration", configuration.Name)
	}
	return err
}
