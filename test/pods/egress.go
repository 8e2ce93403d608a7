package pods

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Egress has an API server call webhooks by their Services, as it does in a cluster.
type Egress struct {
	// Flag is for the API server, and Socket for Options.Egress.
	Flag, Socket string
}

// NewEgress writes what the API server reads into the folder, whose name has to be
// short: those of unix sockets are.
func NewEgress(dir string) (Egress, error) {
	e := Egress{Socket: filepath.Join(dir, "egress")}
	config := filepath.Join(dir, "egress.json")
	e.Flag = "--egress-selector-config-file=" + config
	return e, os.WriteFile(config, fmt.Appendf(nil, `{"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration", "egressSelections": [
		{"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": %q}}}}]}`, e.Socket), 0o600)
}

// outside is the address of those who are behind a Service and in no pod.
var outside = netip.AddrFrom4([4]byte{192, 0, 2, 20})

// Stand has a port of a Service lead to an address of loopback instead of a pod: port is
// the Service's target port, by number. Later calls replace the address.
func (p *Pods) Stand(ctx context.Context, namespace, service, portName string, port uint16, loopback string) error {
	p.network.lead(netip.AddrPortFrom(outside, port), loopback)
	number := int32(port)
	_, err := p.client.DiscoveryV1().EndpointSlices(namespace).Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service + "-outside", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &number}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{outside.String()}}},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
