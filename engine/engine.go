package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
	"github.com/cuegate/cuegate/engine/internal/policy"
)

// Config is what the engine must know besides the bundle. Two engines of one
// config and one bundle answer the same, byte for byte.
type Config struct {
	// ClusterID tells the definitions of one cluster from those of another on the
	// same gateway.
	ClusterID string
	// OrgID is the organisation that owns the definitions.
	OrgID string
	// PlainPaths writes the paths of exact hosts as they are. It is right for
	// gateways that run strict routes (http_server_options.enable_strict_routes),
	// and refuses wildcard hosts.
	PlainPaths bool
	// MeshNamespace is where the certificates of the mesh are; see Identity. Others are
	// not looked at.
	MeshNamespace string
}

// Engine decides about objects. It is safe for concurrent use.
type Engine struct {
	bundle *Bundle
	config Config
	mode   listenpath.Mode
}

// New returns an engine for a bundle.
func New(b *Bundle, c Config) *Engine {
	e := &Engine{bundle: b, config: c, mode: listenpath.Templated}
	if c.PlainPaths {
		e.mode = listenpath.Plain
	}
	return e
}

// Outcome says what became of an object.
type Outcome string

// The outcomes.
const (
	// Managed: the definitions are to be served.
	Managed Outcome = "managed"
	// Ignored: the object is not ours, or asks for nothing. Nothing is served for it.
	Ignored Outcome = "ignored"
	// Held: the object was refused, or could not be decided. What is served for it
	// stays as it is.
	Held Outcome = "refused"
)

// Desired is everything that one object asks for.
type Desired struct {
	Object  Ref
	Outcome Outcome
	// Template is the name of the template; "" unless managed.
	Template string
	// Created is the object's creation time in RFC 3339, UTC, or "".
	Created string
	// Definitions are in the order of the object's rules; none unless managed.
	Definitions []Definition
	// Patch is what brings a workload, or a Service, to what is decided, a JSON Patch (RFC 6902); nil
	// where it is as it should be, and when it was refused. The workload with the patch
	// applied gives none.
	Patch []byte
	// Service is the Service by which sidecars find a workload; nil unless managed.
	Service []byte
	// Identities are the certificates of the mesh that it needs. While one is missing
	// the object is held, without an error: it is nobody's fault.
	Identities []Identity
	// Certificates that the definitions name and that come from Secrets, by ID.
	Certificates []Certificate
	// Reasons say why the object is ignored or held.
	Reasons []Reason
	// Warnings do not keep the object from being served.
	Warnings []Reason
}

// Definition is one API of Tyk.
type Definition struct {
	// ID is the api_id.
	ID string
	// Field is where the object asks for it, e.g. "spec.rules[0].http.paths[1]".
	Field string
	// Match is a canonical form of host, path and path type: of two definitions
	// with one match only one can be served.
	Match string
	// Listen is domain and listen_path as the gateway compares them.
	Listen string
	// Hash is that of the content, as it stands in the ownership mark.
	Hash string
	// Scope is the tag of the sidecars that alone load it; "" for Ingresses.
	Scope string
	// Certificates are the ids of those that it names and that come from Secrets.
	Certificates []string
	// Checked are those of them that callers may show: it needs no keys of them.
	Checked []string
	// JSON is the definition: keys sorted, no white space, no newline at the end.
	JSON []byte
}

// Decide walks one object through the house. The Explanation is whole even when
// err is not nil. err is a *Refused, a *Broken, or the error of ctx; Desired then
// says Held. It is nil for an object that is ignored.
func (e *Engine) Decide(ctx context.Context, o Object, around Cluster) (Desired, Explanation, error) {
	return e.decide(ctx, o, around, false)
}

// Explain is Decide with an Explanation that also names the rules that fired and
// the origin of every value. It costs several times as much.
func (e *Engine) Explain(ctx context.Context, o Object, around Cluster) (Desired, Explanation, error) {
	return e.decide(ctx, o, around, true)
}

func (e *Engine) decide(ctx context.Context, o Object, around Cluster, trace bool) (Desired, Explanation, error) {
	w := &walk{engine: e, trace: trace, desired: Desired{Object: o.Ref}, explanation: Explanation{Object: o.Ref.String()}}
	if !o.ingress() && !o.workload() && !o.service() {
		w.ignore(Reason{ID: "kind-unknown", Msg: fmt.Sprintf("Objects of kind %s (%s) are not handled.", clip(o.Kind), clip(o.APIVersion))})
		return w.end(nil)
	}
	return w.end(w.guarded(ctx, o, around))
}

// guarded makes a panic of a library the object's own problem.
func (w *walk) guarded(ctx context.Context, o Object, around Cluster) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = w.broken("engine", Reason{ID: "engine-failed", Msg: fmt.Sprintf("The engine failed on the object: %s.", clip(fmt.Sprint(p)))})
		}
	}()
	switch {
	case o.workload():
		return w.workload(ctx, o, around)
	case o.service():
		return w.service(ctx, o, around)
	}
	return w.ingress(ctx, o, around)
}

// ingress runs down the stages; the first that stops the object ends the walk.
func (w *walk) ingress(ctx context.Context, o Object, around Cluster) error {
	d, invalid := w.engine.newFacts(o, around)
	w.gathered(d, invalid)
	decision, err := w.decision(ctx, d)
	if err != nil {
		return err
	}
	if stop, err := w.settle(d, decision, invalid); stop {
		return err
	}
	if len(d.routes) == 0 {
		w.ignore(Reason{ID: "no-routes", Field: "spec.rules", Msg: "The Ingress has no paths and no default backend, so there is nothing to serve.",
			Fix: "Add paths under spec.rules[].http, or a spec.defaultBackend."})
		return nil
	}
	w.managed(decision.Template)
	for i := range d.routes {
		d.routes[i].template = decision.Template
	}
	finished, err := w.render(d, decision)
	if err != nil {
		return err
	}
	return w.validate(ctx, d, decision.Set, finished)
}

// workload runs down the stages for a workload: its ways through the mesh, then the
// sidecar.
func (w *walk) workload(ctx context.Context, o Object, around Cluster) error {
	d, invalid := w.engine.newWorkloadFacts(o, around)
	w.gathered(d, invalid)
	decision, err := w.decision(ctx, d)
	if err != nil {
		return err
	}
	if stop, err := w.settle(d, decision, invalid); stop {
		if err == nil {
			w.desired.Patch, err = withoutSidecar(d)
		}
		return err
	}
	if err := w.checkSecured(d, decision.Set); err != nil {
		return err
	}
	if err := w.layRoutes(d, decision); err != nil {
		return err
	}
	w.managed(strings.Join(templatesOf(d.routes), ", "))
	finished, err := w.render(d, decision)
	if err != nil {
		return err
	}
	pending, err := w.secure(d, decision.Mesh, finished)
	if err != nil {
		return err
	}
	if err := w.validate(ctx, d, decision.Set, finished); err != nil {
		return err
	}
	if err := w.inject(d, decision.Mesh); err != nil {
		return err
	}
	w.desired.Identities = d.identities(decision.Mesh)
	if len(pending) > 0 {
		w.step("validate", pending...)
		w.hold(pending)
	}
	return nil
}

// service runs down the stages for a Service, of which only its ports can change.
func (w *walk) service(ctx context.Context, o Object, around Cluster) error {
	d, was, invalid := w.engine.newServiceFacts(o, around)
	w.gathered(d, invalid)
	decision, err := w.decision(ctx, d)
	if err != nil {
		return err
	}
	stop, err := w.settle(d, decision, invalid)
	if err != nil {
		return err
	}
	if stop {
		decision.Rewrite = &policy.Rewrite{}
	} else {
		w.desired.Outcome = Managed
	}
	w.desired.Patch, err = rewritePorts(d, was, decision.Rewrite)
	if err != nil {
		return w.broken("inject", Reason{ID: "sidecar-failed", Field: "spec.ports", Msg: fmt.Sprintf("The patch cannot be made: %s.", err)})
	}
	return nil
}

func templatesOf(routes []route) []string {
	var names []string
	for _, r := range routes {
		if !slices.Contains(names, r.template) {
			names = append(names, r.template)
		}
	}
	return names
}
