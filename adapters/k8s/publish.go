package k8s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/engine"
)

const (
	// retractWithin bounds how long a controller that ends takes its addresses back.
	retractWithin = 15 * time.Second
	// retractAtOnce is how many Ingresses are written at the same time then.
	retractAtOnce = 8
	// retractTries is how often one is tried that someone else changes meanwhile.
	retractTries = 4
)

// publisher knows the addresses that go into status.loadBalancer of what is served.
type publisher struct {
	fixed   []networkingv1.IngressLoadBalancerIngress
	service func() (*corev1.Service, bool)

	mu sync.Mutex
	// last is what there was to publish last: it is taken back although the Service is
	// gone already.
	last []networkingv1.IngressLoadBalancerIngress
}

// newPublisher publishes addresses, each an IP or the name of a host, or those of a
// Service, which may be nil. With neither nothing is published, and no status touched.
func newPublisher(addresses []string, service func() (*corev1.Service, bool)) *publisher {
	return &publisher{fixed: entries(addresses), service: service}
}

// addresses gives what to publish now, sorted and each once. None means that there is
// nothing to say yet: what was published stays.
func (p *publisher) addresses() []networkingv1.IngressLoadBalancerIngress {
	if p.service == nil {
		return slices.Clone(p.fixed)
	}
	s, ok := p.service()
	if !ok || s == nil {
		return nil
	}
	now := entries(addressesOf(s))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(now) > 0 {
		p.last = now
	}
	return now
}

// published gives what there is to publish now, or was last.
func (p *publisher) published() []networkingv1.IngressLoadBalancerIngress {
	if now := p.addresses(); len(now) > 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// checkAddresses says which of the addresses no status can hold.
func checkAddresses(addresses []string) error {
	for _, a := range addresses {
		if _, err := netip.ParseAddr(a); err != nil && len(validation.IsDNS1123Subdomain(strings.ToLower(a))) > 0 {
			return fmt.Errorf("the address to publish, %q, is neither an IP nor the name of a host", a)
		}
	}
	return nil
}

// addressesOf gives where a Service can be reached from. One that waits for its load
// balancer is reached nowhere yet: an address inside the cluster would mislead
// whoever makes DNS records of it.
func addressesOf(s *corev1.Service) []string {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return []string{s.Spec.ExternalName}
	}
	var found []string
	for _, x := range s.Status.LoadBalancer.Ingress {
		found = append(found, cmp.Or(x.IP, x.Hostname))
	}
	switch {
	case len(found) > 0:
		return found
	case len(s.Spec.ExternalIPs) > 0:
		return s.Spec.ExternalIPs
	case s.Spec.Type == corev1.ServiceTypeLoadBalancer, s.Spec.ClusterIP == corev1.ClusterIPNone:
		return nil
	}
	return []string{s.Spec.ClusterIP}
}

func entries(addresses []string) []networkingv1.IngressLoadBalancerIngress {
	var list []networkingv1.IngressLoadBalancerIngress
	for _, a := range slices.Compact(slices.Sorted(slices.Values(addresses))) {
		if ip, err := netip.ParseAddr(a); err == nil {
			list = append(list, networkingv1.IngressLoadBalancerIngress{IP: ip.String()})
		} else if a != "" {
			list = append(list, networkingv1.IngressLoadBalancerIngress{Hostname: strings.ToLower(a)}) // as the API server wants it
		}
	}
	return list
}

func sameAddress(a, b networkingv1.IngressLoadBalancerIngress) bool {
	return a.IP == b.IP && a.Hostname == b.Hostname
}

// sameAddresses compares lists, in whatever order they are.
func sameAddresses(a, b []networkingv1.IngressLoadBalancerIngress) bool {
	return len(a) == len(b) && len(without(a, b)) == 0 && len(without(b, a)) == 0
}

// without gives the addresses of a list that are not among ours.
func without(list, ours []networkingv1.IngressLoadBalancerIngress) []networkingv1.IngressLoadBalancerIngress {
	var rest []networkingv1.IngressLoadBalancerIngress
	for _, x := range list {
		if !slices.ContainsFunc(ours, func(o networkingv1.IngressLoadBalancerIngress) bool { return sameAddress(x, o) }) {
			rest = append(rest, x)
		}
	}
	return rest
}

// retract takes our addresses back, and nothing else, from those Ingresses that carry
// our annotation: the others got theirs from somebody else. It is for the end of a
// controller, so that the end of ctx does not end it; it returns after 15 seconds at
// most, with an error that counts those that still have them.
func (p *publisher) retract(ctx context.Context, client kubernetes.Interface, all []*networkingv1.Ingress) error {
	ours := p.published()
	if len(ours) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), retractWithin)
	defer cancel()
	var mu sync.Mutex
	var failures int
	var last error
	var writing sync.WaitGroup
	slots := make(chan struct{}, retractAtOnce)
	for _, ing := range all {
		if _, told := ing.Annotations[engine.StatusAnnotation]; !told {
			continue
		}
		slots <- struct{}{}
		writing.Go(func() {
			defer func() { <-slots }()
			if err := retractOne(ctx, client, ing, ours); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures++
				last = err
			}
		})
	}
	writing.Wait()
	if failures > 0 {
		return fmt.Errorf("addresses of %d objects could not be taken back: %w", failures, last)
	}
	return nil
}

func retractOne(ctx context.Context, client kubernetes.Interface, ing *networkingv1.Ingress, ours []networkingv1.IngressLoadBalancerIngress) error {
	var err error
	for try := range retractTries {
		if try > 0 {
			// It was changed meanwhile, or the copy was old.
			if ing, err = client.NetworkingV1().Ingresses(ing.Namespace).Get(ctx, ing.Name, metav1.GetOptions{}); err != nil {
				break
			}
		}
		has := ing.Status.LoadBalancer.Ingress
		rest := without(has, ours)
		if len(rest) == len(has) {
			return nil
		}
		if err = patchStatus(ctx, client, ing, change{addresses: rest, setAddresses: true}); !apierrors.IsConflict(err) {
			break
		}
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// change is what is to be written to an Ingress. Nothing else is.
type change struct {
	// annotation is ours; "" takes it away. Only with setAnnotation.
	annotation    string
	setAnnotation bool
	addresses     []networkingv1.IngressLoadBalancerIngress
	setAddresses  bool
}

func (c change) empty() bool { return !c.setAnnotation && !c.setAddresses }

// patchStatus writes a change through the subresource status, annotation and all, so
// that nobody has to be given the right to write an Ingress itself. It is a conflict
// when the Ingress is another one by now than that the change was made for.
func patchStatus(ctx context.Context, client kubernetes.Interface, ing *networkingv1.Ingress, c change) error {
	meta := map[string]any{}
	if ing.UID != "" {
		meta["uid"] = ing.UID
	}
	if ing.ResourceVersion != "" {
		meta["resourceVersion"] = ing.ResourceVersion
	}
	if c.setAnnotation {
		var value any // null takes it away
		if c.annotation != "" {
			value = c.annotation
		}
		meta["annotations"] = map[string]any{engine.StatusAnnotation: value}
	}
	patch := map[string]any{"metadata": meta}
	if c.setAddresses {
		var list any
		if len(c.addresses) > 0 {
			list = c.addresses
		}
		patch["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": list}}
	}
	data, err := json.Marshal(patch)
	if err != nil {
		return errors.Join(errors.New("writing a patch"), err)
	}
	_, err = client.NetworkingV1().Ingresses(ing.Namespace).Patch(ctx, ing.Name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: "cuegate"}, "status")
	return err
}
