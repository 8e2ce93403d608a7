package k8s

import (
	"crypto/x509"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Rules of the certificates of the mesh
//
// All that is known of a certificate is in its Secret; what is to be done follows from
// that, from what is wanted and from the time, so that whoever leads goes on where
// another one stopped.
//
//	tls.crt, tls.key    what is presented
//	next.crt, next.key  what will be; callees let it in already
//	previous.crt        what was; callees let it in still
//
// A server's certificate is replaced in one step. A client's takes three, each an
// overlap after the one before, so that a caller and a callee that are not an overlap
// apart always agree:
//
//	          stage               promote              drop
//	presented |  old               |  new               |
//	let in    |  old, new          |  new, old          |  new
//
// One that cannot be presented at all, because it is broken or has expired, is replaced
// at once. What needs no CA is done without one.

// Entries of a Secret of the mesh.
const (
	previousCertificate = "previous.crt"
	stagedKey           = "cuegate.dev/mesh-staged"   // since when next.crt is there
	promotedKey         = "cuegate.dev/mesh-promoted" // since when previous.crt is there
	unwantedKey         = "cuegate.dev/mesh-unwanted" // since when nobody wants it
)

// Steps, as they are logged.
const (
	stepIssued   = "issued"
	stepStaged   = "staged"
	stepPromoted = "promoted"
	stepDropped  = "dropped"
)

// errNoAuthority means that nothing can be issued for now.
var errNoAuthority = errors.New("there is no CA that can sign")

// keeper knows for how long things are as they are.
type keeper struct {
	lifetime, overlap, caOverlap time.Duration
}

// keep does in the Secret what is due, and gives the steps that were taken, and when
// the next one is; no time is never. It may have taken some and then give an error.
func (k keeper) keep(s *corev1.Secret, spec leafSpec, a *authority, now time.Time) (due time.Time, steps []string, err error) {
	step := k.server
	if spec.role == roleClient {
		step = k.client
	}
	for {
		taken, next, err := step(s, spec, a, now)
		if taken == "" || err != nil {
			return next, steps, err
		}
		steps = append(steps, taken)
	}
}

func (k keeper) server(s *corev1.Secret, spec leafSpec, a *authority, now time.Time) (string, time.Time, error) {
	if shown := pairIn(s, "tls", now); shown != nil {
		if at := k.replaceAt(shown.leaf, spec, a, now); now.Before(at) {
			return "", at, nil
		}
	}
	fresh, err := a.issue(spec, k.lifetime, now)
	if err != nil {
		return "", time.Time{}, err
	}
	return stepIssued, time.Time{}, put(s, "tls", fresh)
}

func (k keeper) client(s *corev1.Secret, spec leafSpec, a *authority, now time.Time) (string, time.Time, error) {
	shown, next := pairIn(s, "tls", now), pairIn(s, "next", now)
	if next == nil || !spec.fits(next.leaf) {
		next = nil
		if drop(s, "next.crt", "next.key", stagedKey) {
			return stepDropped, time.Time{}, nil
		}
	}
	switch {
	case shown == nil && next != nil:
		promote(s, now)
		return stepPromoted, time.Time{}, nil
	case shown == nil:
		fresh, err := a.issue(spec, k.lifetime, now)
		if err != nil {
			return "", time.Time{}, err
		}
		keepPrevious(s, now)
		return stepIssued, time.Time{}, put(s, "tls", fresh)
	}
	// until is when what was presented before is let in no more.
	var until time.Time
	if _, there := s.Data[previousCertificate]; there {
		until = k.since(s, promotedKey, now).Add(k.overlap)
		was := readCertificates(s.Data[previousCertificate])
		if len(was) == 0 || !validAt(was[0], now) || !now.Before(until) {
			drop(s, previousCertificate, promotedKey)
			return stepDropped, time.Time{}, nil
		}
	}
	if next == nil {
		at := k.replaceAt(shown.leaf, spec, a, now)
		if now.Before(at) {
			return "", soonerOf(until, at), nil
		}
		fresh, err := a.issue(spec, k.lifetime, now)
		if err != nil {
			return "", until, err
		}
		setTime(s, stagedKey, now)
		return stepStaged, time.Time{}, put(s, "next", fresh)
	}
	// Where it is late, the time that is left is for both halves of the way.
	at := soonerOf(k.since(s, stagedKey, now).Add(k.overlap), shown.leaf.NotAfter.Add(-k.overlap/2))
	if now.Before(at) {
		return "", soonerOf(until, at), nil
	}
	promote(s, now)
	return stepPromoted, time.Time{}, nil
}

// replaceAt is when a certificate that can be presented has to be replaced by one that
// the CA issues.
func (k keeper) replaceAt(c *x509.Certificate, spec leafSpec, a *authority, now time.Time) time.Time {
	switch {
	case !spec.fits(c):
		return time.Time{}
	case !a.signs(now):
		return renewAt(c)
	case a.issued(c):
		at := renewAt(c)
		if !a.until(k.lifetime, laterOf(at, now)).After(c.NotAfter) {
			return c.NotAfter // it is the CA that ends: a new one would not live longer
		}
		return at
	case !a.trusts(c, now):
		return time.Time{}
	}
	// Another CA issued it, which is trusted still: until all trust the new one, this one
	// is better, unless it ends.
	return soonerOf(a.since.Add(k.caOverlap), k.lateFor(c))
}

// lateFor is when it is high time to replace a certificate, or what a CA issued until it
// ends: a client's takes two overlaps.
func (k keeper) lateFor(c *x509.Certificate) time.Time { return c.NotAfter.Add(-3 * k.overlap) }

// pairIn gives a pair of the Secret that can be presented now, or nil.
func pairIn(s *corev1.Secret, name string, now time.Time) *meshPair {
	p, err := readPair(s.Data[name+".crt"], s.Data[name+".key"])
	if err != nil || !validAt(p.leaf, now) {
		return nil
	}
	return p
}

func put(s *corev1.Secret, name string, p *meshPair) error {
	key, err := writeKey(p.key)
	if err != nil {
		return err
	}
	if s.Data == nil {
		s.Data = map[string][]byte{}
	}
	s.Data[name+".crt"] = append(writeCertificates(p.leaf), writeCertificates(p.chain...)...)
	s.Data[name+".key"] = key
	return nil
}

// drop takes entries and annotations away, and tells whether an entry was there.
func drop(s *corev1.Secret, keys ...string) bool {
	had := false
	for _, key := range keys {
		_, is := s.Data[key]
		had = had || is
		delete(s.Data, key)
		delete(s.Annotations, key)
	}
	return had
}

// promote puts what is staged in the place of what is presented.
func promote(s *corev1.Secret, now time.Time) {
	keepPrevious(s, now)
	s.Data["tls.crt"], s.Data["tls.key"] = s.Data["next.crt"], s.Data["next.key"]
	drop(s, "next.crt", "next.key", stagedKey)
}

// keepPrevious has what was presented let in still, without its key.
func keepPrevious(s *corev1.Secret, now time.Time) {
	if was := readCertificates(s.Data["tls.crt"]); len(was) > 0 && validAt(was[0], now) {
		s.Data[previousCertificate] = writeCertificates(was[0])
		setTime(s, promotedKey, now)
	}
}

// since reads when a phase began. Where nobody says, or the time is absurd, it is now.
func (k keeper) since(s *corev1.Secret, annotation string, now time.Time) time.Time {
	t := timeIn(s, annotation)
	if t.IsZero() || t.After(now.Add(k.overlap)) {
		t = now
		setTime(s, annotation, t)
	}
	return t
}

func timeIn(s *corev1.Secret, annotation string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s.Annotations[annotation])
	if err != nil {
		return time.Time{}
	}
	return t
}

func setTime(s *corev1.Secret, annotation string, t time.Time) {
	if s.Annotations == nil {
		s.Annotations = map[string]string{}
	}
	s.Annotations[annotation] = t.UTC().Format(time.RFC3339Nano)
}

// soonerOf gives the first of two times; no time is never.
func soonerOf(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
