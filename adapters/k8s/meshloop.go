package k8s

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/tidwall/gjson"
	corev1 "k8s.io/api/core/v1"

	"github.com/cuegate/cuegate/engine"
)

// Rules of workloads
//
// One that does not ask for a sidecar is as good as none: nothing of it is kept but
// whether its pods have one still. All others are decided as Ingresses are. What one was
// given stays while it is held, the certificates too that it needs for that.

const (
	idNotAsked           = "not-asked"
	idCertificatePending = "mesh-certificate-pending"
)

// meshOwner says whom a certificate of the mesh is for: "Kind/namespace/name" of a
// server, "namespace/group" of a client.
type meshOwner struct{ role, of string }

// ownerOfCertificate gives the zero value for a Secret that is none of the mesh.
func ownerOfCertificate(x any) meshOwner {
	s, ok := x.(*corev1.Secret)
	if !ok || s.Labels[meshLabel] != roleServer && s.Labels[meshLabel] != roleClient {
		return meshOwner{}
	}
	return meshOwner{s.Labels[meshLabel], s.Annotations[meshForKey]}
}

// takeWorkload takes a workload over. The caller holds the lock.
func (l *loop) takeWorkload(ref engine.Ref, mark func(engine.Ref)) {
	if _, speaks := l.watch.workload(ref); !speaks {
		l.forget(ref)
		return
	}
	l.index.workload(ref)
	mark(ref)
}

// takeCertificate takes a certificate of the mesh over. The caller holds the lock.
func (l *loop) takeCertificate(ref engine.Ref, mark func(engine.Ref)) {
	name := ref.Namespace + "/" + ref.Name
	x, _ := l.watch.get(ref)
	before, now := l.certificates[name], ownerOfCertificate(x)
	if now == (meshOwner{}) {
		delete(l.certificates, name)
		l.neighbours.Delete(head(secretRef(name)))
	} else {
		l.certificates[name] = now
		l.put(x)
	}
	l.index.dependents(secretRef(name), mark) // an Ingress may name it too
	for _, o := range []meshOwner{before, now} {
		l.index.certified(o, mark)
	}
}

// isCertificate tells whether a Secret is one of the mesh, which is watched with what it
// holds.
func (l *loop) isCertificate(name string) bool {
	_, is := l.certificates[name]
	return is
}

// noteWorkload keeps a decision about a workload; false for one that asked for nothing.
// The caller holds the lock.
func (l *loop) noteWorkload(ref engine.Ref, now *decision) bool {
	before, known := l.desired[ref]
	if now.Outcome == engine.Ignored && len(now.Reasons) > 0 && now.Reasons[0].ID == idNotAsked {
		l.unasked[ref] = now.Patch != nil
		l.index.learn(ref, nil, nil)
		delete(l.index.far, ref)
		if known {
			delete(l.desired, ref)
			l.gone(ref)
		}
		return false
	}
	delete(l.unasked, ref)
	if now.identities = now.Identities; now.Outcome == engine.Held && now.identities == nil {
		now.identities = before.identities
	}
	var groups, services []string
	for _, i := range now.identities {
		if i.Role == roleClient {
			groups = append(groups, i.For)
		}
	}
	if name := serviceName(now.Desired); name != "" {
		services = []string{ref.Namespace + "/" + name}
	}
	l.index.learn(ref, groups, services)
	return true
}

// serviceName is the name of the Service of a workload, or "".
func serviceName(d engine.Desired) string { return gjson.GetBytes(d.Service, "metadata.name").String() }

// isFarWorkload is isFar for workloads: a way in leads to the pod itself, and a way from
// the mesh to the workload's own Service.
func isFarWorkload(d engine.Desired) bool {
	for _, r := range d.Reasons {
		if d.Outcome == engine.Held && r.ID != idCertificatePending {
			return true
		}
	}
	own := serviceName(d) + "." + d.Object.Namespace
	for _, def := range d.Definitions {
		if host := hostOf(gjson.GetBytes(def.JSON, "proxy.target_url").String()); host != "127.0.0.1" && host != own {
			return true
		}
	}
	return false
}

// standing gives what was decided about a workload; known is false as long as that may
// still come. One that asks for nothing, or is gone, is ignored.
func (l *loop) standing(ref engine.Ref) (d engine.Desired, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.started {
		return engine.Desired{}, false
	}
	if now, ok := l.desired[ref]; ok {
		return now.Desired, true
	}
	d = engine.Desired{Object: ref, Outcome: engine.Ignored}
	if _, no := l.unasked[ref]; no {
		return d, true
	}
	_, speaks := l.watch.workload(ref)
	return d, !speaks
}

// since tells when it was decided about an object as it is decided now: the zero time
// where that was so when this program started.
func (l *loop) since(ref engine.Ref) (at time.Time, known bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d, known := l.desired[ref]
	return d.since, known
}

// needs gives the certificates that workloads need, and the namespaces whose pods have
// sidecars, or may have: each once, and in order. The caller holds the lock for reading.
func (l *loop) needs() (identities []engine.Identity, namespaces []string) {
	byOwner, homes := map[meshOwner]engine.Identity{}, map[string]bool{}
	for ref, d := range l.desired {
		if !isWorkload(ref.Kind) {
			continue
		}
		if d.Outcome != engine.Ignored || d.Patch != nil {
			homes[ref.Namespace] = true
		}
		for _, i := range d.identities {
			o := meshOwner{i.Role, i.For}
			i.Names = slices.Concat(byOwner[o].Names, i.Names)
			byOwner[o] = i
		}
	}
	for ref, injected := range l.unasked {
		if injected {
			homes[ref.Namespace] = true
		}
	}
	for _, i := range byOwner {
		identities = append(identities, i)
	}
	slices.SortFunc(identities, func(a, b engine.Identity) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.For, b.For))
	})
	return identities, slices.Sorted(maps.Keys(homes))
}

// managed visits the workloads that are managed.
func (l *loop) managed(visit func(engine.Desired, workload)) {
	var all []engine.Desired
	l.mu.RLock()
	for ref, d := range l.desired {
		if d.Outcome == engine.Managed && isWorkload(ref.Kind) {
			all = append(all, d.Desired)
		}
	}
	l.mu.RUnlock()
	for _, d := range all {
		if w, there := l.watch.workload(d.Object); there {
			visit(d, w)
		}
	}
}
