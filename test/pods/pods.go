package pods

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
)

// Options say how sidecars are.
type Options struct {
	// Keys are what they let in where an API wants an auth token.
	Keys []string
	// ReloadTick is how often they take reloads; 50 ms where it is 0, and a second in
	// a real gateway.
	ReloadTick time.Duration
	// Egress is the path of a unix socket by which the API server comes in: that of
	// NewEgress. None where it is "".
	Egress string
	// Log gets what goes wrong in pods. May be nil.
	Log *slog.Logger
}

// Pods are those of a cluster that run.
type Pods struct {
	client  kubernetes.Interface
	options Options
	log     *slog.Logger
	network *network
	proxy   string
	turn    atomic.Uint64
	running sync.WaitGroup

	mu  sync.Mutex
	all map[types.UID]*pod
}

// Start follows the pods of all namespaces until ctx ends. When it returns, those that
// run already are being started.
func Start(ctx context.Context, client kubernetes.Interface, o Options) (*Pods, error) {
	if o.ReloadTick == 0 {
		o.ReloadTick = 50 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	p := &Pods{client: client, options: o, log: o.Log, all: map[types.UID]*pod{}}
	p.network = newNetwork(factory.Core().V1().Services().Lister(), factory.Discovery().V1().EndpointSlices().Lister())
	registration, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { p.see(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			p.end(o.(*corev1.Pod).UID)
		},
	})
	if err != nil {
		return nil, err
	}
	all := proxy{p, p.network.dial, hangUp}
	if p.proxy, err = all.serve(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if o.Egress != "" {
		if _, err := all.serve(ctx, "unix", o.Egress); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	// It is the last to be waited for: while informers run, pods may start.
	p.running.Go(func() {
		<-ctx.Done()
		factory.Shutdown()
	})
	factory.WaitForCacheSync(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil, fmt.Errorf("following pods: %w", context.Cause(ctx))
	}
	return p, nil
}

// Wait returns when the context has ended and nothing runs any more.
func (p *Pods) Wait() { p.running.Wait() }

// Proxy is the URL of a proxy that leads to pods and Services, for HTTP_PROXY.
func (p *Pods) Proxy() string { return p.proxy }

// see starts a pod that runs, and ends one that has failed or is done.
func (p *Pods) see(ctx context.Context, object *corev1.Pod) {
	if object.Status.Phase != corev1.PodRunning {
		p.end(object.UID)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[object.UID] != nil || object.Status.PodIP == "" {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	started := newPod(p, object, cancel)
	p.all[object.UID] = started
	p.running.Go(func() { started.run(ctx) })
}

func (p *Pods) end(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ended := p.all[uid]; ended != nil {
		ended.cancel()
		delete(p.all, uid)
	}
}

// of gives the pods of a workload, in order of their names.
func (p *Pods) of(workload string) []*pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*pod
	for _, x := range p.all {
		if x.workload == workload {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *pod) int { return strings.Compare(a.name(), b.name()) })
	return all
}

// one gives a pod of the workload, the next one each time.
func (p *Pods) one(workload string) (*pod, error) {
	all := p.of(workload)
	if len(all) == 0 {
		return nil, fmt.Errorf("no pod of %s runs", workload)
	}
	return all[(p.turn.Add(1)-1)%uint64(len(all))], nil
}

// Sidecar is the gateway in one pod.
type Sidecar struct {
	// Pod is its name, and IP its address in the pod network.
	Pod, IP string
	// AppSide is where it takes the requests of its own app, on loopback.
	AppSide string
	// Secret of the control API.
	Secret  string
	Gateway *embedded.Gateway
	// Files are the definitions that were pushed to it.
	Files *embedded.Store
}

// Sidecars are those that run in the pods of a workload, "Kind/namespace/name".
func (p *Pods) Sidecars(workload string) []Sidecar {
	var all []Sidecar
	for _, x := range p.of(workload) {
		if s := x.sidecar.Load(); s != nil {
			all = append(all, *s)
		}
	}
	return all
}

// workloadOf gives "Kind/namespace/name" of who controls the pod, and the pod itself
// where nobody does. Of a ReplicaSet it is the Deployment that made it, whose name is
// that of the ReplicaSet without the hash.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return "Pod/" + pod.Namespace + "/" + pod.Name
	}
	kind, name := owner.Kind, owner.Name
	if hash := pod.Labels["pod-template-hash"]; kind == "ReplicaSet" && hash != "" {
		kind, name = "Deployment", strings.TrimSuffix(name, "-"+hash)
	}
	return kind + "/" + pod.Namespace + "/" + name
}

// Answer is what came back for a request.
type Answer struct {
	Status int
	// Seen is what the app saw that answered; empty where none did.
	Seen
	// Text is the body of the answer.
	Text string
}

// Call sends a GET as an app in a pod of the workload does: http://mesh/<route> goes to
// its own sidecar. From "" it comes from outside all pods. The header may be nil.
func (p *Pods) Call(ctx context.Context, from, url string, header http.Header) (Answer, error) {
	client := p.Client(from)
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, err
	}
	if header != nil {
		r.Header = header.Clone()
	}
	resp, err := client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	return readAnswer(resp)
}

// Client speaks as an app in a pod of the workload does, as Call says; each of its
// connections comes from the next pod.
func (p *Pods) Client(from string) *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext:         p.Dialer(from),
			MaxIdleConnsPerHost: 10,
		},
	}
}
