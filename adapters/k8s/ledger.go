package k8s

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/cuegate/cuegate/engine"
)

// Rules of a verdict
//
//	ignored                                         ignored
//	held, a certificate of the mesh is missing      pending
//	held                                            refused, whatever the targets say
//	managed, a target that has the decision
//	  could not take something of the object        failed
//	  serves an older object in its place           conflict
//	managed, some target has not the decision yet   pending
//	managed, all targets have it                    served
//
// The first that fits holds. A target has a decision when it reported a push of its
// generation, or of a later one, that was not ended by an error. What a target said of
// an object before that was about another decision. An object that was served stays so
// while a target is down: what was served there did not change.

// outcome says what became of an object.
type outcome string

const (
	outcomeServed   outcome = "served"
	outcomeRefused  outcome = "refused"
	outcomeConflict outcome = "conflict"
	outcomeFailed   outcome = "failed"
	outcomePending  outcome = "pending"
	outcomeIgnored  outcome = "ignored"
)

// Ids of the reasons that targets, and not the engine, are the cause of.
const (
	idUnreachable = "target-unreachable"
	idNoTarget    = "target-none"
	idPlanHeld    = "plan-held"
	idDefinition  = "definition-failed"
	idCertificate = "certificate-failed"
)

// verdict is what became of an object. Nobody changes the slices.
type verdict struct {
	outcome outcome
	// reasons say why it is not served; none of what is.
	reasons  []engine.Reason
	warnings []engine.Reason
	// bundle is the digest of the bundle that decided.
	bundle string
	// hash is that of the definitions that are served, "sha256:" and 16 hexadecimal
	// digits. What was refused, has failed or is pending has that of what was served
	// last; "" is nothing, or not known.
	hash string
	// wanted is the hash that the object has once all of it is served, and template the
	// template that made it; "" unless managed.
	wanted, template string
	// routes counts the definitions wanted, and served those of them that are served.
	routes, served int
}

// same tells whether there is nothing new for anyone in another verdict. What keeps a
// target from being reached may be worded in another way each time.
func (v verdict) same(w verdict) bool {
	reasons := slices.Equal(v.reasons, w.reasons) ||
		v.outcome == outcomePending && slices.Equal(reasonIDs(v.reasons), reasonIDs(w.reasons))
	return reasons && v.outcome == w.outcome && v.bundle == w.bundle && v.hash == w.hash && v.wanted == w.wanted &&
		v.template == w.template && v.routes == w.routes && v.served == w.served && slices.Equal(v.warnings, w.warnings)
}

// reasonIDs gives each id once, sorted.
func reasonIDs(reasons []engine.Reason) []string {
	var ids []string
	for _, r := range reasons {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// ledger knows what became of each object. It is safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	objects map[engine.Ref]*account
	// waiting are the objects whose verdict is pending.
	waiting set
	// bySecret are the objects whose certificates come from a Secret, "namespace/name".
	bySecret group
	// targets are those that are there now, sorted by name.
	targets []*standing
	// troubled are those of the targets that could not take everything.
	troubled []*standing
	// own are the sidecars of a scope; nil without targets.
	own map[string][]*standing
	// gateways is the generation up to which all targets that are no sidecars have
	// everything, and sidecars that of the sidecars which were reached and still are;
	// none is where there are no such targets.
	gateways, sidecars uint64
	// general is the error of a push that never came to a target.
	general error
}

// account is what the ledger knows of one object.
type account struct {
	generation  uint64
	bundle      string
	template    string
	outcome     engine.Outcome
	reasons     []engine.Reason
	warnings    []engine.Reason
	definitions []fingerprinted
	hash        string // of all definitions
	secrets     []string
	// last is the hash of what was served last; "" is nothing, or not known.
	last    string
	verdict verdict
}

// fingerprinted is as much of a definition as its hash needs.
type fingerprinted struct{ id, hash string }

// standing is how far one target is.
type standing struct {
	name string
	// scopes of a sidecar; nil of other targets.
	scopes []string
	// done is the generation of the last push that came to its end.
	done uint64
	// err ended the push after that, and held is why nothing was pushed.
	err  error
	held string
	// troubles of objects, and of Secrets' certificates, as of done.
	troubles map[engine.Ref][]trouble
	secrets  map[string]engine.Reason
}

// trouble is one thing that a target has not as the object asks for it.
type trouble struct {
	failed bool   // or else an older object is served in its place
	id     string // the definition
	reason engine.Reason
}

func newLedger() *ledger {
	return &ledger{objects: map[engine.Ref]*account{}, waiting: set{}, bySecret: group{}}
}

// decided notes a decision that is part of what is wanted from a generation on, as
// Pusher.Want counts. bundle is the digest of the bundle that decided. It gives the
// object if its verdict changed.
func (l *ledger) decided(generation uint64, bundle string, d engine.Desired) []engine.Ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	ref := d.Object
	a := l.objects[ref]
	if a == nil {
		a = &account{}
		l.objects[ref] = a
	}
	for _, s := range a.secrets {
		l.bySecret.remove(s, ref)
	}
	a.generation, a.bundle, a.outcome, a.reasons, a.warnings = generation, bundle, d.Outcome, d.Reasons, d.Warnings
	a.template, a.definitions, a.secrets = d.Template, nil, nil
	for i := range d.Definitions {
		a.definitions = append(a.definitions, fingerprinted{d.Definitions[i].ID, d.Definitions[i].Hash})
	}
	a.hash = hashOf(a.definitions)
	for i := range d.Certificates {
		a.secrets = append(a.secrets, d.Certificates[i].Secret)
		l.bySecret.add(d.Certificates[i].Secret, ref)
	}
	return l.judge(nil, ref, a)
}

// gone forgets an object.
func (l *ledger) gone(ref engine.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.objects[ref]
	if a == nil {
		return
	}
	for _, s := range a.secrets {
		l.bySecret.remove(s, ref)
	}
	delete(l.objects, ref)
	delete(l.waiting, ref)
}

// verdict gives what became of an object; ok is false as long as nothing was decided
// about it.
func (l *ledger) verdict(ref engine.Ref) (v verdict, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.objects[ref]; a != nil {
		return a.verdict, true
	}
	return verdict{}, false
}

// pushed notes what came of a push to one target. targets are all that there are now; what
// was said by others does not count any more. It gives the objects whose verdict changed.
func (l *ledger) pushed(p Pushed, targets []Target) []engine.Ref {
	l.mu.Lock()
	defer l.mu.Unlock()
	everything := l.present(targets)
	before := l.sidecars
	affected, behind := l.note(p)
	l.sum()
	switch {
	case everything, l.sidecars < before:
		// A sidecar that was not waited for is back, and is behind: what counted as served
		// may not be.
		for ref := range l.objects {
			affected[ref] = struct{}{}
		}
	case behind:
		for ref := range l.waiting {
			affected[ref] = struct{}{}
		}
	}
	var changed []engine.Ref
	for ref := range affected {
		if a := l.objects[ref]; a != nil {
			changed = l.judge(changed, ref, a)
		}
	}
	return changed
}

// present takes over which targets there are, and tells whether they are others.
func (l *ledger) present(now []Target) bool {
	now = slices.SortedFunc(slices.Values(now), func(a, b Target) int { return cmp.Compare(a.Name, b.Name) })
	now = slices.CompactFunc(now, func(a, b Target) bool { return a.Name == b.Name })
	if slices.EqualFunc(l.targets, now, (*standing).is) {
		return false
	}
	before := l.targets
	l.targets, l.own = make([]*standing, 0, len(now)), map[string][]*standing{}
	for _, x := range now {
		t := &standing{name: x.Name}
		if i, ok := find(before, x.Name); ok {
			t = before[i]
		}
		t.scopes = x.Scopes
		l.targets = append(l.targets, t)
		for _, scope := range x.Scopes {
			l.own[scope] = append(l.own[scope], t)
		}
	}
	return true
}

func (t *standing) is(x Target) bool {
	return t.name == x.Name && (t.scopes == nil) == (x.Scopes == nil) && slices.Equal(t.scopes, x.Scopes)
}

func find(targets []*standing, name string) (int, bool) {
	return slices.BinarySearchFunc(targets, name, func(t *standing, name string) int { return cmp.Compare(t.name, name) })
}

// note takes a report over. It gives the objects that it is about, and tells whether
// it is about those that wait too.
func (l *ledger) note(p Pushed) (affected set, waiting bool) {
	affected = set{}
	i, ok := find(l.targets, p.Target)
	if !ok {
		// A target that has left; or none, and this is why.
		if p.Target == "" {
			waiting = (l.general == nil) != (p.Err == nil)
			l.general = p.Err
		}
		return affected, waiting
	}
	t := l.targets[i]
	if errors.Is(p.Err, context.Canceled) {
		return affected, false // it was not to go on, which says nothing of the target
	}
	waiting = (t.err == nil) != (p.Err == nil) || t.held != p.Held
	t.err, t.held = p.Err, p.Held
	if p.Err != nil || p.Held != "" || p.Generation < t.done {
		// Nothing was brought to an end: what is known of the target stays.
		return affected, waiting
	}
	waiting = waiting || p.Generation > t.done
	l.affected(t, affected)
	t.done = p.Generation
	t.troubles, t.secrets = troubles(p)
	l.affected(t, affected)
	return affected, waiting
}

// affected adds the objects that a target has troubles with.
func (l *ledger) affected(t *standing, to set) {
	for ref := range t.troubles {
		to[ref] = struct{}{}
	}
	for secret := range t.secrets {
		for ref := range l.bySecret[secret] {
			to[ref] = struct{}{}
		}
	}
}

// troubles sorts what a target did not take by object and by Secret.
func troubles(p Pushed) (map[engine.Ref][]trouble, map[string]engine.Reason) {
	objects := map[engine.Ref][]trouble{}
	for _, c := range p.Conflicts {
		objects[c.Object] = append(objects[c.Object], trouble{false, c.ID, c.Reason})
	}
	for _, f := range p.Failed {
		msg := fmt.Sprintf("The target %s has not the API %s as it should: %s.", p.Target, f.ID, sentence(f.Err))
		objects[f.Object] = append(objects[f.Object], trouble{true, f.ID, engine.Reason{ID: idDefinition, Msg: msg}})
	}
	secrets := map[string]engine.Reason{}
	for _, c := range p.Certificates {
		if c.Secret != "" {
			msg := fmt.Sprintf("The target %s cannot serve the certificate of the Secret %s: %s.", p.Target, c.Secret, sentence(c.Err))
			secrets[c.Secret] = engine.Reason{ID: idCertificate, Msg: msg}
		}
	}
	return objects, secrets
}

// maxError is how much of an error is told of, in bytes.
const maxError = 512

// sentence gives an error's text to put a full stop behind.
func sentence(err error) string {
	if err == nil {
		return "for a reason that it did not tell"
	}
	return strings.TrimRight(oneLine(err.Error(), maxError), ". \n")
}

// sum brings up to date what is kept of all targets together.
func (l *ledger) sum() {
	l.troubled = l.troubled[:0]
	l.gateways, l.sidecars = none, none
	for _, t := range l.targets {
		switch {
		case t.scopes == nil:
			l.gateways = min(l.gateways, t.done)
		case t.done > 0 && t.err == nil:
			l.sidecars = min(l.sidecars, t.done)
		}
		if len(t.troubles)+len(t.secrets) > 0 {
			l.troubled = append(l.troubled, t)
		}
	}
}

// none is the generation up to which everything is on all of no targets.
const none = math.MaxUint64

// concerns tells whether an object has to wait for a target. An Ingress does for all that
// are no sidecars. A workload does for these and for its own sidecars, and for those of
// others only as long as they can be reached: pods come, go and fail all the time, and
// that is nobody else's matter.
func (l *ledger) concerns(ref engine.Ref, t *standing) bool {
	switch {
	case t.scopes == nil:
		return true
	case !isWorkload(ref.Kind):
		return false
	}
	return slices.Contains(t.scopes, ref.Scope()) || t.done > 0 && t.err == nil
}

// covered tells whether all targets that an object has to wait for have everything up to a
// generation. It gives the same answer as concerns and is faster.
func (l *ledger) covered(ref engine.Ref, generation uint64) bool {
	if !isWorkload(ref.Kind) {
		return l.gateways != none && generation <= l.gateways
	}
	for _, t := range l.own[ref.Scope()] {
		if t.done < generation {
			return false
		}
	}
	return len(l.targets) > 0 && generation <= l.gateways && generation <= l.sidecars
}

// judge finds the verdict about an object, and adds the object to changed if it is
// another than before.
func (l *ledger) judge(changed []engine.Ref, ref engine.Ref, a *account) []engine.Ref {
	v := l.find(ref, a)
	if v.outcome == outcomePending {
		l.waiting[ref] = struct{}{}
	} else {
		delete(l.waiting, ref)
	}
	same := a.verdict.same(v)
	a.verdict = v
	if same {
		return changed
	}
	return append(changed, ref)
}

func (l *ledger) find(ref engine.Ref, a *account) verdict {
	v := verdict{bundle: a.bundle, reasons: a.reasons, warnings: a.warnings}
	switch a.outcome {
	case engine.Managed:
	case engine.Ignored:
		v.outcome = outcomeIgnored
		a.last = ""
		return v
	default:
		v.outcome, v.hash = outcomeRefused, a.last
		if slices.ContainsFunc(a.reasons, func(r engine.Reason) bool { return r.ID == idCertificatePending }) {
			v.outcome = outcomePending // it is nobody's fault
		}
		return v
	}
	v.routes, v.wanted, v.template = len(a.definitions), a.hash, a.template
	conflicts, failures := l.troubles(ref, a)
	switch {
	case len(failures) > 0:
		v.outcome, v.reasons, v.hash = outcomeFailed, failures, a.last
	case len(conflicts.reasons) > 0:
		kept := conflicts.rest(a.definitions)
		a.last, v.served = hashOf(kept), len(kept)
		v.outcome, v.reasons, v.hash = outcomeConflict, conflicts.reasons, a.last
	case !l.covered(ref, a.generation):
		v.outcome, v.reasons, v.hash = outcomePending, l.awaited(ref, a.generation), a.last
	default:
		a.last, v.served = a.hash, v.routes
		v.outcome, v.reasons, v.hash = outcomeServed, nil, a.last
	}
	return v
}

// lost says which definitions are not served because others are.
type lost struct {
	reasons []engine.Reason
	ids     []string
}

// rest gives the definitions that are not lost.
func (x lost) rest(all []fingerprinted) (kept []fingerprinted) {
	for _, d := range all {
		if !slices.Contains(x.ids, d.id) {
			kept = append(kept, d)
		}
	}
	return kept
}

// troubles gathers what the targets that have the present decision said of it.
func (l *ledger) troubles(ref engine.Ref, a *account) (conflicts lost, failures []engine.Reason) {
	for _, t := range l.troubled {
		if t.done < a.generation {
			continue
		}
		for _, x := range t.troubles[ref] {
			if x.failed {
				failures = append(failures, x.reason)
				continue
			}
			conflicts.reasons = append(conflicts.reasons, x.reason)
			conflicts.ids = append(conflicts.ids, x.id)
		}
		for _, s := range a.secrets {
			if r, ok := t.secrets[s]; ok {
				failures = append(failures, r)
			}
		}
	}
	conflicts.reasons = distinct(conflicts.reasons)
	return conflicts, distinct(failures)
}

// distinct gives each reason once, in an order that does not change by chance.
func distinct(reasons []engine.Reason) []engine.Reason {
	slices.SortFunc(reasons, func(a, b engine.Reason) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Msg, b.Msg))
	})
	return slices.Compact(reasons)
}

// awaited says why targets have not what an object wants since a generation; there may be
// nothing to say but that it was only just decided.
func (l *ledger) awaited(ref engine.Ref, generation uint64) []engine.Reason {
	var reasons []engine.Reason
	concerned := false
	for _, t := range l.targets {
		if !l.concerns(ref, t) {
			continue
		}
		concerned = true
		switch {
		case t.done >= generation:
		case t.err != nil:
			reasons = append(reasons, engine.Reason{ID: idUnreachable, Msg: fmt.Sprintf("The target %s could not be brought up to date: %s.", t.name, sentence(t.err))})
		case t.held != "":
			reasons = append(reasons, engine.Reason{ID: idPlanHeld, Msg: fmt.Sprintf("The target %s waits: %s.", t.name, t.held)})
		}
	}
	switch {
	case concerned:
	case l.general != nil:
		reasons = append(reasons, engine.Reason{ID: idUnreachable, Msg: fmt.Sprintf("There is no target to push to: %s.", sentence(l.general))})
	default:
		reasons = append(reasons, engine.Reason{ID: idNoTarget, Msg: "There is no target to push to yet."})
	}
	return reasons
}

// hashOf gives the hash of definitions in whatever order; "" of none.
func hashOf(definitions []fingerprinted) string {
	if len(definitions) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(definitions), func(a, b fingerprinted) int { return cmp.Compare(a.id, b.id) })
	h := sha256.New()
	for _, d := range sorted {
		fmt.Fprintf(h, "%s\x00%s\n", d.id, d.hash)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)[:8])
}
