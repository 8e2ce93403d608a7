package tyk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cuegate/cuegate/engine"
)

// Rules of certificates
//
// The id of a certificate is known beforehand, so definitions name it before it is
// there. One that the target lacks is added before the definitions are written, with its
// private key where one of them shows it; that it "already exists" counts only if it
// does as it is needed. One without a key is replaced by the one with it, and never the
// other way: who else uses it nobody knows.
//
// Rotation is a new id: the new certificate, the definitions, the reload, and then the
// old one is removed, if the mark of a definition says that it was ours, no definition of
// anybody speaks of it any more, and no other target needs it (claims.go).

// certificates is what is known of the certificates of one target.
type certificates struct {
	// present are those that are there, since the last list, and whether with their keys.
	present map[string]bool
	// ours are those that the mark of a definition names.
	ours map[string]bool
	// last is what was wanted last of those that the target needs: for held objects, of
	// which nobody says any more what they need.
	last map[string]engine.Certificate
	// missed: one was not there, so what names it is to be loaded again.
	missed bool
}

// forget makes the next push look for every certificate again: a target that lost
// its Redis lost them.
func (c *certificates) forget() { c.present = nil }

func (c *certificates) own(ids []string) {
	if c.ours == nil {
		c.ours = map[string]bool{}
	}
	for _, id := range ids {
		c.ours[id] = true
	}
}

// has tells whether one is there as it is needed.
func (c *certificates) has(x engine.Certificate) bool {
	withKey, there := c.present[x.ID]
	return there && (withKey || x.Public)
}

// retain forgets what nobody here needs.
func (c *certificates) retain(used map[string]bool) {
	unused := func(id string) bool { return !used[id] }
	maps.DeleteFunc(c.present, func(id string, _ bool) bool { return unused(id) })
	maps.DeleteFunc(c.last, func(id string, _ engine.Certificate) bool { return unused(id) })
}

// wanted are the certificates that the target needs, by id: the one with the key where
// both kinds are asked for.
func (t *target) wanted(want []engine.Desired) map[string]engine.Certificate {
	all := map[string]engine.Certificate{}
	stays := map[engine.Ref]bool{}
	for _, d := range want {
		if d.Outcome == engine.Held {
			stays[d.Object] = true
		}
		for _, c := range d.Certificates {
			if known, ok := all[c.ID]; !ok || known.Public {
				all[c.ID] = c
			}
		}
	}
	if len(stays) == 0 {
		return all
	}
	for _, e := range t.inventory.entries {
		for _, id := range e.live.Certificates {
			c, ok := t.certs.last[id]
			if _, known := all[id]; ok && !known && stays[e.live.Owner] {
				all[id] = c
			}
		}
	}
	return all
}

// addCertificates adds those that the target lacks, and tells whether it lacked any:
// they are served after a reload. The error is one of the target.
func (t *target) addCertificates(ctx context.Context, want []engine.Desired, r *Report) (bool, error) {
	needed := t.wanted(want)
	if t.certs.last == nil {
		t.certs.last = map[string]engine.Certificate{}
	}
	maps.Copy(t.certs.last, needed)
	maps.DeleteFunc(needed, func(_ string, c engine.Certificate) bool { return t.certs.has(c) || c.Public && t.expired(c) })
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		withKey, added, err := t.addCertificate(ctx, needed[id])
		switch {
		case err != nil && ofTarget(err):
			return false, err
		case err != nil:
			r.Certificates = append(r.Certificates, CertificateProblem{id, needed[id].Secret, err})
			continue
		case added:
			r.CertificatesAdded = append(r.CertificatesAdded, id)
		}
		if t.certs.present == nil {
			t.certs.present = map[string]bool{}
		}
		t.certs.present[id] = withKey
		t.certs.own([]string{id})
	}
	missed := t.certs.missed || len(r.CertificatesAdded) > 0
	t.certs.missed = false
	return missed, nil
}

// expired tells whether one is over: nobody can show it, and no store takes it.
func (t *target) expired(c engine.Certificate) bool { return !t.options.Now().Before(c.NotAfter) }

// addCertificate adds one where it is missing, or stored without the key that is needed.
func (t *target) addCertificate(ctx context.Context, c engine.Certificate) (withKey, added bool, err error) {
	withKey, err = t.dialect.HasCertificate(ctx, c.ID)
	switch {
	case err == nil && (withKey || c.Public):
		return withKey, false, nil
	case err != nil && !errors.Is(err, errNotFound):
		return false, false, err
	case len(c.PEM) == 0 && c.Public:
		return false, false, errors.New("the Secret holds no certificate")
	case len(c.PEM) == 0:
		return false, false, errors.New("the Secret holds no private key")
	case t.expired(c):
		return false, false, fmt.Errorf("it expired at %s", c.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	}
	if err != nil {
		if withKey, err = t.store(ctx, c); err != nil || withKey || c.Public {
			return withKey, err == nil, err
		}
	}
	return t.replaceCertificate(ctx, c)
}

// maxTries is how often one is stored while another pusher stores it without its key.
const maxTries = 3

// replaceCertificate puts the one with the key in the place of the one without: the
// store takes no second one of an id.
func (t *target) replaceCertificate(ctx context.Context, c engine.Certificate) (withKey, added bool, err error) {
	defer t.options.claims.alone(ctx, c.ID)()
	for range maxTries {
		withKey, err = t.dialect.HasCertificate(ctx, c.ID)
		if err == nil && withKey {
			return true, true, nil
		}
		if err == nil {
			err = t.dialect.DeleteCertificate(ctx, c.ID)
			defer t.options.claims.removed(t, c.ID)
		}
		if err != nil && !errors.Is(err, errNotFound) {
			return false, false, err
		}
		if withKey, err = t.store(ctx, c); err != nil || withKey {
			return withKey, err == nil, err
		}
	}
	return false, false, errors.New("it is stored without its private key, and cannot be replaced")
}

// store uploads one, and looks whether it is there now.
func (t *target) store(ctx context.Context, c engine.Certificate) (withKey bool, err error) {
	// An upload that seems to fail may have had its effect: it is ours from here on.
	t.certs.own([]string{c.ID})
	id, err := t.dialect.AddCertificate(ctx, c.PEM)
	if err != nil && !ofTarget(err) && !errors.Is(err, errTaken) {
		delete(t.certs.ours, c.ID)
	}
	switch {
	case errors.Is(err, errTaken):
		// Another pusher was faster, or an attempt of ours that seemed to fail.
	case err != nil:
		return false, err
	case id != c.ID:
		err = fmt.Errorf("the target calls it %s: is the organisation %q right?", clip(id), t.settings.OrgID)
		return false, errors.Join(err, t.dialect.DeleteCertificate(ctx, id))
	}
	// An answer of 200 may mean nothing.
	withKey, err = t.dialect.HasCertificate(ctx, c.ID)
	if errors.Is(err, errNotFound) {
		err = &Unreachable{Op: "storing the certificate " + clip(c.ID), Err: errors.New("the target took it and does not have it")}
	}
	return withKey, err
}

// names are the ids that what the target has, or is about to have, speaks of.
func (t *target) names(want []engine.Desired) map[string]bool {
	used := map[string]bool{}
	for _, d := range want {
		for _, c := range d.Certificates {
			used[c.ID] = true
		}
	}
	for _, e := range t.inventory.entries {
		for _, id := range e.live.Certificates {
			used[id] = true
		}
	}
	return used
}

// claim says which certificates the target needs; what it knows of others may change
// without it. known: that is all that it has.
func (t *target) claim(used map[string]bool, known bool) {
	t.certs.retain(used)
	if t.options.claims.name(t, used, known) {
		t.certs.forget()
	}
}

// removeCertificates removes those of ours that nothing speaks of any more.
func (t *target) removeCertificates(ctx context.Context, w *wants, want []engine.Desired, r *Report) error {
	used := t.names(want)
	t.claim(used, true)
	if t.settings.Sidecar {
		t.certs.own(slices.Collect(maps.Keys(t.options.claims.inherit())))
	}
	var idle []string
	for id := range t.certs.ours {
		if !used[id] && !w.named()[id] {
			idle = append(idle, id)
		}
	}
	if idle = t.options.claims.free(t, idle); len(idle) == 0 {
		return nil
	}
	slices.Sort(idle)
	spoken := map[string]bool{}
	err := t.dialect.List(ctx, func() { clear(spoken) }, func(definition []byte) error {
		for _, id := range idle {
			if bytes.Contains(definition, []byte(id)) {
				spoken[id] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range idle {
		if !spoken[id] {
			gone, err := t.removeCertificate(ctx, id)
			t.options.claims.removed(t, id)
			switch {
			case err != nil && ofTarget(err):
				return err
			case err != nil:
				r.Certificates = append(r.Certificates, CertificateProblem{id, "", err})
			case gone:
				r.CertificatesRemoved = append(r.CertificatesRemoved, id)
			default:
				continue // ours, still
			}
		}
		// One that somebody else uses, or keeps, is theirs from now on.
		delete(t.certs.ours, id)
	}
	return nil
}

// removeCertificate removes one, and looks whether it is gone.
func (t *target) removeCertificate(ctx context.Context, id string) (gone bool, err error) {
	if err := t.dialect.DeleteCertificate(ctx, id); err != nil {
		return false, err
	}
	_, err = t.dialect.HasCertificate(ctx, id)
	if errors.Is(err, errNotFound) {
		return true, nil
	}
	return false, err
}
