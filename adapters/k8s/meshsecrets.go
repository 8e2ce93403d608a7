package k8s

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The label of all that is ours, and its values; those of certificates are their roles.
const (
	meshLabel          = "cuegate.dev/mesh"
	meshCALabel        = "ca"
	meshTrustLabel     = "trust"
	meshMasterLabel    = "master"
	meshNamespaceLabel = "namespace"

	roleServer = "server"
	roleClient = "client"
)

const (
	meshForKey   = "cuegate.dev/mesh-for"
	secretPrefix = "cuegate-mesh-" // role, "-" and a hash follow

	masterSecret = "cuegate-mesh-master"
	masterEntry  = "key"
	masterSize   = 32 // bytes

	// What is in each namespace of the mesh.
	namespaceSecret = "cuegate-mesh"
	namespaceTrust  = "cuegate-mesh-ca" // a ConfigMap
)

// identity is a certificate that is wanted.
type identity struct {
	role, of string
	names    []string // sorted, each once
}

// identitySecret is the name of the Secret of a certificate.
func identitySecret(role, of string) string {
	sum := sha256.Sum256([]byte(of))
	return secretPrefix + role + "-" + hex.EncodeToString(sum[:8])
}

// keepLeaf looks after the Secret of one certificate, and gives when it has to be looked
// at again.
func (m *Mesh) keepLeaf(ctx context.Context, name string) (time.Time, error) {
	id, wanted := m.identity(name)
	if !wanted {
		return m.letGo(ctx, name)
	}
	spec, err := specOf(id, m.o.TrustDomain)
	if err != nil {
		return time.Time{}, m.fault(kindSecret, m.o.Namespace, name, meshIdentityInvalid, fmt.Sprintf("The mesh has no certificate for %s: %s.", id.of, err))
	}
	old := m.stores.own(name, id.role)
	if old != nil && old.Type != corev1.SecretTypeTLS {
		return time.Time{}, m.foreign(refOf(old))
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.o.Namespace, Name: name}, Type: corev1.SecretTypeTLS}
	if old != nil {
		s = old.DeepCopy()
	}
	setMeta(s, meshLabel, id.role, meshForKey, id.of)
	delete(s.Annotations, unwantedKey)
	due, steps, err := m.keeper.keep(s, spec, m.currentAuthority(), m.o.Now())
	switch {
	case errors.Is(err, errNoAuthority):
		err = nil // the fault is the CA's, and with another one this is looked at again
	case err != nil:
		err = m.fault(kindSecret, m.o.Namespace, name, meshRefused, fmt.Sprintf("The CA of the mesh issues no certificate for %s: %s.", id.of, err))
	}
	if written := m.writeLeaf(ctx, old, s); written != nil {
		return time.Time{}, written
	}
	for _, step := range steps {
		m.log.Info("a certificate of the mesh was changed", "step", step, "role", id.role, "for", id.of)
		if step == stepIssued || step == stepStaged {
			m.metrics.issued.WithLabelValues(id.role).Inc()
		}
	}
	if all := readCertificates(s.Data["tls.crt"]); len(all) > 0 {
		m.metrics.expires(name, id, all[0].NotAfter)
	}
	return due, err
}

// writeLeaf writes what has changed. What holds no pair yet is not written.
func (m *Mesh) writeLeaf(ctx context.Context, old, s *corev1.Secret) error {
	var err error
	switch {
	case old == nil && len(s.Data) > 0:
		_, err = m.create(ctx, s)
	case old != nil && !sameSecret(old, s):
		_, err = m.update(ctx, s)
	}
	return err
}

func sameSecret(a, b *corev1.Secret) bool {
	return maps.EqualFunc(a.Data, b.Data, bytes.Equal) && maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// letGo deletes the Secret of a certificate that nobody wants any more, after a while:
// a workload may be deleted and made again.
func (m *Mesh) letGo(ctx context.Context, name string) (time.Time, error) {
	m.metrics.forget(name)
	role, _, _ := strings.Cut(strings.TrimPrefix(name, secretPrefix), "-")
	old := m.stores.own(name, role)
	if old == nil || role != roleServer && role != roleClient {
		return time.Time{}, nil
	}
	now := m.o.Now()
	since := timeIn(old, unwantedKey)
	if since.IsZero() || since.After(now.Add(m.o.Grace)) {
		s := old.DeepCopy()
		setTime(s, unwantedKey, now)
		_, err := m.update(ctx, s)
		return now.Add(m.o.Grace), err
	}
	if at := since.Add(m.o.Grace); now.Before(at) {
		return at, nil
	}
	err := m.o.Client.CoreV1().Secrets(old.Namespace).Delete(ctx, name, only(old))
	if err == nil {
		m.log.Info("a certificate of the mesh was deleted that nobody wants", "role", role, "for", old.Annotations[meshForKey])
	}
	return time.Time{}, ignoreNotFound(err)
}

// keepMaster looks after the key that all other secrets of the mesh come from. It is
// made once. Where it is taken away or broken, this controller writes the one that it
// knows again.
func (m *Mesh) keepMaster(ctx context.Context) error {
	if !m.needed() {
		return nil
	}
	s := m.stores.own(masterSecret, meshMasterLabel)
	if s != nil && len(s.Data[masterEntry]) == masterSize {
		m.setMaster(s.Data[masterEntry])
		return nil
	}
	key := m.currentMaster()
	if key == nil {
		key = make([]byte, masterSize)
		if _, err := rand.Read(key); err != nil {
			return err
		}
	}
	var err error
	if s == nil {
		_, err = m.create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: m.o.Namespace, Name: masterSecret, Labels: map[string]string{meshLabel: meshMasterLabel}},
			Type:       corev1.SecretTypeOpaque,
			Data:       map[string][]byte{masterEntry: key},
		})
	} else {
		s = s.DeepCopy()
		s.Data = map[string][]byte{masterEntry: key}
		_, err = m.update(ctx, s)
	}
	if err == nil {
		m.setMaster(key)
	}
	return err
}

// setMaster takes over the master key; where it is another one, the secrets of all
// namespaces are written again.
func (m *Mesh) setMaster(key []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if hmac.Equal(m.master, key) {
		return
	}
	m.master = key
	for namespace := range m.wanted.namespaces {
		m.enqueue(meshKey{meshNamespace, namespace})
	}
}

// derive gives the secret for a purpose, in hexadecimal.
func derive(master []byte, purpose string) string {
	h := hmac.New(sha256.New, master)
	h.Write([]byte(purpose))
	return hex.EncodeToString(h.Sum(nil))
}

func gatewaySecret(master []byte, namespace string) string {
	return derive(master, "gateway/"+namespace)
}

// create makes an object of ours. Where the name is taken, that is a fault if it is
// somebody else's; if it is ours, it is only not known yet.
func (m *Mesh) create(ctx context.Context, s *corev1.Secret) (*corev1.Secret, error) {
	api := m.o.Client.CoreV1().Secrets(s.Namespace)
	var refused error
	if !m.isForeign(refOf(s)) { // else it is only looked at
		made, err := api.Create(ctx, s, createOptions)
		if !apierrors.IsAlreadyExists(err) {
			return made, err
		}
		refused = err
	}
	there, err := api.Get(ctx, s.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && refused == nil:
		return api.Create(ctx, s, createOptions)
	case err != nil:
		return nil, err
	case there.Labels[meshLabel] != s.Labels[meshLabel] || there.Type != s.Type:
		return nil, m.foreign(refOf(s))
	}
	return nil, apierrors.NewAlreadyExists(corev1.Resource("secrets"), s.Name)
}

// update writes a Secret of ours, if it is still the one that s was made from.
func (m *Mesh) update(ctx context.Context, s *corev1.Secret) (*corev1.Secret, error) {
	return m.o.Client.CoreV1().Secrets(s.Namespace).Update(ctx, s, metav1.UpdateOptions{FieldManager: fieldManager})
}

const fieldManager = "cuegate"

var createOptions = metav1.CreateOptions{FieldManager: fieldManager}

// only has an object deleted if it is still the same.
func only(o metav1.Object) metav1.DeleteOptions {
	uid, version := o.GetUID(), o.GetResourceVersion()
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// setMeta writes a label and an annotation.
func setMeta(o metav1.Object, label, value, annotation, text string) {
	l, a := o.GetLabels(), o.GetAnnotations()
	if l == nil {
		l = map[string]string{}
	}
	if a == nil {
		a = map[string]string{}
	}
	l[label], a[annotation] = value, text
	o.SetLabels(l)
	o.SetAnnotations(a)
}
