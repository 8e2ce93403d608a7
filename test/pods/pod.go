package pods

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// pod is one that runs.
type pod struct {
	pods     *Pods
	object   *corev1.Pod
	workload string
	ip       netip.Addr
	log      *slog.Logger
	cancel   context.CancelFunc
	rules    []rule
	dropped  []uint16
	// hosts are what names stand for in it.
	hosts map[string]netip.Addr
	// sidecar is nil while none runs.
	sidecar atomic.Pointer[Sidecar]

	mu sync.Mutex
	// dialed are the connections of the sidecar, which end with it; nil when it has ended.
	dialed map[*dialed]bool
}

func newPod(p *Pods, object *corev1.Pod, cancel context.CancelFunc) *pod {
	x := &pod{pods: p, object: object, workload: workloadOf(object), cancel: cancel,
		log: p.log.With("pod", object.Namespace+"/"+object.Name), hosts: map[string]netip.Addr{}, dialed: map[*dialed]bool{}}
	x.ip, _ = netip.ParseAddr(object.Status.PodIP)
	x.rules, x.dropped = interception(object)
	x.hosts["localhost"] = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, alias := range object.Spec.HostAliases {
		if ip, err := netip.ParseAddr(alias.IP); err == nil {
			for _, name := range alias.Hostnames {
				x.hosts[name] = ip
			}
		}
	}
	return x
}

func (x *pod) name() string { return x.object.Name }

func (x *pod) at(port uint16) netip.AddrPort { return netip.AddrPortFrom(x.ip, port) }

// run lets the app and the sidecar run until ctx ends, and leaves nothing open.
func (x *pod) run(ctx context.Context) {
	for _, port := range x.dropped {
		x.pods.network.keepOut(x.at(port), true)
		defer x.pods.network.keepOut(x.at(port), false)
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, port := range x.appPorts() {
		x.serve(ctx, &running, port, app(x.workload, x.name()))
	}
	if c := sidecarOf(x.object); c != nil {
		running.Go(func() { x.runSidecar(ctx, c) })
	}
	<-ctx.Done()
}

// serve serves a port of the pod until ctx ends.
func (x *pod) serve(ctx context.Context, running *sync.WaitGroup, port uint16, handler http.Handler) {
	l, err := x.pods.network.listen(x.at(port))
	if err != nil {
		x.log.Error("a port cannot be opened", "port", port, "error", err)
		return
	}
	serve(ctx, running, l, handler)
}

// serve serves until ctx ends, closes all connections then, and waits for what they are
// about.
func serve(ctx context.Context, running *sync.WaitGroup, l net.Listener, handler http.Handler) {
	var connections sync.WaitGroup
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Done()
			}
		},
	}
	running.Go(func() {
		_ = server.Serve(l)
		connections.Wait()
	})
	running.Go(func() {
		<-ctx.Done()
		_ = l.Close() // a server that does not serve yet does not know it
		_ = server.Close()
	})
}

// portAnnotation says where the app listens, if its containers do not.
const portAnnotation = "injector.tyk.io/port"

// appPorts are the TCP ports of the containers but the sidecar, or the one that the
// annotation gives.
func (x *pod) appPorts() []uint16 {
	var ports []uint16
	sidecar := sidecarOf(x.object)
	for i := range x.object.Spec.Containers {
		c := &x.object.Spec.Containers[i]
		if c == sidecar {
			continue
		}
		for _, p := range c.Ports {
			if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
				ports = append(ports, uint16(p.ContainerPort))
			}
		}
	}
	if n, err := strconv.ParseUint(x.object.Annotations[portAnnotation], 10, 16); err == nil && len(ports) == 0 {
		ports = append(ports, uint16(n))
	}
	return ports
}

// dialApp connects as the app does.
func (x *pod) dialApp(ctx context.Context, _, address string) (net.Conn, error) {
	return x.dial(ctx, address, false)
}

// dialSidecar connects as the sidecar does, whose requests are not sent back to it.
func (x *pod) dialSidecar(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := x.dial(ctx, address, true)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dialed == nil {
		return nil, errors.Join(context.Canceled, c.Close())
	}
	d := &dialed{c, x}
	x.dialed[d] = true
	return d, nil
}

// dialed is a connection that the sidecar made.
type dialed struct {
	net.Conn
	pod *pod
}

func (d *dialed) Close() error {
	d.pod.mu.Lock()
	defer d.pod.mu.Unlock()
	delete(d.pod.dialed, d)
	return d.Conn.Close()
}

// hangUp closes the connections that the sidecar made.
func (x *pod) hangUp() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for d := range x.dialed {
		_ = d.Conn.Close()
	}
	x.dialed = nil
}

func (x *pod) dial(ctx context.Context, address string, sidecar bool) (net.Conn, error) {
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	ip, known := x.hosts[host]
	if !known {
		var to netip.AddrPort
		if to, err = x.pods.network.find(host, port, x.object.Namespace); err != nil {
			return nil, err
		}
		ip, port = to.Addr(), to.Port()
	}
	for _, r := range x.rules {
		if r.port == port && r.to.Contains(ip) && (r.all || !sidecar) {
			ip, port = x.ip, r.redirect
			break
		}
	}
	if ip.IsLoopback() {
		ip = x.ip
	}
	return x.pods.network.connect(ctx, x.ip, netip.AddrPortFrom(ip, port))
}
