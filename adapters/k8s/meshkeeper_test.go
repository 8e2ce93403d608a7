package k8s

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cuegate/cuegate/engine"
)

func entriesOf(s *corev1.Secret) string {
	return strings.Join(slices.Sorted(maps.Keys(s.Data)), " ") + "; " + strings.Join(slices.Sorted(maps.Keys(s.Annotations)), " ")
}

// letIn gives the certificates that callees let in for an identity.
func letIn(s *corev1.Secret) []string {
	var all []string
	for _, entry := range []string{"tls.crt", "next.crt", "previous.crt"} {
		if c := readCertificates(s.Data[entry]); len(c) > 0 {
			all = append(all, printOf(c[0]))
		}
	}
	return all
}

// TestMeshClientRotation goes through the phases, with another controller at each step.
func TestMeshClientRotation(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{web}, []string{"shop"})
	due := p.settled()
	name := identitySecret("client", web.For)
	first := p.secret(home, name)
	life := due.Sub(p.now())
	if day := 24 * time.Hour; life < 60*day || life > 65*day {
		t.Fatalf("it is replaced after %s", life)
	}
	const forKey, staged, promoted = "cuegate.dev/mesh-for", "cuegate.dev/mesh-staged", "cuegate.dev/mesh-promoted"
	step := func(what, want string, nextDue time.Duration) *corev1.Secret {
		t.Helper()
		p.restart()
		due := p.settled()
		s := p.secret(home, name)
		if got := entriesOf(s); got != want {
			t.Errorf("%s: there is %s, want %s", what, got, want)
		}
		if nextDue > 0 && !due.Equal(p.now().Add(nextDue)) {
			t.Errorf("%s: it is looked at again after %s, want %s", what, due.Sub(p.now()), nextDue)
		}
		return s
	}

	p.Time = due
	s := step("stage", "next.crt next.key tls.crt tls.key; "+forKey+" "+staged, time.Hour)
	next, err := readPair(s.Data["next.crt"], s.Data["next.key"])
	if err != nil || len(next.chain) != 0 || !bytes.Equal(s.Data["tls.crt"], first.Data["tls.crt"]) || !bytes.Equal(s.Data["tls.key"], first.Data["tls.key"]) {
		t.Errorf("what is presented is not what it was, or what is staged is no pair: %v", err)
	}
	if at := s.Annotations[staged]; at != due.Format(time.RFC3339Nano) {
		t.Errorf("it is staged since %s", at)
	}

	p.advance(time.Hour - time.Second)
	before := s.ResourceVersion
	if s = step("wait", "next.crt next.key tls.crt tls.key; "+forKey+" "+staged, time.Second); s.ResourceVersion != before {
		t.Error("it is written before it is due")
	}

	p.advance(time.Second)
	s = step("promote", "previous.crt tls.crt tls.key; "+forKey+" "+promoted, time.Hour)
	if !bytes.Equal(s.Data["tls.crt"], writeCertificates(next.leaf)) || !bytes.Equal(s.Data["previous.crt"], first.Data["tls.crt"]) {
		t.Error("what was staged is not presented, or what was presented is not let in")
	}
	if key, err := writeKey(next.key); err != nil || !bytes.Equal(s.Data["tls.key"], key) {
		t.Errorf("the key is another one: %v", err)
	}

	p.advance(time.Hour)
	s = step("drop", "tls.crt tls.key; "+forKey, 0)
	if !bytes.Equal(s.Data["tls.crt"], writeCertificates(next.leaf)) {
		t.Error("what is presented has changed")
	}
}

// TestMeshServerRotation replaces a certificate in one step.
func TestMeshServerRotation(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{echo}, []string{"shop"})
	p.Time = p.settled()
	before := p.shown(echo)[0]
	p.restart()
	p.settled()
	after := p.shown(echo)[0]
	if after.Equal(before) || !after.NotAfter.Equal(p.now().Add(90*24*time.Hour).Truncate(time.Second)) {
		t.Errorf("it is valid until %s", after.NotAfter)
	}
	more := echo
	more.Names = append(more.Names, "x.shop")
	p.mesh.Want([]engine.Identity{more}, []string{"shop"})
	p.settled()
	if names := fmt.Sprint(p.shown(echo)[0].DNSNames); names != "[echo-mesh.shop echo-mesh.shop.svc x.shop]" {
		t.Errorf("with another name it is for %s", names)
	}
	fewer := engine.Identity{Role: echo.Role, For: echo.For, Names: echo.Names[:1]}
	p.mesh.Want([]engine.Identity{fewer}, []string{"shop"})
	p.settled()
	if names := fmt.Sprint(p.shown(echo)[0].DNSNames); names != "[echo-mesh.shop]" {
		t.Errorf("with one name it is for %s", names)
	}
	if got := entriesOf(p.secret(home, identitySecret("server", echo.For))); got != "tls.crt tls.key; cuegate.dev/mesh-for" {
		t.Errorf("there is %s", got)
	}
}

// TestMeshMends breaks Secrets of certificates.
func TestMeshMends(t *testing.T) {
	other := newPKI(t, MeshOptions{})
	other.mesh.Want([]engine.Identity{web, echo}, nil)
	other.settled()
	stranger := func(id engine.Identity) *corev1.Secret {
		return other.secret(home, identitySecret(id.Role, id.For))
	}
	for name, c := range map[string]struct {
		how func(t *testing.T, s, strange *corev1.Secret)
		// lost tells that nobody can know any more what was presented.
		lost bool
	}{
		"rubbish":         {how: func(_ *testing.T, s, _ *corev1.Secret) { s.Data["tls.crt"] = []byte("x") }, lost: true},
		"a broken one":    {how: func(_ *testing.T, s, _ *corev1.Secret) { s.Data["tls.crt"][100] ^= 1 }, lost: true},
		"no key":          {how: func(_ *testing.T, s, _ *corev1.Secret) { s.Data["tls.key"] = nil }},
		"another key":     {how: func(_ *testing.T, s, x *corev1.Secret) { s.Data["tls.key"] = x.Data["tls.key"] }},
		"an expired one":  {how: replaced(time.Hour, -time.Second), lost: true},
		"one of tomorrow": {how: replaced(-time.Hour, 2*time.Hour), lost: true},
		"one for nobody":  {how: replaced(time.Hour, time.Hour)},
		"an Ed25519 one":  {how: withEd25519},
		"another CA's one": {how: func(_ *testing.T, s, x *corev1.Secret) {
			s.Data["tls.crt"], s.Data["tls.key"] = x.Data["tls.crt"], x.Data["tls.key"]
		}},
	} {
		for _, id := range []engine.Identity{web, echo} {
			t.Run(name+" of a "+id.Role, func(t *testing.T) {
				p := newPKI(t, MeshOptions{})
				p.mesh.Want([]engine.Identity{id}, []string{"shop"})
				p.settled()
				secret := identitySecret(id.Role, id.For)
				p.edit(home, secret, func(s *corev1.Secret) { c.how(t, s, stranger(id)) })
				broken := letIn(p.secret(home, secret))
				p.settled()
				if id.Role == "client" && !c.lost {
					// Callers that present it still are let in.
					if now := letIn(p.secret(home, secret)); len(broken) == 0 || !slices.Contains(now, broken[0]) || len(now) != 2 {
						t.Errorf("of %v, %v are let in", broken, now)
					}
				}
				p.advance(time.Hour)
				p.settled()
				p.advance(time.Hour)
				p.settled()
				leaf := p.shown(id)[0]
				spec, err := specOf(identity{role: id.Role, of: id.For, names: id.Names}, "cluster.local")
				if err != nil || !spec.fits(leaf) || !p.mesh.authority.issued(leaf) || !validAt(leaf, p.now()) {
					t.Errorf("what is presented is of no use: %v", err)
				}
				if n := len(letIn(p.secret(home, secret))); n != 1 {
					t.Errorf("%d are let in", n)
				}
			})
		}
	}
}

// replaced puts a self-signed certificate there that is valid from a time ago.
func replaced(ago, rest time.Duration) func(*testing.T, *corev1.Secret, *corev1.Secret) {
	return func(t *testing.T, s, _ *corev1.Secret) {
		t.Helper()
		p, err := newCA(time.Hour, newClock().now())
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{NotBefore: newClock().Add(-ago), NotAfter: newClock().Add(rest), Subject: pkix.Name{CommonName: "x"}}
		if p.leaf, err = sign(c, nil, p.key.Public(), p.key); err != nil {
			t.Fatal(err)
		}
		if err := put(s, "tls", p); err != nil {
			t.Fatal(err)
		}
	}
}

func withEd25519(t *testing.T, s, _ *corev1.Secret) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	was := readCertificates(s.Data["tls.crt"])[0]
	c := *was
	c.PublicKey, c.SerialNumber, c.SignatureAlgorithm = public, big.NewInt(1), 0
	leaf, err := sign(&c, nil, public, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := put(s, "tls", &meshPair{leaf: leaf, key: key}); err != nil {
		t.Fatal(err)
	}
}

// TestMeshBrokenWhileStaged has what is staged take the place of what cannot be
// presented: callees let it in already.
func TestMeshBrokenWhileStaged(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{web}, []string{"shop"})
	p.Time = p.settled()
	p.settled()
	name := identitySecret("client", web.For)
	staged := p.secret(home, name).Data["next.crt"]
	p.edit(home, name, func(s *corev1.Secret) { s.Data["tls.key"] = []byte("x") })
	p.settled()
	if s := p.secret(home, name); !bytes.Equal(s.Data["tls.crt"], staged) || len(letIn(s)) != 2 {
		t.Errorf("there is %s", entriesOf(s))
	}
}

// TestMeshOddTimes breaks what the annotations say: a phase begins again, and ends.
func TestMeshOddTimes(t *testing.T) {
	for _, text := range []string{"", "yesterday", "2999-01-01T00:00:00Z"} {
		p := newPKI(t, MeshOptions{})
		p.mesh.Want([]engine.Identity{web}, []string{"shop"})
		p.Time = p.settled()
		p.settled()
		name := identitySecret("client", web.For)
		for _, key := range []string{stagedKey, promotedKey} {
			p.advance(30 * time.Minute)
			p.edit(home, name, func(s *corev1.Secret) { s.Annotations[key] = text })
			p.settled()
			before := letIn(p.secret(home, name))
			p.advance(time.Hour - time.Second)
			p.settled()
			if now := letIn(p.secret(home, name)); !slices.Equal(before, now) {
				t.Errorf("%q in %s: the phase is over too soon", text, key)
			}
			p.advance(time.Second)
			p.settled()
			if now := letIn(p.secret(home, name)); slices.Equal(before, now) {
				t.Errorf("%q in %s: the phase never ends", text, key)
			}
		}
	}
}

// TestMeshLateRotation begins when less than an overlap is left: what is staged takes
// the place of what expires in time to get around.
func TestMeshLateRotation(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{web}, []string{"shop"})
	p.settled()
	first := p.shown(web)[0]
	p.Time = first.NotAfter.Add(-50 * time.Minute)
	if due := p.settled(); !due.Equal(first.NotAfter.Add(-30*time.Minute)) || !p.shown(web)[0].Equal(first) {
		t.Errorf("it is looked at again at %s", due)
	}
	p.Time = first.NotAfter.Add(-30 * time.Minute)
	p.settled()
	if p.shown(web)[0].Equal(first) || len(letIn(p.secret(home, identitySecret("client", web.For)))) != 2 {
		t.Error("what expires is presented")
	}
}

// TestMeshStagedNoMore throws away what is staged for a name that has changed meanwhile.
func TestMeshStagedNoMore(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	p.mesh.Want([]engine.Identity{web}, []string{"shop"})
	p.Time = p.settled()
	p.settled()
	name := identitySecret("client", web.For)
	before := p.secret(home, name)
	p.advance(30 * time.Minute)
	p.o.TrustDomain = "other.example.org"
	p.restart()
	if due := p.settled(); !due.Equal(p.now().Add(time.Hour)) {
		t.Errorf("it is looked at again after %s", due.Sub(p.now()))
	}
	s := p.secret(home, name)
	if bytes.Equal(s.Data["next.crt"], before.Data["next.crt"]) || !bytes.Equal(s.Data["tls.crt"], before.Data["tls.crt"]) {
		t.Errorf("what is staged is the same as before, or what is presented is not")
	}
	p.advance(time.Hour)
	p.settled()
	if uri := p.shown(web)[0].URIs[0].String(); uri != "spiffe://other.example.org/ns/shop/group/web" {
		t.Errorf("it is for %s", uri)
	}
}

// TestMeshLongNames has names that are longer than a common name may be.
func TestMeshLongNames(t *testing.T) {
	p := newPKI(t, MeshOptions{})
	long := strings.Repeat("x", 63)
	a, b := engine.Identity{Role: "client", For: long + "/" + long + "a"}, engine.Identity{Role: "client", For: long + "/" + long + "b"}
	server := engine.Identity{Role: "server", For: "DaemonSet/shop/a", Names: []string{long + "." + long, "short.shop"}}
	alone := engine.Identity{Role: "server", For: "DaemonSet/shop/b", Names: []string{long + "." + long}}
	p.mesh.Want([]engine.Identity{a, b, server, alone}, nil)
	p.settled()
	if x, y := p.shown(a)[0].Subject.CommonName, p.shown(b)[0].Subject.CommonName; x == y || len(x) != 64 || len(y) != 64 {
		t.Errorf("they are called %s and %s", x, y)
	}
	if x := p.shown(server)[0].Subject.CommonName; x != "short.shop" {
		t.Errorf("it is called %s", x)
	}
	if x := p.shown(alone)[0]; x.Subject.CommonName != "" || x.VerifyHostname(long+"."+long) != nil {
		t.Errorf("it is called %s, for %v", x.Subject, x.DNSNames)
	}
}
