package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

// Rules of the Service of a workload
//
//	managed          there is one, with the selector, ports, label and owner that it
//	                 shall have; everything else of it is its editors' business
//	held             what is there stays
//	asks for nothing those of it are deleted
//	being deleted    they go with it
//
// One without our label, or of another workload that is there, is not touched: the author
// is told.

const (
	serviceLabel = "service" // value of meshLabel

	// servicesAtOnce is how many are written at the same time.
	servicesAtOnce = 4
	// A write that fails is tried again after serviceSoonest, then after twice that, and
	// so on up to serviceLatest; serviceWithin bounds one.
	serviceSoonest, serviceLatest = 50 * time.Millisecond, 5 * time.Minute
	serviceWithin                 = 30 * time.Second

	idServiceForeign = "mesh-service-foreign"
)

// errUndecided means that another workload has to be decided about first.
var errUndecided = errors.New("the workload that the Service is of is not decided about yet")

// servicesOptions are what services needs.
type servicesOptions struct {
	Client kubernetes.Interface
	Watch  *watch
	// Standing gives what was decided about a workload; known is false as long as that
	// may still come.
	Standing func(engine.Ref) (d engine.Desired, known bool)
	// Recorder takes Events.
	Recorder record.EventRecorder
	Log      *slog.Logger
}

// services keeps the Services of workloads in step, for one term of leadership.
type services struct {
	o     servicesOptions
	queue workqueue.TypedRateLimitingInterface[engine.Ref]

	mu sync.Mutex
	// foreign says what the author of a workload was told of a Service in its way.
	foreign map[engine.Ref]string
}

func newServices(o servicesOptions) *services {
	return &services{
		o:       o,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[engine.Ref](serviceSoonest, serviceLatest)),
		foreign: map[engine.Ref]string{},
	}
}

// look has the Service of a workload looked at. It returns at once.
func (s *services) look(ref engine.Ref) { s.queue.Add(ref) }

// lookAll has the Services of all workloads looked at, of those too that ask for nothing
// any more, or are gone.
func (s *services) lookAll() {
	s.o.Watch.eachWorkload(func(ref engine.Ref, _ workload) { s.look(ref) })
	for _, ref := range s.o.Watch.owners() {
		s.look(ref)
	}
}

// run keeps them in step until ctx ends. It is called once.
func (s *services) run(ctx context.Context) {
	defer context.AfterFunc(ctx, s.queue.ShutDown)()
	s.lookAll()
	var workers sync.WaitGroup
	for range servicesAtOnce {
		workers.Go(func() {
			for s.next(ctx) {
			}
		})
	}
	workers.Wait()
}

func (s *services) next(ctx context.Context) bool {
	ref, ended := s.queue.Get()
	if ended {
		return false
	}
	defer s.queue.Done(ref)
	if ctx.Err() != nil {
		return false
	}
	within, cancel := context.WithTimeout(ctx, serviceWithin)
	defer cancel()
	err := s.one(within, ref)
	switch {
	case err == nil:
		s.queue.Forget(ref)
	case ctx.Err() != nil:
		return false
	case errors.Is(err, errUndecided), isLate(err):
		// What is known of it is old, or about to change.
		s.queue.AddRateLimited(ref)
	case !worthAnother(err):
		s.o.Log.Warn("the Service of a workload could not be written", "object", ref.String(), "error", err)
		s.queue.Forget(ref)
		s.queue.AddAfter(ref, serviceLatest)
	default:
		s.o.Log.Warn("the Service of a workload could not be written", "object", ref.String(), "error", err)
		s.queue.AddRateLimited(ref)
	}
	return true
}

// one brings the Service of one workload to what it shall be.
func (s *services) one(ctx context.Context, ref engine.Ref) error {
	d, known := s.o.Standing(ref)
	if !known || d.Outcome == engine.Held {
		return nil
	}
	w, there := s.o.Watch.workload(ref)
	if there && w.meta.DeletionTimestamp != nil {
		return nil
	}
	var want *corev1.Service
	if d.Outcome == engine.Managed && d.Service != nil {
		if want = new(corev1.Service); json.Unmarshal(d.Service, want) != nil {
			return fmt.Errorf("what is wanted of %s is no Service", ref)
		}
		if owner := metav1.GetControllerOf(want); !there || owner == nil || owner.UID != w.meta.UID {
			return nil // another decision is about to come
		}
	}
	for _, have := range s.o.Watch.services(ref) {
		if want == nil || have.Name != want.Name {
			if err := s.delete(ctx, ref, have); err != nil {
				return err
			}
		}
	}
	if want == nil {
		s.inTheWay(ref, w, "")
		return nil
	}
	return s.bring(ctx, ref, w, want)
}

func (s *services) delete(ctx context.Context, ref engine.Ref, have *corev1.Service) error {
	if have.DeletionTimestamp != nil {
		return nil
	}
	err := s.o.Client.CoreV1().Services(have.Namespace).Delete(ctx, have.Name, only(have))
	if err == nil {
		s.o.Log.Info("the Service of a workload was deleted", "object", ref.String(), "service", have.Name)
	}
	return ignoreNotFound(err)
}

// bring creates a Service, or changes what differs.
func (s *services) bring(ctx context.Context, ref engine.Ref, w workload, want *corev1.Service) error {
	api := s.o.Client.CoreV1().Services(want.Namespace)
	x, _ := s.o.Watch.get(engine.Ref{Kind: kindService, Namespace: want.Namespace, Name: want.Name})
	have, there := x.(*corev1.Service)
	if !there {
		_, err := api.Create(ctx, want, createOptions)
		if err == nil {
			s.inTheWay(ref, w, "")
			s.o.Log.Info("the Service of a workload was created", "object", ref.String(), "service", want.Name)
		}
		return err
	}
	whose, err := s.whose(ref, have)
	if s.inTheWay(ref, w, whose); err != nil || whose != "" || have.DeletionTimestamp != nil {
		return err // when it goes, this is looked at again
	}
	patch, err := servicePatch(have, want)
	if err != nil || patch == nil {
		return err
	}
	_, err = api.Patch(ctx, have.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	if err == nil {
		s.o.Log.Info("the Service of a workload was changed", "object", ref.String(), "service", want.Name)
	}
	return err
}

// whose says why a Service must not be touched; "" where it is the workload's, or
// nobody's.
func (s *services) whose(ref engine.Ref, have *corev1.Service) (string, error) {
	if have.Labels[meshLabel] != serviceLabel {
		return "is not of the mesh of Cuegate", nil
	}
	controller := metav1.GetControllerOf(have)
	if controller == nil {
		return "", nil // it was left behind
	}
	owner, is := ownerOf(have.Namespace, *controller)
	if !is {
		return fmt.Sprintf("is of the %s %s", controller.Kind, controller.Name), nil
	}
	if owner == ref {
		return "", nil
	}
	d, known := s.o.Standing(owner)
	switch {
	case !known:
		return "", errUndecided
	case d.Outcome == engine.Ignored:
		return "", nil
	}
	return "is that of " + owner.String(), nil
}

// inTheWay tells the author of a workload that a Service is in its way, if that is new;
// "" is that none is.
func (s *services) inTheWay(ref engine.Ref, w workload, whose string) {
	s.mu.Lock()
	before := s.foreign[ref]
	if delete(s.foreign, ref); whose != "" {
		s.foreign[ref] = whose
	}
	s.mu.Unlock()
	if whose == "" || whose == before {
		return
	}
	d, _ := s.o.Standing(ref)
	r := engine.Reason{
		ID:  idServiceForeign,
		Msg: fmt.Sprintf("There is a Service %s already, which %s: it is not touched, and other sidecars do not find the workload.", serviceName(d), whose),
		Fix: "Give one of them another name.",
	}
	s.o.Log.Warn("a Service is in the way of a workload", "object", ref.String(), "service", serviceName(d), "reason", r.ID)
	s.o.Recorder.Event(w.author, corev1.EventTypeWarning, eventFailed, sentences([]engine.Reason{r}))
}
