package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

// The names in a cluster of tests.
const (
	testNamespace     = "cuegate"
	testSecret        = "webhook-certificate"
	testService       = "webhook"
	testConfiguration = "cuegate"
)

// cluster is a fake clientset that gives versions to Secrets and configurations, and
// refuses writes to versions that are old, as an API server does and the fake does not.
type cluster struct {
	*fake.Clientset
	t testing.TB

	mu      sync.Mutex
	version int
	// refuse may make a write fail: "create secrets", "patch mutatingwebhookconfigurations".
	refuse func(what string) error
	writes []string
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{Clientset: fake.NewClientset(), t: t}
	for _, resource := range []string{"secrets", "mutatingwebhookconfigurations"} {
		for _, verb := range []string{"create", "update", "patch"} {
			c.PrependReactor(verb, resource, c.write)
		}
	}
	return c
}

// write does what an API server does with versions.
func (c *cluster) write(action ktesting.Action) (bool, runtime.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := action.GetVerb() + " " + action.GetResource().Resource
	if c.refuse != nil {
		if err := c.refuse(what); err != nil {
			return true, nil, err
		}
	}
	tracker, resource, ns := c.Tracker(), action.GetResource(), action.GetNamespace()
	var o runtime.Object
	var err error
	switch a := action.(type) {
	case ktesting.PatchActionImpl: // implements the interfaces of the others too
		var old runtime.Object
		if old, err = tracker.Get(resource, ns, a.GetName()); err == nil {
			o, err = patch(old, a.GetPatch())
		}
	case ktesting.UpdateActionImpl:
		o = a.GetObject().DeepCopyObject()
	case ktesting.CreateActionImpl:
		o = a.GetObject().DeepCopyObject()
	}
	if err != nil {
		return true, nil, err
	}
	m, err := meta.Accessor(o)
	if err != nil {
		return true, nil, err
	}
	if m.GetNamespace() == "" {
		m.SetNamespace(ns)
	}
	if action.GetVerb() != "create" {
		old, err := tracker.Get(resource, ns, m.GetName())
		if err != nil {
			return true, nil, err
		}
		now, err := meta.Accessor(old)
		if err != nil {
			return true, nil, err
		}
		if v := m.GetResourceVersion(); v != "" && v != now.GetResourceVersion() {
			return true, nil, apierrors.NewConflict(resource.GroupResource(), m.GetName(), fmt.Errorf("version %s is now %s", v, now.GetResourceVersion()))
		}
	}
	c.version++
	m.SetResourceVersion(strconv.Itoa(c.version))
	if action.GetVerb() == "create" {
		err = tracker.Create(resource, o, ns)
	} else {
		err = tracker.Update(resource, o, ns)
	}
	if err == nil {
		c.writes = append(c.writes, what)
	}
	return true, o.DeepCopyObject(), err
}

// patch applies a strategic merge patch to a configuration.
func patch(o runtime.Object, text []byte) (runtime.Object, error) {
	before, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	after, err := strategicpatch.StrategicMergePatch(before, text, admissionregistrationv1.MutatingWebhookConfiguration{})
	if err != nil {
		return nil, err
	}
	x := &admissionregistrationv1.MutatingWebhookConfiguration{}
	return x, json.Unmarshal(after, x)
}

// written counts the writes of a kind that came through.
func (c *cluster) written(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, w := range c.writes {
		if w == what {
			n++
		}
	}
	return n
}

// failing makes writes fail, until it is called with nil.
func (c *cluster) failing(refuse func(what string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = refuse
}

// configure installs the webhook configuration: two webhooks that call us, one that
// calls another Service of that name, and one that calls a URL.
func (c *cluster) configure() {
	c.t.Helper()
	service := func(namespace string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: testService}, CABundle: []byte("theirs")}
	}
	url := "https://example.com/mutate"
	x := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: testConfiguration}, Webhooks: []admissionregistrationv1.MutatingWebhook{
		{Name: "a.cuegate.dev", ClientConfig: service(testNamespace)},
		{Name: "b.cuegate.dev", ClientConfig: service("elsewhere")},
		{Name: "c.cuegate.dev", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: []byte("theirs")}},
		{Name: "d.cuegate.dev", ClientConfig: service(testNamespace)},
	}}
	if _, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(context.Background(), x, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) configuration() *admissionregistrationv1.MutatingWebhookConfiguration {
	c.t.Helper()
	x, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(context.Background(), testConfiguration, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return x
}

// bundle is what the API server knows now.
func (c *cluster) bundle() []byte {
	c.t.Helper()
	return c.configuration().Webhooks[0].ClientConfig.CABundle
}

// secret is nil when there is none.
func (c *cluster) secret() *corev1.Secret {
	c.t.Helper()
	s, err := c.CoreV1().Secrets(testNamespace).Get(context.Background(), testSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// authority is what the Secret holds.
func (c *cluster) authority() *authority {
	c.t.Helper()
	s := c.secret()
	if s == nil {
		return nil
	}
	a, err := decodeAuthority(s.Data)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}
