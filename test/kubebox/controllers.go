package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

const (
	// workers of each controller.
	workers = 5
	// Limits that the controller manager has as defaults.
	burstReplicas     = 500
	endpointsPerSlice = 100
	// failedPodPause and failedPodPauses are between pods of a DaemonSet that failed.
	failedPodPause, failedPodPauses = time.Second, 15 * time.Minute
	// resync is when a missed event would be noticed. None is missed: it only has
	// to be there.
	resync = 12 * time.Hour
	// discoverEvery is how soon objects of a new CustomResourceDefinition are
	// collected; the controller manager takes 30 seconds, longer than most tests.
	discoverEvery = 5 * time.Second
)

// controllers are all made before the informers that they share start, as they say
// while being made what they want to watch.
type controllers struct {
	client   *kubernetes.Clientset
	metadata metadata.Interface
	typed    informers.SharedInformerFactory
	untyped  metadatainformer.SharedInformerFactory
}

// startControllers starts those controllers of the controller manager without which
// objects would just lie there. It needs a server that answers.
func startControllers(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(protobuf(config))
	if err != nil {
		return err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	c := controllers{
		client:   client,
		metadata: meta,
		typed:    informers.NewSharedInformerFactory(client, resync),
		untyped:  metadatainformer.NewSharedInformerFactory(meta, resync),
	}
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), c.typed.Core().V1().ServiceAccounts(),
		c.typed.Core().V1().Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	deployments, err := c.deployments(ctx)
	if err != nil {
		return err
	}
	daemons, err := c.daemonSets(ctx)
	if err != nil {
		return err
	}
	started := make(chan struct{})
	collect, err := c.collector(ctx, started)
	if err != nil {
		return err
	}
	runs := []func(context.Context, int){
		deployments.Run,
		c.replicaSets(ctx).Run,
		c.statefulSets(ctx).Run,
		daemons.Run,
		c.endpointSlices(ctx).Run,
		c.namespaces(ctx).Run,
		accounts.Run,
		collect,
	}
	c.typed.Start(ctx.Done())
	c.untyped.Start(ctx.Done())
	close(started)
	for _, run := range runs {
		go run(ctx, workers)
	}
	return nil
}

func (c controllers) deployments(ctx context.Context) (*deployment.DeploymentController, error) {
	return deployment.NewDeploymentController(ctx, c.typed.Apps().V1().Deployments(), c.typed.Apps().V1().ReplicaSets(), c.typed.Core().V1().Pods(), c.client)
}

func (c controllers) replicaSets(ctx context.Context) *replicaset.ReplicaSetController {
	return replicaset.NewReplicaSetController(ctx, c.typed.Apps().V1().ReplicaSets(), c.typed.Core().V1().Pods(), c.client, burstReplicas)
}

func (c controllers) statefulSets(ctx context.Context) *statefulset.StatefulSetController {
	return statefulset.NewStatefulSetController(ctx, c.typed.Core().V1().Pods(), c.typed.Apps().V1().StatefulSets(),
		c.typed.Core().V1().PersistentVolumeClaims(), c.typed.Apps().V1().ControllerRevisions(), c.client)
}

func (c controllers) daemonSets(ctx context.Context) (*daemon.DaemonSetsController, error) {
	return daemon.NewDaemonSetsController(ctx, c.typed.Apps().V1().DaemonSets(), c.typed.Apps().V1().ControllerRevisions(),
		c.typed.Core().V1().Pods(), c.typed.Core().V1().Nodes(), c.client, flowcontrol.NewBackOff(failedPodPause, failedPodPauses))
}

func (c controllers) endpointSlices(ctx context.Context) *endpointslice.Controller {
	return endpointslice.NewController(ctx, c.typed.Core().V1().Pods(), c.typed.Core().V1().Services(), c.typed.Core().V1().Nodes(),
		c.typed.Discovery().V1().EndpointSlices(), endpointsPerSlice, c.client, 0)
}

// namespaces empties a namespace that is deleted, and lets it go.
func (c controllers) namespaces(ctx context.Context) *namespace.NamespaceController {
	return namespace.NewNamespaceController(ctx, c.client, c.metadata, c.client.Discovery().ServerPreferredNamespacedResources,
		c.typed.Core().V1().Namespaces(), resync, corev1.FinalizerKubernetes)
}

// collector deletes what has lost its owner. It finds out by itself which resources
// there are.
func (c controllers) collector(ctx context.Context, informersStarted <-chan struct{}) (func(context.Context, int), error) {
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	gc, err := garbagecollector.NewGarbageCollector(ctx, c.client, c.metadata, mapper, garbagecollector.DefaultIgnoredResources(),
		informerfactory.NewInformerFactory(c.typed, c.untyped), informersStarted)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, workers int) {
		go gc.Sync(ctx, c.client.Discovery(), discoverEvery)
		gc.Run(ctx, workers, discoverEvery)
	}, nil
}

// awaitServiceAccount returns when pods may be made in the namespace default.
func awaitServiceAccount(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
}
