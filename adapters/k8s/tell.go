package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/cuegate/cuegate/engine"
)

const (
	// tellAtOnce is how many Ingresses are written at the same time.
	tellAtOnce = 8
	// A write that fails is tried again after tellSoonest, then after twice that, and
	// so on up to tellLatest.
	tellSoonest, tellLatest = 50 * time.Millisecond, 5 * time.Minute
	// tellWithin bounds one write.
	tellWithin = 30 * time.Second
	// maxEvents of one telling; the last says how many reasons more there are.
	maxEvents = 8
	// maxMessage is how long the message of an Event may be, in bytes.
	maxMessage = 1024
	// An outage is told of when it lasts for hiccup, and then to the authors of
	// outageRate objects a second: it is hardly they who can end it.
	hiccup     = 5 * time.Second
	outageRate = 5
)

// Reasons of Events.
const (
	eventSynced      = "Synced"
	eventRefused     = "Refused"
	eventConflict    = "Conflict"
	eventFailed      = "Failed"
	eventUnreachable = "Unreachable"
	// eventCaution is about what is served, or not, and should be looked after.
	eventCaution = "Caution"
	// eventIgnored is about a workload that asks for a sidecar and gets none, and
	// eventWaiting about one whose certificates are late.
	eventIgnored = "Ignored"
	eventWaiting = "Waiting"
)

// author stands for the object by which its author is told.
type author interface {
	metav1.Object
	runtime.Object
}

// tellerOptions are what a teller needs.
type tellerOptions struct {
	Client kubernetes.Interface
	// Object gives an Ingress, or a workload that speaks of the mesh, as it is now.
	// Nobody changes what it gives.
	Object func(engine.Ref) (author, bool)
	// Recorder takes Events.
	Recorder record.EventRecorder
	// Verdict says what became of an object; ok is false while that is not known yet,
	// and then nothing is told.
	Verdict func(engine.Ref) (v verdict, ok bool)
	// Old tells of a workload whether it was decided so before this controller began to
	// tell.
	Old func(engine.Ref) bool
	// Publish gives the addresses for the status of what is served; none leaves every
	// status as it is.
	Publish func() []networkingv1.IngressLoadBalancerIngress
	// By is who tells, in the annotation: the same for all controllers that take over
	// from each other, and another one for others in the cluster, whose annotations
	// are left alone. It may be "".
	By  string
	Log *slog.Logger
}

// teller tells the authors of objects what became of these: by an annotation, by the
// status and by Events. What an annotation says already was told, by whatever
// controller: a restart with nothing new writes nothing.
//
// Workloads are told of by Events alone: to write their annotations or their status is
// their controllers' business. So who begins to tell does not know what was told: it says
// nothing of those that are well, or ignored, as they were before, and tells once more of
// the others.
type teller struct {
	o     tellerOptions
	queue workqueue.TypedRateLimitingInterface[engine.Ref]
	// An outage is told of when it lasts for hiccup, and then as fast as outages says.
	hiccup  time.Duration
	outages *rate.Limiter

	mu sync.Mutex
	// told is what Events told of, or an annotation before that. It is ahead of what
	// the annotations of Ingresses say that come through a watch.
	told map[engine.Ref]told
}

// told is what the author of an object knows.
type told struct {
	uid types.UID
	// said is the zero value where nothing was.
	said statement
	// reasons and warnings are what Events told of, as keyOf gives it. They are not
	// known of what was told before this term; then the ids in said count.
	known             bool
	reasons, warnings string
	// outage is set when an Event told of one that is not over, and out is when that
	// was first seen.
	outage bool
	out    time.Time
}

// newTeller makes a teller for one term of leadership.
func newTeller(o tellerOptions) *teller {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &teller{
		o:      o,
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[engine.Ref](tellSoonest, tellLatest)),
		hiccup: hiccup, outages: rate.NewLimiter(outageRate, outageRate),
		told: map[engine.Ref]told{},
	}
}

// tell has the authors of objects told, if there is anything new to them. It returns
// at once.
func (t *teller) tell(refs ...engine.Ref) {
	for _, ref := range refs {
		t.queue.Add(ref)
	}
}

// run tells until ctx ends. It is called once.
func (t *teller) run(ctx context.Context) {
	defer context.AfterFunc(ctx, t.queue.ShutDown)()
	if r, ok := t.o.Recorder.(*recorder); ok {
		// An Event in hand must not keep this from ending: another controller may tell.
		defer context.AfterFunc(ctx, r.stop)()
	}
	var workers sync.WaitGroup
	for range tellAtOnce {
		workers.Go(func() {
			for t.next(ctx) {
			}
		})
	}
	workers.Wait()
}

func (t *teller) next(ctx context.Context) bool {
	ref, ended := t.queue.Get()
	if ended {
		return false
	}
	defer t.queue.Done(ref)
	if ctx.Err() != nil {
		return false
	}
	err := t.one(ctx, ref)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		t.queue.Forget(ref)
	case ctx.Err() != nil:
		return false
	case apierrors.IsConflict(err):
		// Most often the copy was old; the next look is at a newer one.
		t.queue.AddRateLimited(ref)
	case !worthAnother(err):
		// Something has to change before: the object, a right, a setting.
		t.o.Log.Warn("the status of an object could not be written", "object", ref.String(), "error", err)
		t.queue.Forget(ref)
		t.queue.AddAfter(ref, tellLatest)
	default:
		t.o.Log.Warn("the status of an object could not be written", "object", ref.String(), "error", err)
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			t.queue.AddAfter(ref, max(time.Duration(seconds)*time.Second, tellSoonest))
		} else {
			t.queue.AddRateLimited(ref)
		}
	}
	return true
}

// one tells the author of one object.
func (t *teller) one(ctx context.Context, ref engine.Ref) error {
	o, there := t.o.Object(ref)
	if !there || o.GetDeletionTimestamp() != nil {
		t.forget(ref)
		return nil
	}
	v, known := t.o.Verdict(ref)
	ing, writable := o.(*networkingv1.Ingress)
	switch {
	case !known && !writable:
		t.forget(ref) // it asks for nothing any more
		return nil
	case !known:
		return nil
	case v.outcome == outcomeIgnored && writable:
		t.forget(ref)
		return t.write(ctx, ing, t.letGo(ing))
	}
	before := t.before(ref, o)
	if v.hash == "" && v.outcome != outcomeServed && v.outcome != outcomeConflict {
		// What was served before this program started is served still.
		v.hash = before.said.Hash
	}
	if v.outcome == outcomePending {
		t.waiting(ref, o, v, before)
		return nil
	}
	if writable {
		if err := t.write(ctx, ing, t.change(ing, v)); err != nil {
			return err
		}
	}
	now := told{uid: o.GetUID(), said: v.statement(t.o.By), known: true, reasons: keyOf(v.reasons), warnings: keyOf(v.warnings)}
	// After the write: one that is tried again must not tell twice.
	if writable || before.known || !t.isNoNews(ref, v) {
		t.news(o, v, before, now)
	}
	t.remember(ref, now)
	return nil
}

// news writes the Events about what the author does not know.
func (t *teller) news(o author, v verdict, before, now told) {
	if !before.said.tells(v) || before.known && before.reasons != now.reasons {
		t.events(o, v)
	}
	if len(v.warnings) > 0 && !before.warned(v, now.warnings) {
		t.o.Recorder.Event(o, corev1.EventTypeWarning, eventCaution, sentences(v.warnings))
	}
}

// isNoNews tells of a workload that nothing is known of whether its author has nothing to
// learn.
func (t *teller) isNoNews(ref engine.Ref, v verdict) bool {
	return (v.outcome == outcomeServed || v.outcome == outcomeIgnored) && t.o.Old(ref)
}

// warned tells whether the author knows the warnings.
func (x told) warned(v verdict, key string) bool {
	if x.known {
		return x.warnings == key
	}
	return slices.Equal(x.said.Warnings, reasonIDs(v.warnings))
}

// keyOf is the same for reasons that say the same.
func keyOf(reasons []engine.Reason) string {
	keys := make([]string, len(reasons))
	for i, r := range reasons {
		keys[i] = fmt.Sprintf("%q %q %q", r.ID, r.Field, r.Msg)
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// before gives what the author knows already.
func (t *teller) before(ref engine.Ref, o author) told {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x, ok := t.told[ref]; ok && x.uid == o.GetUID() {
		return x
	}
	if _, writable := o.(*networkingv1.Ingress); !writable {
		return told{uid: o.GetUID()}
	}
	said, _ := parseStatement(o.GetAnnotations()[engine.StatusAnnotation], t.o.By)
	return told{uid: o.GetUID(), said: said}
}

func (t *teller) remember(ref engine.Ref, x told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told[ref] = x
}

func (t *teller) forget(ref engine.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.told, ref)
}

// waiting tells of an object that is not served yet, if a target in trouble is why, or a
// certificate that is late, and what waits is not what is served already. Once for an
// outage is enough, and not before that has lasted for a while; nothing is written,
// because nothing came of the object yet.
func (t *teller) waiting(ref engine.Ref, o author, v verdict, before told) {
	defer func() { t.remember(ref, before) }()
	reason := ""
	for _, r := range v.reasons {
		switch r.ID {
		case idUnreachable:
			reason = eventUnreachable
		case idCertificatePending:
			reason = eventWaiting
		}
	}
	if reason == "" {
		before.outage, before.out = false, time.Time{}
		return
	}
	if v.wanted != "" && v.hash == v.wanted || before.outage {
		return
	}
	if before.out.IsZero() {
		before.out = time.Now()
	}
	if rest := t.hiccup - time.Since(before.out); rest > 0 {
		t.queue.AddAfter(ref, rest)
		return
	}
	if !t.outages.Allow() {
		t.queue.AddAfter(ref, time.Second+rand.N(hiccup))
		return
	}
	t.o.Recorder.Event(o, corev1.EventTypeWarning, reason, sentences(v.reasons))
	before.outage = true
}

// change gives what an Ingress lacks.
func (t *teller) change(ing *networkingv1.Ingress, v verdict) change {
	var c change
	if text := v.statement(t.o.By).text(); text != ing.Annotations[engine.StatusAnnotation] {
		c.annotation, c.setAnnotation = text, true
	}
	ours, has := t.o.Publish(), ing.Status.LoadBalancer.Ingress
	switch {
	case len(ours) == 0:
	case v.hash == "":
		c.take(has, ours)
	case !sameAddresses(has, ours):
		c.addresses, c.setAddresses = ours, true
	}
	return c
}

// letGo gives what is to be taken back from an Ingress that is not ours, or not any
// more. What does not carry our annotation was never ours.
func (t *teller) letGo(ing *networkingv1.Ingress) change {
	var c change
	if _, ours := parseStatement(ing.Annotations[engine.StatusAnnotation], t.o.By); ours {
		c.setAnnotation = true
		c.take(ing.Status.LoadBalancer.Ingress, t.o.Publish())
	}
	return c
}

// take takes our addresses back, and nobody else's.
func (c *change) take(has, ours []networkingv1.IngressLoadBalancerIngress) {
	if rest := without(has, ours); len(rest) != len(has) {
		c.addresses, c.setAddresses = rest, true
	}
}

func (t *teller) write(ctx context.Context, ing *networkingv1.Ingress, c change) error {
	if c.empty() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	return patchStatus(ctx, t.o.Client, ing, c)
}

// events writes the Events about a verdict: one for each reason, so that each can be
// read, and counted, by itself.
func (t *teller) events(o author, v verdict) {
	var reason string
	switch v.outcome {
	case outcomeServed:
		t.o.Recorder.Event(o, corev1.EventTypeNormal, eventSynced, v.success())
		return
	case outcomeRefused:
		reason = eventRefused
	case outcomeConflict:
		reason = eventConflict
	case outcomeFailed:
		reason = eventFailed
	case outcomeIgnored:
		reason = eventIgnored
	}
	for i := range v.reasons {
		if rest := len(v.reasons) - i; i == maxEvents-1 && rest > 1 {
			t.o.Recorder.Event(o, corev1.EventTypeWarning, reason, fmt.Sprintf("There are %d more reasons.", rest))
			return
		}
		t.o.Recorder.Event(o, corev1.EventTypeWarning, reason, sentences(v.reasons[i:i+1]))
	}
}

// success says that an object is served.
func (v verdict) success() string {
	if v.routes == 1 {
		return "The route is served."
	}
	return fmt.Sprintf("All %d routes are served.", v.routes)
}

// sentences writes reasons for people, within the bounds of a message.
func sentences(reasons []engine.Reason) string {
	var texts []string
	for _, r := range reasons {
		text := r.ID + ": " + r.Msg
		if r.Fix != "" {
			text += " " + r.Fix
		}
		texts = append(texts, text)
	}
	return oneLine(strings.Join(texts, " "), maxMessage)
}

// oneLine gives a text as valid UTF-8 without line breaks, of at most limit bytes.
func oneLine(text string, limit int) string {
	text = strings.ToValidUTF8(strings.Join(strings.FieldsFunc(text, unicode.IsControl), " "), "?")
	if len(text) <= limit {
		return text
	}
	const more = "..."
	end := limit - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// statement is what stands in the annotation engine.StatusAnnotation.
type statement struct {
	Outcome outcome `json:"outcome"`
	Bundle  string  `json:"bundle"`
	// Hash is that of what is served; "" when nothing is.
	Hash string `json:"hash,omitempty"`
	// Reasons and Warnings are ids, sorted, each once.
	Reasons  []string `json:"reasons,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	// By is who says it; several controllers may share a cluster.
	By string `json:"by,omitempty"`
}

func (v verdict) statement(by string) statement {
	return statement{Outcome: v.outcome, Bundle: v.bundle, Hash: v.hash, Reasons: reasonIDs(v.reasons), Warnings: reasonIDs(v.warnings), By: by}
}

func (s statement) text() string {
	data, err := json.Marshal(s)
	if err != nil {
		return "" // not reached: strings are all there is
	}
	return string(data)
}

// parseStatement reads an annotation. One that is none, or another controller's, gives
// the zero value, and is not ours.
func parseStatement(text, by string) (s statement, ours bool) {
	if json.Unmarshal([]byte(text), &s) != nil || s.By != by {
		return statement{}, false
	}
	return s, true
}

// tells tells whether the author knows what Events about the verdict would say. By what
// bundle an object was decided changes nothing for it.
func (s statement) tells(v verdict) bool {
	return s.Outcome == v.outcome && s.Hash == v.hash && slices.Equal(s.Reasons, reasonIDs(v.reasons))
}

// sameForUs tells whether nothing changed between two versions of an Ingress that
// anyone decides by: the status and our own annotation, which we write ourselves, are
// no reason to look at it again.
func sameForUs(old, new *networkingv1.Ingress) bool {
	return old.UID == new.UID &&
		old.DeletionTimestamp.Equal(new.DeletionTimestamp) &&
		maps.Equal(old.Labels, new.Labels) &&
		sameAnnotations(old.Annotations, new.Annotations) &&
		equality.Semantic.DeepEqual(old.Spec, new.Spec)
}

// sameAnnotations compares all annotations but ours.
func sameAnnotations(a, b map[string]string) bool {
	count := func(m map[string]string) int {
		if _, ours := m[engine.StatusAnnotation]; ours {
			return len(m) - 1
		}
		return len(m)
	}
	if count(a) != count(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; k != engine.StatusAnnotation && (!ok || w != v) {
			return false
		}
	}
	return true
}
