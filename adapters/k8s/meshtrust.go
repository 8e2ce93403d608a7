package k8s

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rules of what sidecars trust
//
// A CA is trusted from when it is first known. One that is neither the CA nor staged any
// more is trusted as long as a certificate of the mesh is of its making, and for an
// overlap after that. The list is in a Secret of its own, because that of the CA may be
// somebody's.

const (
	trustSecret = "cuegate-mesh-trust"
	trustEntry  = "trust.json"
)

// trusted is a CA that sidecars trust.
type trusted struct {
	certificate *x509.Certificate
	since       time.Time
	// unused is since when nothing depends on it; no time while something does.
	unused time.Time
}

// writtenTrust is how one is written.
type writtenTrust struct {
	Certificate string     `json:"certificate"`
	Since       time.Time  `json:"since"`
	Unused      *time.Time `json:"unused,omitempty"`
}

// storedTrust is the list, and the Secret that it is in, or nil.
type storedTrust struct {
	secret *corev1.Secret
	list   []trusted
}

// trust gives what is trusted by the Secret, or, where somebody took it away, what was.
func (m *Mesh) trust() storedTrust {
	t := storedTrust{secret: m.stores.own(trustSecret, meshTrustLabel)}
	ok := false
	if t.secret != nil {
		t.list, ok = readTrust(t.secret.Data[trustEntry])
	}
	if a := m.currentAuthority(); !ok && a != nil {
		t.list = a.trust
	}
	return t
}

func readTrust(text []byte) ([]trusted, bool) {
	var all []writtenTrust
	if json.Unmarshal(text, &all) != nil {
		return nil, false
	}
	var list []trusted
	for _, w := range all {
		c := readCertificates([]byte(w.Certificate))
		if len(c) != 1 {
			return nil, false
		}
		t := trusted{certificate: c[0], since: w.Since}
		if w.Unused != nil {
			t.unused = *w.Unused
		}
		list = append(list, t)
	}
	return list, len(list) > 0
}

func writeTrust(list []trusted) ([]byte, error) {
	all := []writtenTrust{}
	for _, t := range list {
		w := writtenTrust{Certificate: string(writeCertificates(t.certificate)), Since: t.since.UTC()}
		if !t.unused.IsZero() {
			unused := t.unused.UTC()
			w.Unused = &unused
		}
		all = append(all, w)
	}
	return json.Marshal(all)
}

// saveTrust writes the list, where it is another one than what is stored.
func (m *Mesh) saveTrust(ctx context.Context, stored storedTrust, list []trusted) (storedTrust, error) {
	text, err := writeTrust(list)
	if err != nil {
		return stored, err
	}
	s := stored.secret
	switch {
	case s == nil:
		s, err = m.create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: m.o.Namespace, Name: trustSecret, Labels: map[string]string{meshLabel: meshTrustLabel}},
			Type:       corev1.SecretTypeOpaque,
			Data:       map[string][]byte{trustEntry: text},
		})
	case string(s.Data[trustEntry]) != string(text):
		s = s.DeepCopy()
		s.Data = map[string][]byte{trustEntry: text}
		s, err = m.update(ctx, s)
	}
	return storedTrust{s, list}, err
}

// renewTrust gives what is trusted now, and when that has to be looked at again. current
// are the CAs that have to be; used tells whether something depends on another one.
func renewTrust(list []trusted, current []*x509.Certificate, used func(*x509.Certificate) bool, now time.Time, overlap time.Duration) (renewed []trusted, due time.Time) {
	for _, t := range list {
		switch {
		case slices.ContainsFunc(current, t.certificate.Equal):
			t.unused = time.Time{}
		case !now.Before(t.certificate.NotAfter):
			continue
		case used(t.certificate):
			t.unused = time.Time{}
			due = soonerOf(due, t.certificate.NotAfter)
		case t.unused.IsZero() || t.unused.After(now):
			t.unused = now
			due = soonerOf(due, now.Add(overlap))
		case !now.Before(t.unused.Add(overlap)):
			continue
		default:
			due = soonerOf(due, t.unused.Add(overlap))
		}
		renewed = append(renewed, t)
	}
	for _, c := range current {
		if !slices.ContainsFunc(renewed, func(t trusted) bool { return t.certificate.Equal(c) }) {
			renewed = append(renewed, trusted{certificate: c, since: now})
		}
	}
	return renewed, due
}

// sinceOf is since when a CA is trusted; now where it is not.
func sinceOf(list []trusted, c *x509.Certificate, now time.Time) time.Time {
	for _, t := range list {
		if t.certificate.Equal(c) {
			return t.since
		}
	}
	return now
}

// issuers tells which CAs issued certificates that are presented or let in, and that
// are not of the CA itself. It looks at them when it is first asked.
func (m *Mesh) issuers(ca *meshCA) func(*x509.Certificate) bool {
	var leaves []*x509.Certificate
	looked := false
	look := func() {
		for _, s := range m.stores.leaves() {
			for _, entry := range []string{"tls.crt", "next.crt", previousCertificate} {
				if all := readCertificates(s.Data[entry]); len(all) > 0 && !issuedBy(all[0], ca.leaf) {
					leaves = append(leaves, all[0])
				}
			}
		}
	}
	return func(c *x509.Certificate) bool {
		if !looked {
			looked = true
			look()
		}
		return slices.ContainsFunc(leaves, func(leaf *x509.Certificate) bool { return issuedBy(leaf, c) })
	}
}
