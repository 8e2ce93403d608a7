package pods

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// network leads from addresses of pods to loopback.
type network struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	turn     atomic.Uint64

	mu sync.RWMutex
	// open are the loopback addresses of those that listen.
	open map[netip.AddrPort]string
	// closed are those that only their own pod may use.
	closed map[netip.AddrPort]bool
}

func newNetwork(services corelisters.ServiceLister, slices discoverylisters.EndpointSliceLister) *network {
	return &network{services: services, slices: slices, open: map[netip.AddrPort]string{}, closed: map[netip.AddrPort]bool{}}
}

// door is a listener of a pod. Its address is free again as soon as it is closed.
type door struct {
	net.Listener
	close func() error
}

func (d *door) Close() error { return d.close() }

// listen opens an address of a pod.
func (n *network) listen(at netip.AddrPort) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.open[at]; taken {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.open[at] = l.Addr().String()
	return &door{l, sync.OnceValue(func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.open, at)
		return l.Close()
	})}, nil
}

// keepOut lets only the pod itself connect to an address of its.
func (n *network) keepOut(at netip.AddrPort, out bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if out {
		n.closed[at] = true
	} else {
		delete(n.closed, at)
	}
}

// loopback is where an address of a pod leads; "" where nobody listens.
func (n *network) loopback(at netip.AddrPort) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.open[at]
}

// connect goes from a pod, or from nowhere, to an address of one.
func (n *network) connect(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	n.mu.RLock()
	at, closed := n.open[to], n.closed[to]
	n.mu.RUnlock()
	if at == "" || closed && from != to.Addr() {
		return nil, refused(to)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", at)
}

func refused(to netip.AddrPort) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// resolve gives an address of a pod for the name of a Service and one of its ports.
// A name without a namespace is of the given one.
func (n *network) resolve(host string, port uint16, namespace string) (netip.AddrPort, error) {
	unknown := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	short := strings.TrimSuffix(strings.TrimSuffix(host, ".cluster.local"), ".svc")
	name, rest, found := strings.Cut(short, ".")
	if found {
		namespace = rest
	}
	if namespace == "" || strings.Contains(namespace, ".") {
		return netip.AddrPort{}, unknown
	}
	service, err := n.services.Services(namespace).Get(name)
	if err != nil {
		return netip.AddrPort{}, unknown
	}
	return n.next(service, port)
}

// next gives an endpoint of a port of a Service, another one each time.
func (n *network) next(service *corev1.Service, port uint16) (netip.AddrPort, error) {
	all, err := n.endpoints(service, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(all) == 0 {
		return netip.AddrPort{}, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s.%s:%d has no endpoints: %w", service.Name, service.Namespace, port, syscall.ECONNREFUSED)}
	}
	return all[(n.turn.Add(1)-1)%uint64(len(all))], nil
}

// endpoints are those of a port of a Service that are ready.
func (n *network) endpoints(service *corev1.Service, port uint16) ([]netip.AddrPort, error) {
	for _, p := range service.Spec.Ports {
		if p.Port == int32(port) {
			return n.endpointsOf(service, p.Name)
		}
	}
	return nil, nil
}

func (n *network) endpointsOf(service *corev1.Service, port string) ([]netip.AddrPort, error) {
	slices, err := n.slices.EndpointSlices(service.Namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name}))
	if err != nil {
		return nil, err
	}
	var all []netip.AddrPort
	for _, s := range slices {
		for _, p := range s.Ports {
			if p.Port == nil || p.Name == nil || *p.Name != port {
				continue
			}
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0 {
					continue
				}
				ip, err := netip.ParseAddr(e.Addresses[0])
				if err != nil {
					return nil, err
				}
				all = append(all, netip.AddrPortFrom(ip, uint16(*p.Port)))
			}
		}
	}
	return all, nil
}

// splitAddress reads "host:port".
func splitAddress(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, errors.New("no port: " + address)
	}
	return host, uint16(number), nil
}

// dial goes from nowhere to an address, or to a Service. Loopback is that of this
// machine: the API server calls webhooks there.
func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	to, err := n.find(host, port, "")
	if err != nil {
		return nil, err
	}
	return n.connect(ctx, netip.Addr{}, to)
}

// find gives the address of a pod for its IP, or for the name or the IP of a Service.
func (n *network) find(host string, port uint16, namespace string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return n.resolve(host, port, namespace)
	}
	services, err := n.services.List(labels.Everything())
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, s := range services {
		if s.Spec.ClusterIP == host {
			return n.next(s, port)
		}
	}
	return netip.AddrPortFrom(ip, port), nil
}

// lead has an address lead to one of loopback.
func (n *network) lead(from netip.AddrPort, loopback string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[from] = loopback
}

// Dialer connects as an app in a pod of the workload does, the next one each time; from
// "" as somebody outside all pods. Who connects to port 8080 of a Service by it speaks
// with a sidecar past his own.
func (p *Pods) Dialer(from string) func(ctx context.Context, network, address string) (net.Conn, error) {
	if from == "" {
		return p.network.dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		x, err := p.one(from)
		if err != nil {
			return nil, err
		}
		return x.dialApp(ctx, network, address)
	}
}
