package k8s

import (
	"context"
	"errors"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keepNamespace looks after what sidecars of a namespace need: the secrets, and what
// they trust. One that is somebody else's is no reason to do without the other.
func (m *Mesh) keepNamespace(ctx context.Context, namespace string) error {
	return errors.Join(m.keepNamespaceSecret(ctx, namespace), m.keepNamespaceTrust(ctx, namespace))
}

func (m *Mesh) keepNamespaceSecret(ctx context.Context, namespace string) error {
	api, old := m.o.Client.CoreV1().Secrets(namespace), m.stores.secret(namespace)
	wanted := m.wantsNamespace(namespace)
	switch {
	case old != nil && old.Labels[meshLabel] != meshNamespaceLabel:
		if wanted {
			return m.foreign(refOf(old))
		}
		return nil
	case !wanted && old == nil:
		return nil
	case !wanted:
		return ignoreNotFound(api.Delete(ctx, old.Name, only(old)))
	}
	master := m.currentMaster()
	if master == nil {
		return nil // all namespaces are looked at again when it is there
	}
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: namespaceSecret, Labels: map[string]string{meshLabel: meshNamespaceLabel}}, Type: corev1.SecretTypeOpaque}
	if old != nil {
		s = old.DeepCopy()
	}
	s.Data = map[string][]byte{
		"gateway-secret":     []byte(gatewaySecret(master, namespace)),
		"certificate-secret": []byte(derive(master, "certificates")),
	}
	var err error
	if old == nil {
		_, err = api.Create(ctx, s, createOptions)
	} else if !sameSecret(old, s) {
		_, err = m.update(ctx, s)
	}
	return err
}

func (m *Mesh) keepNamespaceTrust(ctx context.Context, namespace string) error {
	api, old := m.o.Client.CoreV1().ConfigMaps(namespace), m.stores.configMap(namespace)
	wanted := m.wantsNamespace(namespace)
	switch {
	case old != nil && old.Labels[meshLabel] != meshNamespaceLabel:
		if wanted {
			return m.foreign(refOf(old))
		}
		return nil
	case !wanted && old == nil:
		return nil
	case !wanted:
		return ignoreNotFound(api.Delete(ctx, old.Name, only(old)))
	}
	bundle := m.currentAuthority().bundle()
	if len(bundle) == 0 {
		return nil // all namespaces are looked at again when there is one
	}
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: namespaceTrust, Labels: map[string]string{meshLabel: meshNamespaceLabel}}}
	if old != nil {
		c = old.DeepCopy()
	}
	c.Data, c.BinaryData = map[string]string{"ca.crt": string(bundle)}, nil
	var err error
	if old == nil {
		_, err = api.Create(ctx, c, createOptions)
	} else if !maps.Equal(old.Data, c.Data) || len(old.BinaryData) > 0 {
		_, err = api.Update(ctx, c, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	return err
}
