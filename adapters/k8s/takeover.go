package k8s

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/cuegate/cuegate/engine"
)

// takeAtOnce is how many changes are taken over before whoever decides meanwhile, such
// as an admission, has its turn.
const takeAtOnce = 64

// takeOver brings the view of the cluster up to date, and gives the objects to decide
// about. Those that are gone are forgotten.
func (l *loop) takeOver(refs []engine.Ref) set {
	todo := set{}
	mark := func(ref engine.Ref) { todo[ref] = struct{}{} }
	for part := range slices.Chunk(refs, takeAtOnce) {
		l.mu.Lock()
		for _, ref := range part {
			l.take(ref, mark)
		}
		l.mu.Unlock()
	}
	l.viewed.Store(true)
	for ref := range todo {
		if _, there := l.index.links[ref]; !there {
			delete(todo, ref)
		}
	}
	return todo
}

// take takes one change over, and marks what it matters to. The caller holds the lock.
func (l *loop) take(ref engine.Ref, mark func(engine.Ref)) {
	switch ref.Kind {
	case kindIngress:
		l.index.rivals(ref, mark)
		l.takeIngress(ref, mark)
		l.index.rivals(ref, mark)
	case kindDeployment, kindStatefulSet, kindDaemonSet:
		l.takeWorkload(ref, mark)
	case kindMeshSecret:
		l.takeCertificate(ref, mark)
	case kindSecret:
		l.secrets.changed(l, ref)
		l.index.dependents(ref, mark)
	default:
		l.takeNeighbour(ref)
		l.index.dependents(ref, mark)
	}
}

func (l *loop) takeIngress(ref engine.Ref, mark func(engine.Ref)) {
	x, there := l.watch.get(ref)
	ing, _ := x.(*networkingv1.Ingress)
	if !there || ing == nil {
		l.neighbours.Delete(head(ref))
		l.forget(ref)
		return
	}
	l.put(ing)
	l.index.put(ref, ing)
	mark(ref)
}

// forget forgets an object that is gone. The caller holds the lock.
func (l *loop) forget(ref engine.Ref) {
	l.index.remove(ref)
	delete(l.unasked, ref)
	if _, was := l.desired[ref]; was {
		delete(l.desired, ref)
		l.gone(ref)
	}
}

func (l *loop) takeNeighbour(ref engine.Ref) {
	if x, there := l.watch.get(ref); there {
		l.put(x)
		return
	}
	l.neighbours.Delete(head(ref))
}

// put takes an object over. One that cannot be read is as good as absent; decisions
// that need it say so.
func (l *loop) put(x any) {
	o, err := object(x)
	if err != nil {
		l.log.Error("an object cannot be written as JSON", "error", err)
		return
	}
	if r := l.neighbours.Put(o); r != nil {
		l.log.Warn(r.Reason.Msg, "object", o.Ref.String(), "reason", r.Reason.ID)
	}
}

// head is enough of an object to find it by.
func head(ref engine.Ref) engine.Object {
	version := "v1"
	if ref.Kind == kindIngress || ref.Kind == kindIngressClass {
		version = networkingv1.SchemeGroupVersion.String()
	}
	return engine.Object{Ref: ref, APIVersion: version}
}
