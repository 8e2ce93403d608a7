package main

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Nothing answers at any of these addresses. They are not loopback ones because the
// server refuses those in Endpoints.
const (
	nodeName       = "kubebox"
	nodeAddress    = "192.0.2.1"
	serviceRange   = "10.0.0.0/16"
	serviceAddress = "10.0.0.1" // of the API server: the first of the range
)

// podNetwork is where addresses of pods begin. They count up and are not used again
// before a restart.
var podNetwork = binary.BigEndian.Uint32(net.IPv4(10, 128, 0, 0).To4())

// node stands for the scheduler and the kubelet: a pod is bound, and runs, and goes
// when it is deleted. What a step has done comes back as an event, and that leads to
// the next one.
type node struct {
	client kubernetes.Interface
	pods   corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	// last is the last address that was given to a pod.
	last atomic.Uint32
}

func startNode(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(protobuf(config))
	if err != nil {
		return err
	}
	if err := register(ctx, client); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	n := &node{
		client: client,
		pods:   pods.Lister(),
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]()),
	}
	if _, err := pods.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    n.enqueue,
		UpdateFunc: func(_, pod any) { n.enqueue(pod) },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if err := n.count(); err != nil {
		return err
	}
	for range workers {
		go n.work(ctx)
	}
	return nil
}

// register makes the node, ready, and with more room than anybody needs.
func register(ctx context.Context, client kubernetes.Interface) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1000"),
		corev1.ResourceMemory: resource.MustParse("1Ti"),
		corev1.ResourcePods:   resource.MustParse("10000"),
	}
	made, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelHostname: nodeName}},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		made, err = client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	// Admission taints a new node; whoever calls it ready takes the taint away.
	made.Spec.Taints = nil
	if made, err = client.CoreV1().Nodes().Update(ctx, made, metav1.UpdateOptions{}); err != nil {
		return err
	}
	now := metav1.Now()
	made.Status = corev1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress}},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Pretends",
			LastHeartbeatTime: now, LastTransitionTime: now,
		}},
	}
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

// count goes on after the highest address that a pod has from before a restart.
func (n *node) count() error {
	n.last.Store(podNetwork)
	pods, err := n.pods.List(labels.Everything())
	for _, pod := range pods {
		if ip := net.ParseIP(pod.Status.PodIP).To4(); ip != nil && !pod.Spec.HostNetwork {
			n.last.Store(max(n.last.Load(), binary.BigEndian.Uint32(ip)))
		}
	}
	return err
}

func (n *node) enqueue(object any) {
	if name, err := cache.ObjectToName(object); err == nil {
		n.queue.Add(name)
	}
}

func (n *node) work(ctx context.Context) {
	for {
		name, shutdown := n.queue.Get()
		if shutdown {
			return
		}
		if err := n.advance(ctx, name); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "The node failed", "pod", name.String())
			n.queue.AddRateLimited(name)
		} else {
			n.queue.Forget(name)
		}
		n.queue.Done(name)
	}
}

// advance takes a pod one step further. Something that changed meanwhile is no
// failure: it comes as an event.
func (n *node) advance(ctx context.Context, name cache.ObjectName) error {
	pod, err := n.pods.Pods(name.Namespace).Get(name.Name)
	if err == nil {
		err = n.step(ctx, pod)
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func (n *node) step(ctx context.Context, pod *corev1.Pod) error {
	ours := pod.Spec.NodeName == nodeName
	switch {
	case ours && pod.DeletionTimestamp != nil:
		return n.remove(ctx, pod)
	case ours && pod.Status.Phase == corev1.PodPending:
		return n.start(ctx, pod)
	case waits(pod):
		return n.bind(ctx, pod)
	}
	return nil
}

// waits tells whether the pod is one that the default scheduler would bind.
func waits(pod *corev1.Pod) bool {
	return pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil &&
		pod.Spec.SchedulerName == corev1.DefaultSchedulerName && len(pod.Spec.SchedulingGates) == 0
}

func (n *node) bind(ctx context.Context, pod *corev1.Pod) error {
	return n.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
	}, metav1.CreateOptions{})
}

// start writes what a kubelet writes when all containers of a pod are up.
func (n *node) start(ctx context.Context, pod *corev1.Pod) error {
	pod = pod.DeepCopy()
	status, now := &pod.Status, metav1.Now()
	status.Phase = corev1.PodRunning
	status.HostIP, status.HostIPs = nodeAddress, []corev1.HostIP{{IP: nodeAddress}}
	status.PodIP = n.address(pod)
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	status.StartTime = &now
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	status.InitContainerStatuses, status.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		s := completed(c, now)
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			s = running(c, now)
		}
		status.InitContainerStatuses = append(status.InitContainerStatuses, s)
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, running(c, now))
	}
	_, err := n.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

func running(c corev1.Container, since metav1.Time) corev1.ContainerStatus {
	started := true
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, Ready: true, Started: &started,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: since}},
	}
}

// completed is the status of an init container that has done its work.
func completed(c corev1.Container, at metav1.Time) corev1.ContainerStatus {
	started := false
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, Ready: true, Started: &started,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: at, FinishedAt: at}},
	}
}

func (n *node) address(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return nodeAddress
	}
	ip := make(net.IP, net.IPv4len)
	binary.BigEndian.PutUint32(ip, n.last.Add(1))
	return ip.String()
}

// remove is what the server waits for after a delete: that the containers are gone.
func (n *node) remove(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	return n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now,
		Preconditions:      &metav1.Preconditions{UID: &pod.UID},
	})
}
