package engine

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Rules of a snapshot
//
// It holds what decisions are made from, and nothing else:
//
//	Ingress, Service, workload of the mesh   all but status, managed fields, and kubectl's copy;
//	                                         of containers that are the author's name, image and ports
//	Namespace                                its labels
//	Secret of type kubernetes.io/tls         CertificateFacts: no byte of the Secret, but hashes
//	anything else                            its name: it shows that its namespace exists
//
// and what it is of, in an object of the kind Snapshot. An engine that decides by it
// answers as one that decides by the objects themselves, byte for byte; certificates
// alone come without their PEM.

// ownVersion is the apiVersion of the kinds of our own.
const ownVersion = "cuegate.dev/v1"

const (
	factsKind    = "CertificateFacts"
	snapshotKind = "Snapshot"
)

// SnapshotOf says what a snapshot is of.
type SnapshotOf struct {
	// Whole is set where what is not in it does not exist, as with a cluster.
	Whole bool `json:"whole"`
	// Version of the cluster, and Taken in RFC 3339; "" where they are not known.
	Version string `json:"version,omitempty"`
	Taken   string `json:"taken,omitempty"`
}

// Snapshot gives what decisions are made from. It comes in the order of kinds and
// names, whatever the order of the objects. An object that is not JSON is an error.
func Snapshot(objects []Object, of SnapshotOf) ([]Object, error) {
	about := map[string]any{"whole": of.Whole}
	for k, v := range map[string]string{"version": of.Version, "taken": of.Taken} {
		if v != "" {
			about[k] = v
		}
	}
	head, err := canonical(map[string]any{"apiVersion": ownVersion, "kind": snapshotKind, "metadata": map[string]any{"name": "cluster"}, "snapshot": about})
	if err != nil {
		return nil, err
	}
	var all []Object
	for _, o := range objects {
		if o.Kind == snapshotKind && o.Neighbour() {
			continue // what it says of the former is no longer so
		}
		reduced, err := reduce(o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Ref, err)
		}
		all = append(all, reduced)
	}
	slices.SortStableFunc(all, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.APIVersion, b.APIVersion))
	})
	return append([]Object{{Ref: Ref{Kind: snapshotKind, Name: "cluster"}, APIVersion: ownVersion, JSON: head}}, all...), nil
}

func reduce(o Object) (Object, error) {
	if o.Kind == "Secret" && o.Neighbour() {
		return reduceSecret(o)
	}
	doc, err := decode(o.JSON)
	if err != nil {
		return o, errors.New("it is no JSON object")
	}
	switch {
	case o.ingress(), o.Kind == "Service" && o.Neighbour(), o.Kind == "IngressClass" && o.Neighbour(), o.workload() && isOfMesh(o):
		trimObject(doc)
	case o.Kind == factsKind && o.Neighbour():
	case o.Kind == "Namespace" && o.Neighbour():
		doc = headOf(o, at(doc, "metadata", "labels"))
	default:
		doc = headOf(o, nil)
	}
	if o.workload() && isOfMesh(o) {
		trimContainers(o, doc)
	}
	// Objects that name no namespace may have been given one.
	if meta, ok := doc["metadata"].(map[string]any); ok && o.Namespace != "" {
		meta["namespace"] = o.Namespace
	}
	o.JSON, err = canonical(doc)
	return o, err
}

// isOfMesh tells whether a workload says anything to the mesh, or was changed by it.
func isOfMesh(o Object) bool { return bytes.Contains(o.JSON, []byte("injector.tyk.io/")) }

// headOf gives the name of an object, with labels where there are any.
func headOf(o Object, labels any) map[string]any {
	meta := map[string]any{"name": o.Name}
	if labels != nil {
		meta["labels"] = labels
	}
	return map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "metadata": meta}
}

// trimObject takes out what the API server and others note in an object. A map of
// annotations that becomes empty stays: patches tell it from none.
func trimObject(doc map[string]any) {
	delete(doc, "status")
	meta, _ := doc["metadata"].(map[string]any)
	for _, k := range []string{"managedFields", "resourceVersion", "generation", "selfLink"} {
		delete(meta, k)
	}
	if a, ok := meta["annotations"].(map[string]any); ok {
		delete(a, lastApplied)
		delete(a, StatusAnnotation)
	}
}

// trimContainers leaves of containers that were not injected what is decided by: their
// environment and arguments may be secret. Where nobody knows which were injected, all
// stay as they are.
func trimContainers(o Object, doc map[string]any) {
	w := &workload{}
	_, err := w.read(o)
	was, invalid := w.readInjected()
	if err != nil || invalid || was != nil && was.lost {
		return
	}
	pod, _ := at(doc, "spec", "template", "spec").(map[string]any)
	for _, name := range []string{"containers", "initContainers"} {
		list, _ := pod[name].([]any)
		for _, x := range list {
			c, _ := x.(map[string]any)
			if own, _ := c["name"].(string); was != nil && slices.Contains(was.Names[name], own) {
				continue
			}
			maps.DeleteFunc(c, func(k string, _ any) bool { return k != "name" && k != "image" && k != "ports" })
		}
	}
}

// certificateFacts is what stands for a TLS secret.
type certificateFacts struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Certificate *leafFacts `json:"certificate,omitempty"`
	// Problem says why the pair cannot be served; there is no certificate then.
	Problem string `json:"problem,omitempty"`
	// Mesh says what a Secret of the mesh is for.
	Mesh *meshFacts `json:"mesh,omitempty"`
}

// leafFacts is what is told of a certificate.
type leafFacts struct {
	// Fingerprint is the SHA-256 of its DER in lower-case hexadecimal: behind the
	// organisation it is the id that Tyk gives it.
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
	// Hosts that it is for; nothing is decided by them.
	Hosts []string `json:"hosts,omitempty"`
}

type meshFacts struct {
	Role string `json:"role"`
	For  string `json:"for"`
	// Allowed are the certificates that may be shown for now.
	Allowed []leafFacts `json:"allowed"`
}

// reduceSecret gives what is decided by of a Secret, and of one that is no TLS secret
// its name.
func reduceSecret(o Object) (Object, error) {
	var f certificateFacts
	f.APIVersion, f.Kind = ownVersion, factsKind
	f.Metadata.Name, f.Metadata.Namespace = o.Name, o.Namespace
	pair, ok, err := decodeSecret(o)
	switch {
	case err != nil:
		f.Problem = decodeMessage(err)
	case !ok:
		doc := headOf(o, nil)
		doc["metadata"].(map[string]any)["namespace"] = o.Namespace
		o.JSON, err = canonical(doc)
		return o, err
	default:
		f.Certificate = &leafFacts{Fingerprint: pair.fingerprint, NotAfter: pair.notAfter.UTC(), Hosts: pair.hosts}
		f.Mesh = meshFactsOf(o)
	}
	o.Kind, o.APIVersion = factsKind, ownVersion
	raw, err := json.Marshal(f)
	if err != nil {
		return o, err
	}
	doc, err := decode(raw)
	if err != nil {
		return o, err
	}
	o.JSON, err = canonical(doc)
	return o, err
}

func meshFactsOf(o Object) *meshFacts {
	role, owner, pair := decodeMeshSecret(o)
	if role == "" {
		return nil
	}
	m := &meshFacts{Role: role, For: owner, Allowed: []leafFacts{}}
	for _, p := range pair.allowed {
		m.Allowed = append(m.Allowed, leafFacts{Fingerprint: p.fingerprint, NotAfter: p.notAfter.UTC()})
	}
	return m
}

func (l leafFacts) pair() (keyPair, error) {
	if sum, err := hex.DecodeString(l.Fingerprint); err != nil || len(sum) != 32 || hex.EncodeToString(sum) != l.Fingerprint {
		return keyPair{}, errors.New("fingerprint must be a SHA-256 in lower-case hexadecimal")
	}
	return keyPair{fingerprint: l.Fingerprint, notAfter: l.NotAfter, hosts: l.Hosts}, nil
}

// addFacts takes what stands for a TLS secret. Beside the Secret itself it counts for
// nothing.
func (n *Neighbours) addFacts(o Object) error {
	c, name := &n.view, key(o.Namespace, o.Name)
	if n.present[presence{Ref{"Secret", o.Namespace, o.Name}, true}] {
		return errors.New("the Secret itself was given as well")
	}
	var f certificateFacts
	if err := json.Unmarshal(o.JSON, &f); err != nil {
		return err
	}
	if f.Problem != "" {
		c.broken[name] = f.Problem
		return errors.New(f.Problem)
	}
	if f.Certificate == nil {
		return errors.New("it has neither a certificate nor a problem")
	}
	pair, err := f.Certificate.pair()
	if err != nil {
		return err
	}
	if f.Mesh != nil {
		mesh := meshPair{secret: name, current: pair}
		for _, l := range f.Mesh.Allowed {
			leaf, err := l.pair()
			if err != nil {
				return err
			}
			mesh.allowed = append(mesh.allowed, leaf)
		}
		if f.Mesh.Role != identityServer && f.Mesh.Role != identityClient || f.Mesh.For == "" {
			return errors.New("mesh.role must be server or client, and mesh.for say whose it is")
		}
		c.putMesh(o, f.Mesh.Role, f.Mesh.For, mesh)
	}
	c.certs[name] = pair
	return nil
}

func (n *Neighbours) deleteFacts(o Object) {
	if n.present[presence{Ref{"Secret", o.Namespace, o.Name}, true}] {
		return
	}
	delete(n.view.certs, key(o.Namespace, o.Name))
	delete(n.view.broken, key(o.Namespace, o.Name))
	n.view.deleteMesh(o)
}

func (n *Neighbours) addSnapshot(o Object) error {
	var s struct {
		Snapshot SnapshotOf `json:"snapshot"`
	}
	if err := json.Unmarshal(o.JSON, &s); err != nil {
		return err
	}
	n.whole = s.Snapshot.Whole
	return nil
}

// Withheld gives the annotations, in order, with values that an explanation does not
// show: they may be secret, and a snapshot has them all the same.
func (e *Engine) Withheld(o Object) []string {
	var d *draft
	switch {
	case o.ingress():
		d, _ = e.newFacts(o, Cluster{})
	case o.workload():
		d, _ = e.newWorkloadFacts(o, Cluster{})
	default:
		return nil
	}
	keys := map[string]bool{}
	for _, x := range d.overrides {
		eachLeaf(x.path, x.value, func(path []string, v any) {
			if text, ok := v.(string); ok && shown(path, v) != any(text) {
				keys[x.key] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(keys))
}
