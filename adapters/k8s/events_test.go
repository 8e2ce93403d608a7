package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

// TestRecorderDropsNothing writes more than client-go's broadcaster holds, to an API
// server that needs a while for each.
func TestRecorderDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var written atomic.Int64
		client.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
			time.Sleep(time.Millisecond)
			written.Add(1)
			return true, a.(clienttesting.CreateAction).GetObject(), nil
		})
		r, stop := newRecorder(client)
		defer stop()
		for i := range 3000 {
			r.Event(newIngress(fmt.Sprint("i", i)), corev1.EventTypeNormal, eventSynced, "All is well.")
		}
		if written.Load() != 3000 {
			t.Errorf("%d of 3000 Events are written", written.Load())
		}
	})
}

func TestRecorderTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		tries int64
	}{
		"busy":      {apierrors.NewTooManyRequests("", 0), eventTries},
		"no answer": {errors.New("connection refused"), eventTries},
		"forbidden": {apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("no")), 1},
		"there":     {apierrors.NewAlreadyExists(schema.GroupResource{Resource: "events"}, ""), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := fake.NewClientset()
			var tries atomic.Int64
			client.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
				tries.Add(1)
				return true, nil, c.err
			})
			r, stop := newRecorder(client)
			defer stop()
			r.Event(newIngress("a"), corev1.EventTypeNormal, eventSynced, "All is well.")
			if tries.Load() != c.tries {
				t.Errorf("%s: %d tries", name, tries.Load())
			}
		})
	}
}

// TestTellerEndsWithAnEventInHand would wait for the next try.
func TestTellerEndsWithAnEventInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newIngress("a"))
		tried := make(chan struct{}, eventTries)
		d.client.PrependReactor("create", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
			tried <- struct{}{}
			return true, nil, errors.New("connection refused")
		})
		d.teller.o.Recorder, _ = newRecorder(d.client)
		d.verdicts[shopRef("a")] = servedVerdict("h")
		d.teller.tell(shopRef("a"))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-tried; cancel() }()
		begun := time.Now()
		d.teller.run(ctx)
		if took := time.Since(begun); took >= eventPause {
			t.Errorf("it ends after %s", took)
		}
	})
}

func TestRecorderCounts(t *testing.T) {
	client := fake.NewClientset()
	r, stop := newRecorder(client)
	defer stop()
	for range 4 * maxEvents * 2 {
		r.Event(newIngress("a"), corev1.EventTypeWarning, eventFailed, strings.Repeat("x", 2*maxMessage))
	}
	list, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d Events, %v", len(list.Items), err)
	}
	if e := list.Items[0]; e.Count != 4*maxEvents || len(e.Message) > maxMessage || e.InvolvedObject.UID != "u1" {
		t.Errorf("it counts %d, and has %d bytes", e.Count, len(e.Message))
	}
}

// TestOutageIsToldSlowly waits with 300 objects for a gateway that is down.
func TestOutageIsToldSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []*networkingv1.Ingress
		for i := range 300 {
			all = append(all, newIngress(fmt.Sprint("i", i)))
		}
		d := newDesk(t, all...)
		d.teller.hiccup = hiccup
		set := func(v verdict) {
			d.mu.Lock()
			for _, ing := range all {
				d.verdicts[shopRef(ing.Name)] = v
			}
			d.mu.Unlock()
			for _, ing := range all {
				d.teller.tell(shopRef(ing.Name))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.teller.run(ctx); close(done) }()
		set(pendingVerdict("", "h", idUnreachable))
		time.Sleep(hiccup - time.Second)
		if events := d.drain(); len(events) != 0 {
			t.Errorf("%d Events before the outage is one", len(events))
		}
		time.Sleep(11 * time.Second)
		if n := len(d.drain()); n < outageRate || n > 11*outageRate+outageRate {
			t.Errorf("%d Events in ten seconds", n)
		}
		set(servedVerdict("h"))
		var synced, others int
		for range 20 {
			time.Sleep(time.Second)
			for _, e := range d.drain() {
				if strings.HasPrefix(e, "Normal Synced") {
					synced++
				} else {
					others++
				}
			}
		}
		if synced != 300 || others != 0 {
			t.Errorf("after it %d Events that all is well, and %d others", synced, others)
		}
		cancel()
		<-done
	})
}

func TestReasonsOfOneIDAreToldApart(t *testing.T) {
	a := shopRef("a")
	d := newDesk(t, newIngress("a"))
	at := func(field string) verdict {
		return verdict{outcome: outcomeRefused, reasons: []engine.Reason{{ID: "service-unknown", Msg: "There is no Service.", Field: field}}}
	}
	if _, events := d.say(a, at("spec.rules[0]")); len(events) != 1 {
		t.Errorf("Events %q", events)
	}
	if writes, events := d.say(a, at("spec.rules[1]")); writes != 0 || len(events) != 1 {
		t.Errorf("of another field: %d writes, Events %q", writes, events)
	}
	if _, events := d.say(a, at("spec.rules[1]")); len(events) != 0 {
		t.Errorf("of the same one: Events %q", events)
	}
}

func TestCautions(t *testing.T) {
	a := shopRef("a")
	d := newDesk(t, newIngress("a"))
	with := func(msg string) verdict {
		v := servedVerdict("h")
		v.warnings = []engine.Reason{{ID: "certificate-missing", Msg: msg}}
		return v
	}
	for _, step := range []struct {
		verdict verdict
		writes  int
		events  string
	}{
		{servedVerdict("h"), 1, "Normal Synced The route is served."},
		{with("One."), 1, "Warning Caution certificate-missing: One."},
		{with("One."), 0, ""},
		{with("Two."), 0, "Warning Caution certificate-missing: Two."},
	} {
		writes, events := d.say(a, step.verdict)
		if writes != step.writes || strings.Join(events, "|") != step.events {
			t.Errorf("%d writes, Events %q, want %q", writes, events, step.events)
		}
	}
	d.restart()
	if writes, events := d.say(a, with("Two.")); writes != 0 || len(events) != 0 {
		t.Errorf("after a restart: %d writes, Events %q", writes, events)
	}
	if writes, events := d.say(a, servedVerdict("h")); writes != 1 || len(events) != 0 {
		t.Errorf("without it: %d writes, Events %q", writes, events)
	}
}

func TestAnnotationsOfOtherControllersStay(t *testing.T) {
	a := shopRef("a")
	for by, writes := range map[string]int{"": 0, "b": 0, "a": 1} {
		ing := newIngress("a")
		ing.Annotations[engine.StatusAnnotation] = statement{Outcome: outcomeServed, By: by}.text()
		d := newDesk(t, ing)
		d.teller.o.By = "a"
		if got, _ := d.say(a, verdict{outcome: outcomeIgnored}); got != writes {
			t.Errorf("by %q: %d writes", by, got)
		}
	}
}

func TestForbiddenIsNotTriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, newIngress("a"))
		var tries atomic.Int64
		d.client.PrependReactor("patch", "ingresses", func(clienttesting.Action) (bool, runtime.Object, error) {
			tries.Add(1)
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "ingresses"}, "a", errors.New("no"))
		})
		d.teller.o.Log = slog.New(slog.DiscardHandler)
		d.verdicts[shopRef("a")] = servedVerdict("h")
		d.teller.tell(shopRef("a"))
		ctx, cancel := context.WithTimeout(t.Context(), tellLatest+time.Second)
		defer cancel()
		d.teller.run(ctx)
		if tries.Load() != 2 {
			t.Errorf("%d tries", tries.Load())
		}
	})
}
