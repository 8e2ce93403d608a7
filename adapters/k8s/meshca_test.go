package k8s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

const day = 24 * time.Hour

// suppliedCA makes a CA as somebody else has it. change may be nil, and parent is nil for
// one that signs itself.
func suppliedCA(t testing.TB, from, until time.Time, parent *meshPair, change func(*x509.Certificate)) *meshPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{NotBefore: from, NotAfter: until, Subject: pkix.Name{CommonName: "House CA"},
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	if change != nil {
		change(c)
	}
	p := &meshPair{key: key}
	if parent == nil {
		p.leaf, err = sign(c, nil, key.Public(), key)
	} else {
		p.leaf, err = sign(c, parent.leaf, key.Public(), parent.key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// supplied is a Secret with a CA that is not ours.
func supplied(t testing.TB, ca *meshPair, trust ...*x509.Certificate) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "cuegate-mesh-ca"}, Type: corev1.SecretTypeTLS}
	if err := put(s, "tls", ca); err != nil {
		t.Fatal(err)
	}
	if len(trust) > 0 {
		s.Data["ca.crt"] = writeCertificates(trust...)
	}
	return s
}

// TestMeshCARotation follows a CA of ours through its life.
func TestMeshCARotation(t *testing.T) {
	p := newPKI(t, MeshOptions{CALifetime: 300 * day})
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	began := p.now()
	first := p.bundle("shop")[0]
	issuer := func() *x509.Certificate {
		return readCertificates(p.secret(home, "cuegate-mesh-ca").Data["tls.crt"])[0]
	}
	// old is what a sidecar trusts that has not been started again since the beginning.
	old := p.bundle("shop")
	follow := func(until time.Duration, what string, trusted int, current bool) {
		t.Helper()
		for {
			p.restart()
			due := p.settled()
			for name, bundle := range map[string][]*x509.Certificate{"new": p.bundle("shop"), "old": old} {
				if err := verify(p.shown(echo), bundle, "echo-mesh.shop", p.now()); err != nil {
					t.Errorf("%s, after %s: whoever has the %s bundle does not trust the server: %s", what, p.now().Sub(began), name, err)
				}
			}
			if !due.After(p.now()) {
				t.Fatalf("%s: something is due, and not done", what)
			}
			if !due.Before(began.Add(until)) {
				break
			}
			p.Time = due
		}
		p.Time = began.Add(until)
		p.restart()
		p.settled()
		if n := len(p.bundle("shop")); n != trusted || issuer().Equal(first) != current {
			t.Errorf("%s: %d are trusted, and the first CA signs: %v", what, n, issuer().Equal(first))
		}
	}
	follow(200*day-time.Second, "before", 1, true)
	follow(200*day, "staged", 2, true)
	follow(207*day-time.Second, "still staged", 2, true)
	follow(207*day, "promoted", 2, false)
	if got := entriesOf(p.secret(home, "cuegate-mesh-ca")); !strings.HasPrefix(got, "chain.crt tls.crt tls.key;") {
		t.Errorf("of the CA there is %s", got)
	}
	shown := p.shown(echo)
	if len(shown) != 2 || !issuedBy(shown[0], issuer()) || !issuedBy(shown[1], first) {
		t.Errorf("a server shows %d certificates", len(shown))
	}
	// All certificates are of the new CA two overlaps later; the old one is trusted for
	// another seven days.
	follow(214*day, "reissued", 2, false)
	if shown := p.shown(web); !issuedBy(shown[0], issuer()) || len(shown) != 1 {
		t.Errorf("a client shows %d certificates, or one of the old CA", len(shown))
	}
	follow(215*day, "retired", 1, false)
	if p.bundle("shop")[0].Equal(first) {
		t.Error("the old CA is trusted for ever")
	}
}

// TestMeshCALate has nobody look after a CA of ours until it is about to expire, or has:
// the next one signs in time, or at once.
func TestMeshCALate(t *testing.T) {
	p := newPKI(t, MeshOptions{CALifetime: 300 * day})
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	began := p.now()
	for _, after := range []time.Duration{299 * day, 700 * day} {
		p.Time = began.Add(after)
		p.restart()
		for p.now().Before(began.Add(after + 2*day)) {
			if due := p.settled(); !due.After(p.now()) {
				t.Fatal("something is due, and not done")
			}
			p.advance(20 * time.Minute)
			if err := verify(p.shown(echo), p.bundle("shop"), "echo-mesh.shop", p.now()); err != nil || !validAt(p.shown(web)[0], p.now()) {
				t.Errorf("after %s the server is not trusted, or the client's certificate is not valid: %v", p.now().Sub(began), err)
			}
		}
	}
}

// TestMeshSuppliedCA uses a CA of somebody else's, and another one that takes its place.
func TestMeshSuppliedCA(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	house := suppliedCA(t, p.now().Add(-time.Hour), p.now().Add(1000*day), nil, nil)
	secret := supplied(t, house)
	p.write(secret)
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	before := p.shown(echo)
	if b := p.bundle("shop"); len(before) != 1 || len(b) != 1 || !b[0].Equal(house.leaf) || verify(before, b, "echo-mesh.shop", p.now()) != nil {
		t.Errorf("%d are trusted", len(b))
	}

	// Somebody renews it, with another key.
	p.advance(10 * day)
	oldBundle, changed := p.bundle("shop"), p.now()
	house = suppliedCA(t, p.now().Add(-time.Hour), p.now().Add(1000*day), nil, nil)
	p.write(supplied(t, house))
	p.settled()
	if shown := p.shown(echo); !shown[0].Equal(before[0]) || len(p.bundle("shop")) != 2 {
		t.Error("a new CA signs before it is trusted everywhere, or is not trusted")
	}
	// What begins meanwhile cannot wait.
	late := engine.Identity{Role: "server", For: "Deployment/shop/late", Names: []string{"late-mesh.shop"}}
	p.mesh.Want([]engine.Identity{echo, web, late}, []string{"shop"})
	p.settled()
	if err := verify(p.shown(late), p.bundle("shop"), "late-mesh.shop", p.now()); err != nil {
		t.Error(err)
	}
	p.Time = changed.Add(7*day - time.Second)
	p.restart()
	p.settled()
	for _, bundle := range [][]*x509.Certificate{oldBundle, p.bundle("shop")} {
		if err := verify(p.shown(echo), bundle, "echo-mesh.shop", p.now()); err != nil {
			t.Error(err)
		}
	}
	p.advance(time.Second)
	p.settled()
	if !issuedBy(p.shown(echo)[0], house.leaf) {
		t.Error("the new CA never signs")
	}
	for range 5 {
		p.Time = p.settled()
	}
	if b := p.bundle("shop"); len(b) != 1 || !b[0].Equal(house.leaf) {
		t.Errorf("%d are trusted in the end", len(b))
	}
	if s := p.secret(home, "cuegate-mesh-ca"); s.Labels != nil || s.Annotations != nil || len(s.Data) != 2 {
		t.Errorf("the CA was written: %s", entriesOf(s))
	}
}

// TestMeshNewCAJustInTime has another CA take over shortly before certificates end that
// the one before issued: nothing may expire while it is waited.
func TestMeshNewCAJustInTime(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.write(supplied(t, suppliedCA(t, p.now(), p.now().Add(1000*day), nil, nil)))
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	end := p.shown(echo)[0].NotAfter
	p.Time = end.Add(-5 * day)
	house := suppliedCA(t, p.now(), p.now().Add(1000*day), nil, nil)
	p.write(supplied(t, house))
	for p.now().Before(end) {
		due := p.settled()
		if !due.After(p.now()) {
			t.Fatal("something is due, and not done")
		}
		for _, id := range []engine.Identity{echo, web} {
			if leaf := p.shown(id)[0]; !validAt(leaf, p.now()) {
				t.Errorf("%s presents what expired at %s", id.For, leaf.NotAfter)
			}
		}
		p.Time = due
	}
	for _, id := range []engine.Identity{echo, web} {
		if !issuedBy(p.shown(id)[0], house.leaf) {
			t.Errorf("%s still presents what the old CA issued", id.For)
		}
	}
}

// TestMeshCAKeys reads keys in all forms that are in use.
func TestMeshCAKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ca := suppliedCA(t, newClock().now(), newClock().Add(day), nil, nil)
	sec1, err := x509.MarshalECPrivateKey(ca.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{NotBefore: newClock().now(), NotAfter: newClock().Add(day), Subject: pkix.Name{CommonName: "RSA"}, IsCA: true, BasicConstraintsValid: true}
	rsaCA := &meshPair{key: key}
	if rsaCA.leaf, err = sign(c, nil, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ca  *meshPair
		key *pem.Block // that of PKCS #8 where it is nil
	}{
		"PKCS #8": {ca: rsaCA},
		"PKCS #1": {rsaCA, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}},
		"SEC 1":   {ca, &pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}},
	} {
		p := newPKI(t, MeshOptions{})
		s := supplied(t, c.ca)
		if c.key != nil {
			s.Data["tls.key"] = append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), pem.EncodeToMemory(c.key)...)
		}
		p.write(s)
		p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
		p.settled()
		if err := verify(p.shown(echo), p.bundle("shop"), "echo-mesh.shop", p.now()); err != nil {
			t.Errorf("%s: %s", name, err)
		}
	}
}

// TestMeshIntermediateCA uses one that a root certified.
func TestMeshIntermediateCA(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	root := suppliedCA(t, p.now(), p.now().Add(1000*day), nil, func(c *x509.Certificate) { c.Subject.CommonName = "Root" })
	house := suppliedCA(t, p.now(), p.now().Add(30*day), root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	p.write(supplied(t, house, root.leaf, suppliedCA(t, p.now(), p.now().Add(day), nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }).leaf))
	p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
	p.settled()
	if err := verify(p.shown(echo), []*x509.Certificate{root.leaf}, "echo-mesh.shop", p.now()); err != nil {
		t.Errorf("who trusts the root alone does not trust a server: %s", err)
	}
	if b := p.bundle("shop"); len(b) != 2 {
		t.Errorf("%d are trusted", len(b))
	}
	if leaf := p.shown(web)[0]; !leaf.NotAfter.Equal(house.leaf.NotAfter) {
		t.Errorf("a certificate is valid until %s, its CA until %s", leaf.NotAfter, house.leaf.NotAfter)
	}
	// Near its end nothing is issued again and again.
	p.Time = house.leaf.NotAfter.Add(-time.Hour)
	due := p.settled()
	p.counted()
	p.advance(30 * time.Minute)
	if next := p.settled(); !next.Equal(due) || !due.Equal(house.leaf.NotAfter) || len(p.counted()) != 0 {
		t.Errorf("it is looked at again at %s, then at %s", due, next)
	}
}

// TestMeshBrokenCA has CAs that cannot be used: nothing is issued, what is there stays,
// and what needs no CA goes on.
func TestMeshBrokenCA(t *testing.T) {
	now := newClock().now()
	good := suppliedCA(t, now.Add(-day), now.Add(1000*day), nil, nil)
	for name, c := range map[string]struct {
		secret func(*testing.T) *corev1.Secret
		says   string
	}{
		"rubbish": {func(t *testing.T) *corev1.Secret {
			s := supplied(t, good)
			s.Data["tls.crt"] = []byte("x")
			return s
		}, "no PEM certificate"},
		"no key": {func(t *testing.T) *corev1.Secret {
			s := supplied(t, good)
			s.Data["tls.key"] = []byte("x")
			return s
		}, "no PEM private key"},
		"another key": {func(t *testing.T) *corev1.Secret {
			s, other := supplied(t, good), supplied(t, suppliedCA(t, now, now.Add(day), nil, nil))
			s.Data["tls.key"] = other.Data["tls.key"]
			return s
		}, "does not belong"},
		"no CA": {func(t *testing.T) *corev1.Secret {
			return supplied(t, suppliedCA(t, now, now.Add(day), nil, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }))
		}, "it is no CA"},
		"not for certificates": {func(t *testing.T) *corev1.Secret {
			return supplied(t, suppliedCA(t, now, now.Add(day), nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))
		}, "must not sign"},
		"expired": {func(t *testing.T) *corev1.Secret {
			return supplied(t, suppliedCA(t, now.Add(-day), now.Add(-time.Second), nil, nil))
		}, "it has expired"},
		"to come": {func(t *testing.T) *corev1.Secret {
			return supplied(t, suppliedCA(t, now.Add(2*day), now.Add(3*day), nil, nil))
		}, "it is valid from"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, MeshOptions{})
			p.write(supplied(t, good))
			p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
			p.settled()
			before := p.shown(echo)[0]
			p.write(c.secret(t))
			late := engine.Identity{Role: "client", For: "shop/late"}
			p.mesh.Want([]engine.Identity{echo, web, late}, []string{"shop", "late"})
			_, err := p.settle()
			if err == nil || !strings.Contains(err.Error(), c.says) || fmt.Sprint(p.reasons()) != "[mesh-ca-broken Secret/cuegate-system/cuegate-mesh-ca]" {
				t.Errorf("it says %v, and %v", err, p.reasons())
			}
			if !p.shown(echo)[0].Equal(before) || p.secret(home, identitySecret("client", late.For)) != nil {
				t.Error("something was issued, or is gone")
			}
			if b := p.bundle("late"); len(b) != 1 || !b[0].Equal(good.leaf) || p.secret("late", "cuegate-mesh") == nil {
				t.Errorf("%d are trusted", len(b))
			}
			p.write(supplied(t, good))
			p.settled()
			p.shown(late)
			if r := p.reasons(); len(r) != 0 {
				t.Errorf("there are still %v", r)
			}
		})
	}
}

// TestMeshBrokenCAStopsNoPhase goes on with a rotation that needs no CA any more.
func TestMeshBrokenCAStopsNoPhase(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{web}, []string{"shop"})
	p.Time = p.settled()
	p.settled()
	name := identitySecret("client", web.For)
	staged := readCertificates(p.secret(home, name).Data["next.crt"])[0]
	p.edit(home, "cuegate-mesh-ca", func(s *corev1.Secret) { s.Data["tls.crt"] = []byte("x") })
	for range 2 {
		p.advance(time.Hour)
		if _, err := p.settle(); err == nil {
			t.Error("all is well")
		}
	}
	if !p.shown(web)[0].Equal(staged) || len(letIn(p.secret(home, name))) != 1 {
		t.Errorf("there is %s", entriesOf(p.secret(home, name)))
	}
}

// TestMeshCAThatRefuses is limited to other names.
func TestMeshCAThatRefuses(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.write(supplied(t, suppliedCA(t, p.now(), p.now().Add(1000*day), nil, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"bar"} })))
	there := engine.Identity{Role: "server", For: "Deployment/bar/a", Names: []string{"a-mesh.bar"}}
	p.mesh.Want([]engine.Identity{echo, web, there}, []string{"shop"})
	if _, err := p.settle(); err == nil || !strings.Contains(err.Error(), "Deployment/shop/echo") {
		t.Errorf("it says %v", err)
	}
	p.shown(there)
	p.shown(web)
	if s := p.secret(home, identitySecret("server", echo.For)); s != nil {
		t.Error("a certificate is there that nobody would trust")
	}
	if r := p.reasons(); len(r) != 1 || !strings.HasPrefix(r[0], "mesh-certificate-refused ") {
		t.Errorf("the problems are %v", r)
	}
}

// TestMeshCATaken has a CA of ours deleted, and one of somebody else's put over it.
func TestMeshCATaken(t *testing.T) {
	for name, take := range map[string]func(p *pki){
		"deleted": func(p *pki) { p.remove(secretsResource, home, "cuegate-mesh-ca") },
		"written over": func(p *pki) {
			p.edit(home, "cuegate-mesh-ca", func(s *corev1.Secret) {
				s.Data = supplied(p.t, suppliedCA(p.t, p.now(), p.now().Add(100*day), nil, nil)).Data
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPKI(t, MeshOptions{})
			p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
			p.settled()
			old := p.bundle("shop")
			take(p)
			p.restart()
			p.settled()
			for _, bundle := range [][]*x509.Certificate{old, p.bundle("shop")} {
				if err := verify(p.shown(echo), bundle, "echo-mesh.shop", p.now()); err != nil {
					t.Error(err)
				}
			}
			p.advance(7 * day)
			p.settled()
			if issuedBy(p.shown(echo)[0], old[0]) {
				t.Error("the new CA never signs")
			}
			before := p.secret(home, "cuegate-mesh-ca").ResourceVersion
			if p.advance(80 * day); name == "written over" {
				p.settled()
				if p.secret(home, "cuegate-mesh-ca").ResourceVersion != before {
					t.Error("a CA of somebody else's is written")
				}
			}
		})
	}
}

// TestMeshTrustTaken breaks the list of what is trusted, while an old CA is on it.
func TestMeshTrustTaken(t *testing.T) {
	for name, take := range map[string]func(p *pki){
		"deleted": func(p *pki) { p.remove(secretsResource, home, "cuegate-mesh-trust") },
		"broken": func(p *pki) {
			p.edit(home, "cuegate-mesh-trust", func(s *corev1.Secret) { s.Data["trust.json"] = []byte("[{}]") })
		},
		"emptied": func(p *pki) {
			p.edit(home, "cuegate-mesh-trust", func(s *corev1.Secret) { s.Data = nil })
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, restart), func(t *testing.T) {
				p := newPKI(t, MeshOptions{})
				p.write(supplied(t, suppliedCA(t, p.now(), p.now().Add(1000*day), nil, nil)))
				p.mesh.Want([]engine.Identity{echo, web}, []string{"shop"})
				p.settled()
				p.write(supplied(t, suppliedCA(t, p.now(), p.now().Add(1000*day), nil, nil)))
				p.settled()
				take(p)
				if restart {
					p.restart()
				}
				p.settled()
				if err := verify(p.shown(echo), p.bundle("shop"), "echo-mesh.shop", p.now()); err != nil {
					t.Error(err)
				}
				// Who remembers writes it again.
				if n := len(p.bundle("shop")); !restart && n != 2 {
					t.Errorf("%d are trusted", n)
				}
			})
		}
	}
	p := newPKI(t, MeshOptions{})
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: "cuegate-mesh-trust"}}
	p.write(foreign)
	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	if _, err := p.settle(); err == nil || !slices.Equal(p.reasons(), []string{"mesh-secret-foreign Secret/cuegate-system/cuegate-mesh-trust"}) {
		t.Errorf("it says %v, and %v", err, p.reasons())
	}
	if s := p.secret(home, "cuegate-mesh-trust"); len(s.Data) != 0 || p.secret(home, identitySecret("server", echo.For)) != nil {
		t.Error("something is issued that cannot be trusted")
	}
}
