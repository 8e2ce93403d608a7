package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	recordutil "k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/tools/reference"
)

const (
	// component is who the Events come from.
	component = "cuegate"
	// eventTries is how often the API server is asked to take an Event, with eventPause
	// between, and eventWithin bounds one try.
	eventTries  = 3
	eventPause  = time.Second
	eventWithin = 10 * time.Second
)

// recorder writes Events: it is the correlator of client-go without its broadcaster.
// That drops Events when a thousand come at once, as after the first push to a new
// gateway; here whoever tells waits until the API server has taken one.
type recorder struct {
	ctx        context.Context // ends with stop
	stop       func()
	client     kubernetes.Interface
	correlator *record.EventCorrelator
}

// newRecorder gives what writes Events, until stop is called. Many Events about one
// object are counted together, and more than a few a minute are dropped: an API server
// has better things to do.
func newRecorder(client kubernetes.Interface) (r record.EventRecorder, stop func()) {
	ctx, stop := context.WithCancel(context.Background())
	return &recorder{ctx, stop, client, record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{
		LRUCacheSize: 4096,
		BurstSize:    4 * maxEvents, // for one object; then one a minute
		QPS:          1.0 / 60,
		MaxEvents:    2 * maxEvents, // of one kind about one object in ten minutes
	})}, stop
}

// Event returns when the Event is written, or given up.
func (r *recorder) Event(about runtime.Object, kind, reason, message string) {
	r.AnnotatedEventf(about, nil, kind, reason, "%s", message)
}

// Eventf is Event with a message to format.
func (r *recorder) Eventf(about runtime.Object, kind, reason, format string, args ...any) {
	r.AnnotatedEventf(about, nil, kind, reason, format, args...)
}

// AnnotatedEventf is Eventf, for an Event that carries annotations.
func (r *recorder) AnnotatedEventf(about runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	ref, err := reference.GetReference(scheme.Scheme, about)
	if err == nil {
		err = r.write(ref, annotations, kind, reason, oneLine(fmt.Sprintf(format, args...), maxMessage))
	}
	if err != nil && r.ctx.Err() == nil {
		slog.Warn("an Event could not be written", "reason", reason, "error", err)
	}
}

func (r *recorder) write(about *corev1.ObjectReference, annotations map[string]string, kind, reason, message string) error {
	now := metav1.NewTime(time.Now())
	result, err := r.correlator.EventCorrelate(&corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: about.Namespace, Name: recordutil.GenerateEventName(about.Name, now.UnixNano()), Annotations: annotations,
		},
		InvolvedObject: *about,
		Type:           kind, Reason: reason, Message: message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: component},
		ReportingController: component,
	})
	if err != nil || result.Skip {
		return err
	}
	for try := 1; ; try++ {
		kept, err := r.once(result.Event, result.Patch)
		if err == nil {
			r.correlator.UpdateState(kept)
			return nil
		}
		if try == eventTries || !worthAnother(err) {
			return err
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(eventPause):
		}
	}
}

// once counts an Event on, or creates it when there is none yet, or none any more.
func (r *recorder) once(e *corev1.Event, patch []byte) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(r.ctx, eventWithin)
	defer cancel()
	events := r.client.CoreV1().Events(e.Namespace)
	if e.Count > 1 && len(patch) > 0 {
		kept, err := events.Patch(ctx, e.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			return kept, err
		}
	}
	e.ResourceVersion = ""
	return events.Create(ctx, e, metav1.CreateOptions{})
}

// worthAnother tells whether what failed may go well another time although nothing else
// changed: the API server gave no answer, was busy, or had a newer version.
func worthAnother(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true
	}
	switch code := status.Status().Code; code {
	case 409, 410, 429:
		return !apierrors.IsAlreadyExists(err)
	default:
		return code >= 500 || code == 0
	}
}
