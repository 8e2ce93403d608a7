package k8s

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

// Rules of the CA of the mesh
//
// A CA that we made has our label, and the fingerprint that we wrote beside it. Any
// other is somebody's: it is used and never written, and where it is no good nothing is
// issued.
//
// Sidecars have to trust a CA before it signs. So the next one of ours is staged: it is
// trusted for an overlap (meshtrust.go) before it takes the place of the other. With it
// stays a certificate of the new CA by the old one, which servers send: a sidecar reads
// what it trusts once, when it starts, and one that started before the new CA was there
// has only the old one. A CA of somebody else's is there all of a sudden; then what the
// one before issued is kept for an overlap.

// Entries of the Secret of the CA.
const (
	// crossCertificate is of the CA by the one before.
	crossCertificate = "chain.crt"
	fingerprintKey   = "cuegate.dev/mesh-fingerprint" // of the CA that we wrote
)

// authority is the CA that signs, and all that sidecars trust. A nil one signs nothing.
type authority struct {
	signer *meshPair // nil where nothing can be issued
	// chain is what servers send after their own certificate.
	chain []*x509.Certificate
	// since is when the first sidecars began to trust the signer.
	since time.Time
	trust []trusted
}

// signs tells whether something can be issued now.
func (a *authority) signs(now time.Time) bool {
	return a != nil && a.signer != nil && validAt(a.signer.leaf, now)
}

// until is when a certificate ends that is issued now: never after its CA.
func (a *authority) until(life time.Duration, now time.Time) time.Time {
	return soonerOf(now.Add(life), a.signer.leaf.NotAfter)
}

// issued tells whether the CA issued a certificate.
func (a *authority) issued(c *x509.Certificate) bool {
	return a != nil && a.signer != nil && issuedBy(c, a.signer.leaf) && c.CheckSignatureFrom(a.signer.leaf) == nil
}

// trusts tells whether sidecars trust the issuer of a certificate.
func (a *authority) trusts(c *x509.Certificate, now time.Time) bool {
	for _, t := range a.trust {
		if validAt(t.certificate, now) && issuedBy(c, t.certificate) {
			return true
		}
	}
	return false
}

// bundle is what sidecars trust, as PEM; empty where that is nothing yet.
func (a *authority) bundle() []byte {
	if a == nil {
		return nil
	}
	var all []*x509.Certificate
	for _, t := range a.trust {
		all = append(all, t.certificate)
	}
	return writeCertificates(all...)
}

// same tells whether two authorities issue and trust the same.
func (a *authority) same(b *authority) bool {
	if a == nil || b == nil || (a.signer == nil) != (b.signer == nil) {
		return false
	}
	if a.signer != nil && !a.signer.leaf.Equal(b.signer.leaf) {
		return false
	}
	return a.since.Equal(b.since) && bytes.Equal(a.bundle(), b.bundle()) &&
		bytes.Equal(writeCertificates(a.chain...), writeCertificates(b.chain...))
}

// meshCA is what the Secret of the CA holds.
type meshCA struct {
	*meshPair
	ours bool
	next *meshPair // staged; nil where there is none that can be used
	// also are what its owner wants to be trusted besides.
	also []*x509.Certificate
	// cross is of this CA by the one before.
	cross []*x509.Certificate
}

// readCA reads the CA. One of ours may have expired; of another that is an error, as is
// all else that keeps it from signing.
func readCA(s *corev1.Secret, now time.Time) (*meshCA, error) {
	pair, err := readPair(s.Data["tls.crt"], s.Data["tls.key"])
	if err != nil {
		return nil, err
	}
	ca := &meshCA{meshPair: pair}
	ca.ours = s.Labels[meshLabel] == meshCALabel && s.Annotations[fingerprintKey] == printOf(pair.leaf)
	if err := checkCA(pair.leaf, now); err != nil && !(ca.ours && errors.Is(err, errExpired)) {
		return nil, err
	}
	if !ca.ours {
		for _, c := range readCertificates(s.Data["ca.crt"]) {
			if c.IsCA && validAt(c, now) {
				ca.also = append(ca.also, c)
			}
		}
		return ca, nil
	}
	if next, err := readPair(s.Data["next.crt"], s.Data["next.key"]); err == nil && checkCA(next.leaf, now) == nil {
		ca.next = next
	}
	ca.cross = readCertificates(s.Data[crossCertificate])
	return ca, nil
}

var errExpired = errors.New("it has expired")

// checkCA says why a certificate cannot sign others now.
func checkCA(c *x509.Certificate, now time.Time) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("it is no CA")
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("it must not sign certificates")
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is valid from %s only", c.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(c.NotAfter):
		return fmt.Errorf("%w: it was valid until %s", errExpired, c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// trusted gives the certificates that sidecars have to trust because of this CA.
func (ca *meshCA) trusted() []*x509.Certificate {
	all := append([]*x509.Certificate{ca.leaf}, ca.also...)
	if ca.next != nil {
		all = append(all, ca.next.leaf)
	}
	return all
}

// sent gives what servers send after their own certificate, so that who trusts the
// root, or the CA before, finds a way.
func (ca *meshCA) sent(now time.Time) []*x509.Certificate {
	all := ca.cross
	if !ca.ours {
		all = append([]*x509.Certificate{ca.leaf}, ca.chain...)
	}
	var sent []*x509.Certificate
	for _, c := range all {
		if !selfSigned(c) && validAt(c, now) {
			sent = append(sent, c)
		}
	}
	return sent
}

// rotate does with a CA of ours, in its Secret, what is due: the step, or "" and when
// the next one is.
func (k keeper) rotate(s *corev1.Secret, ca *meshCA, trust []trusted, life time.Duration, now time.Time) (step string, due time.Time, err error) {
	if ca.next == nil {
		if at := renewAt(ca.leaf); now.Before(at) {
			return "", at, nil
		}
		next, err := newCA(life, now)
		if err != nil {
			return "", time.Time{}, err
		}
		return stepStaged, time.Time{}, put(s, "next", next)
	}
	at := soonerOf(sinceOf(trust, ca.next.leaf, now).Add(k.caOverlap), k.lateFor(ca.leaf))
	if now.Before(at) {
		return "", at, nil
	}
	cross, err := crossSign(ca, now)
	if err != nil {
		return "", time.Time{}, err
	}
	s.Data[crossCertificate] = writeCertificates(cross)
	s.Data["tls.crt"], s.Data["tls.key"] = s.Data["next.crt"], s.Data["next.key"]
	s.Annotations[fingerprintKey] = printOf(ca.next.leaf)
	drop(s, "next.crt", "next.key")
	return stepPromoted, time.Time{}, nil
}

// newCA makes a CA that is valid for life.
func newCA(life time.Duration, now time.Time) (*meshPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// Two CAs must not have the same name: gateways find the right one by it.
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	t := caTemplate(now, now.Add(life))
	t.Subject = pkix.Name{Organization: []string{"Cuegate"}, CommonName: "Cuegate mesh CA " + hex.EncodeToString(id)}
	t.MaxPathLen = 1 // the certificate of the next CA
	c, err := sign(t, nil, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &meshPair{leaf: c, key: key}, nil
}

// crossSign certifies the next CA by the one before, for as long as that is valid.
func crossSign(ca *meshCA, now time.Time) (*x509.Certificate, error) {
	next := ca.next.leaf
	t := caTemplate(now, soonerOf(ca.leaf.NotAfter, next.NotAfter))
	t.RawSubject, t.SubjectKeyId = next.RawSubject, next.SubjectKeyId
	t.MaxPathLenZero = true
	return sign(t, ca.leaf, next.PublicKey, ca.key)
}

// caTemplate is of a CA for names only: sidecars that trust it for the mesh trust it for
// all that they call.
func caTemplate(now, until time.Time) *x509.Certificate {
	return &x509.Certificate{
		NotBefore: now.Add(-backdate), NotAfter: until,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:     true, BasicConstraintsValid: true,
		PermittedDNSDomainsCritical: true,
		ExcludedIPRanges:            []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}},
	}
}

// keepAuthority looks after the CA and what is trusted, and gives when it has to be
// looked at again.
func (m *Mesh) keepAuthority(ctx context.Context) (time.Time, error) {
	if !m.needed() {
		return time.Time{}, nil
	}
	now := m.o.Now()
	s, err := m.caSecret(ctx, now)
	if err != nil {
		return time.Time{}, err
	}
	trust := m.trust()
	for {
		ca, err := readCA(s, now)
		if err != nil {
			m.setAuthority(&authority{trust: trust.list})
			return m.whenValid(s, now), &meshFault{MeshProblem{Object: refOf(s), ID: meshCABroken,
				Msg: fmt.Sprintf("The CA of the mesh cannot be used: %s. Nothing is issued until it is mended; one that Cuegate made is made again when the Secret is deleted.", err)}}
		}
		list, due := renewTrust(trust.list, ca.trusted(), m.issuers(ca), now, m.o.CAOverlap)
		if trust, err = m.saveTrust(ctx, trust, list); err != nil {
			return time.Time{}, err
		}
		next, step, at := s.DeepCopy(), "", ca.leaf.NotAfter
		if ca.ours {
			if step, at, err = m.keeper.rotate(next, ca, list, m.o.CALifetime, now); err != nil {
				return time.Time{}, err
			}
		}
		if step == "" {
			m.setAuthority(newAuthority(ca, list, now))
			return soonerOf(due, at), nil
		}
		if s, err = m.update(ctx, next); err != nil {
			return time.Time{}, err
		}
		m.log.Info("the CA of the mesh is rotated", "step", step, "secret", refOf(s).String())
		if step == stepStaged {
			m.metrics.issued.WithLabelValues(meshCALabel).Inc()
		}
	}
}

func newAuthority(ca *meshCA, trust []trusted, now time.Time) *authority {
	return &authority{signer: ca.meshPair, chain: ca.sent(now), since: sinceOf(trust, ca.leaf, now), trust: trust}
}

// caSecret gives the Secret of the CA, which is made where there is none.
func (m *Mesh) caSecret(ctx context.Context, now time.Time) (*corev1.Secret, error) {
	if s := m.stores.ca(); s != nil {
		return s, nil
	}
	ca, err := newCA(m.o.CALifetime, now)
	if err != nil {
		return nil, err
	}
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.o.Namespace, Name: m.o.CASecret,
			Labels:      map[string]string{meshLabel: meshCALabel},
			Annotations: map[string]string{fingerprintKey: printOf(ca.leaf)}},
		Type: corev1.SecretTypeTLS,
	}
	if err := put(s, "tls", ca); err != nil {
		return nil, err
	}
	if s, err = m.create(ctx, s); err != nil {
		return nil, err
	}
	m.log.Info("a CA of the mesh was made", "secret", refOf(s).String())
	m.metrics.issued.WithLabelValues(meshCALabel).Inc()
	return s, nil
}

// whenValid is when a CA begins to be valid that is not yet.
func (m *Mesh) whenValid(s *corev1.Secret, now time.Time) time.Time {
	all := readCertificates(s.Data["tls.crt"])
	if len(all) == 0 || !now.Before(all[0].NotBefore) {
		return time.Time{}
	}
	return all[0].NotBefore
}

// setAuthority takes over what signs and is trusted now; where that is new, all that
// depends on it is looked at again.
func (m *Mesh) setAuthority(a *authority) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.same(m.authority) {
		return
	}
	m.authority = a
	if a.signer != nil {
		m.metrics.expiry.WithLabelValues(meshCALabel, "").Set(float64(a.signer.leaf.NotAfter.Unix()))
	}
	for name := range m.wanted.identities {
		m.enqueue(meshKey{meshLeaf, name})
	}
	for namespace := range m.wanted.namespaces {
		m.enqueue(meshKey{meshNamespace, namespace})
	}
}

func refOf(o metav1.Object) engine.Ref {
	kind := kindSecret
	if _, is := o.(*corev1.ConfigMap); is {
		kind = "ConfigMap"
	}
	return engine.Ref{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}
