package k8s

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cuegate/cuegate/engine"
)

// TestMeshNamespaces come and go.
func TestMeshNamespaces(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	if _, known := p.mesh.GatewaySecret("shop"); known {
		t.Error("a secret is known before there is any")
	}
	p.mesh.Want(nil, []string{"shop", "bar"})
	p.settled()
	master := p.secret(home, "cuegate-mesh-master").Data["key"]
	mac := func(of string) string {
		h := hmac.New(sha256.New, master)
		h.Write([]byte(of))
		return hex.EncodeToString(h.Sum(nil))
	}
	for _, namespace := range []string{"shop", "bar"} {
		s := p.secret(namespace, "cuegate-mesh")
		want := map[string]string{"gateway-secret": mac("gateway/" + namespace), "certificate-secret": mac("certificates")}
		if got := plainData(s.Data); len(master) != 32 || !maps.Equal(got, want) || s.Labels["cuegate.dev/mesh"] != "namespace" || s.Type != "Opaque" {
			t.Errorf("in %s there is %v, of type %s, with %v", namespace, slices.Sorted(maps.Keys(got)), s.Type, s.Labels)
		}
		if known, ok := p.mesh.GatewaySecret(namespace); !ok || known != want["gateway-secret"] {
			t.Errorf("of %s another secret is known than what is there", namespace)
		}
		if c := p.configMap(namespace, "cuegate-mesh-ca"); c.Labels["cuegate.dev/mesh"] != "namespace" || len(c.Data) != 1 || len(p.bundle(namespace)) != 1 {
			t.Errorf("in %s the ConfigMap has %d entries and %v", namespace, len(c.Data), c.Labels)
		}
	}
	secret, trust := p.secret("bar", "cuegate-mesh"), p.configMap("bar", "cuegate-mesh-ca")

	p.mesh.Want(nil, []string{"shop"})
	p.settled()
	if p.secret("bar", "cuegate-mesh") != nil || p.configMap("bar", "cuegate-mesh-ca") != nil || p.secret("shop", "cuegate-mesh") == nil {
		t.Error("what is not needed is there, or what is needed is not")
	}
	p.mesh.Want(nil, []string{"shop", "bar"})
	p.settled()
	if s, c := p.secret("bar", "cuegate-mesh"), p.configMap("bar", "cuegate-mesh-ca"); !equality.Semantic.DeepEqual(s.Data, secret.Data) || !maps.Equal(c.Data, trust.Data) {
		t.Error("it came back as another one")
	}
	p.mesh.Want(nil, nil)
	p.restart()
	p.settled()
	if n := len(p.secrets()) + len(p.configMaps()); n != 3 {
		t.Errorf("without a mesh there are %d objects", n)
	}
}

func plainData(data map[string][]byte) map[string]string {
	m := map[string]string{}
	for k, v := range data {
		m[k] = string(v)
	}
	return m
}

// TestMeshRepairs what somebody edits or deletes.
func TestMeshRepairs(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want(nil, []string{"shop"})
	p.settled()
	secret, trust := p.secret("shop", "cuegate-mesh"), p.configMap("shop", "cuegate-mesh-ca")
	for name, spoil := range map[string]func(){
		"deleted": func() {
			p.remove(secretsResource, "shop", "cuegate-mesh")
			p.remove(configMapsResource, "shop", "cuegate-mesh-ca")
		},
		"edited": func() {
			p.edit("shop", "cuegate-mesh", func(s *corev1.Secret) { s.Data["gateway-secret"] = []byte("mine"); s.Data["x"] = nil })
			c := p.configMap("shop", "cuegate-mesh-ca")
			c.Data, c.BinaryData = map[string]string{"ca.crt": "mine"}, map[string][]byte{"x": nil}
			p.write(c)
		},
	} {
		spoil()
		p.settled()
		if s, c := p.secret("shop", "cuegate-mesh"), p.configMap("shop", "cuegate-mesh-ca"); !equality.Semantic.DeepEqual(s.Data, secret.Data) || !maps.Equal(c.Data, trust.Data) || len(c.BinaryData) > 0 {
			t.Errorf("%s: it is not as it was", name)
		}
	}
}

// TestMeshForeignNamespaceObjects are neither written nor deleted, and one does not keep
// the other from being there.
func TestMeshForeignNamespaceObjects(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cuegate-mesh"}, Data: map[string][]byte{"a": []byte("b")}}
	trust := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "bar", Name: "cuegate-mesh-ca", Labels: map[string]string{meshLabel: "mine"}}, Data: map[string]string{"a": "b"}}
	p.write(secret)
	p.write(trust)
	p.mesh.Want(nil, []string{"shop", "bar"})
	if _, err := p.settle(); err == nil {
		t.Error("all is well")
	}
	want := []string{"mesh-secret-foreign ConfigMap/bar/cuegate-mesh-ca", "mesh-secret-foreign Secret/shop/cuegate-mesh"}
	if got := p.reasons(); !slices.Equal(got, want) {
		t.Errorf("the problems are %v", got)
	}
	p.counted()
	_, _ = p.settle()
	if n := p.counted(); len(n) != 0 {
		t.Errorf("it calls %v", n)
	}
	p.mesh.Want(nil, nil)
	p.settled()
	if s, c := p.secret("shop", "cuegate-mesh"), p.configMap("bar", "cuegate-mesh-ca"); !equality.Semantic.DeepEqual(s, secret) || !equality.Semantic.DeepEqual(c, trust) {
		t.Error("what is somebody else's is another one")
	}
	if p.configMap("shop", "cuegate-mesh-ca") != nil || p.secret("bar", "cuegate-mesh") != nil {
		t.Error("what is ours stays")
	}
	if r := p.reasons(); len(r) != 0 {
		t.Errorf("there are still %v", r)
	}
}

// TestMeshMaster is made once, and never made anew by who knows it.
func TestMeshMaster(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want(nil, []string{"shop"})
	p.settled()
	before, _ := p.mesh.GatewaySecret("shop")
	for name, spoil := range map[string]func(){
		"restarted": p.restart,
		"deleted":   func() { p.remove(secretsResource, home, "cuegate-mesh-master") },
		"emptied":   func() { p.edit(home, "cuegate-mesh-master", func(s *corev1.Secret) { s.Data = nil }) },
		"cut short": func() {
			p.edit(home, "cuegate-mesh-master", func(s *corev1.Secret) { s.Data["key"] = s.Data["key"][:31] })
		},
	} {
		spoil()
		p.settled()
		s := p.secret(home, "cuegate-mesh-master")
		if now, ok := p.mesh.GatewaySecret("shop"); !ok || now != before || len(s.Data["key"]) != 32 {
			t.Errorf("%s: it is another one", name)
		}
	}
	// One that is valid is taken over, and all that comes from it is written again.
	p.edit(home, "cuegate-mesh-master", func(s *corev1.Secret) { s.Data["key"] = make([]byte, 32) })
	p.settled()
	now, _ := p.mesh.GatewaySecret("shop")
	if s := p.secret("shop", "cuegate-mesh"); now == before || string(s.Data["gateway-secret"]) != now {
		t.Error("another key changes nothing")
	}

	p = newPKI(t, MeshOptions{})
	p.write(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "cuegate-mesh-master"}, Data: map[string][]byte{"key": make([]byte, 32)}})
	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	if _, err := p.settle(); err == nil || !slices.Equal(p.reasons(), []string{"mesh-secret-foreign Secret/cuegate-system/cuegate-mesh-master"}) {
		t.Errorf("it says %v, and %v", err, p.reasons())
	}
	if _, known := p.mesh.GatewaySecret("shop"); known || p.secret("shop", "cuegate-mesh") != nil {
		t.Error("somebody else's key is used")
	}
	p.shown(echo)
}

// TestMeshNamespaceThatEnds cannot have anything new, which is nobody's fault.
func TestMeshNamespaceThatEnds(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	var answer error
	p.refuse(func(a clienttesting.Action) error {
		if a.GetNamespace() == "shop" {
			return answer
		}
		return nil
	})
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), "cuegate-mesh", errors.New("no"))
	ending := apierrors.NewForbidden(corev1.Resource("secrets"), "cuegate-mesh", errors.New("it ends"))
	ending.ErrStatus.Details.Causes = append(ending.ErrStatus.Details.Causes, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
	p.mesh.Want(nil, []string{"shop", "bar"})
	for _, c := range []struct {
		answer error
		want   string
	}{
		{ending, "[]"},
		{apierrors.NewNotFound(corev1.Resource("namespaces"), "shop"), "[mesh-unreachable Namespace/shop mesh-unreachable Namespace/shop]"},
		{forbidden, "[mesh-unreachable Namespace/shop mesh-unreachable Namespace/shop]"},
		{errors.New("connection refused"), "[mesh-unreachable Namespace/shop mesh-unreachable Namespace/shop]"},
	} {
		answer = c.answer
		if _, err := p.settle(); err == nil || fmt.Sprint(p.reasons()) != c.want || p.secret("bar", "cuegate-mesh") == nil {
			t.Errorf("%v: the problems are %v", c.answer, p.reasons())
		}
	}
	answer = nil
	p.settled()
	if p.secret("shop", "cuegate-mesh") == nil || len(p.reasons()) != 0 {
		t.Errorf("the problems are %v", p.reasons())
	}
}
