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
// there. One that the target lacks is added before the definitions are written; that
// it "already exists" counts only where its private key is there too. Rotation is a
// new id: the new certificate, the definitions, the reload, and then the old one is
// removed, if the mark of a definition says that it was ours and no definition of
// anybody speaks of it any more.

// certificates is what is known of the certificates of one target.
type certificates struct {
	// present are those that are there with their keys, since the last list.
	present map[string]bool
	// ours are those that the mark of a definition names.
	ours map[string]bool
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

// addCertificates adds those that the target lacks, and tells whether there were
// any: they are served after a reload. The error is one of the target.
func (t *target) addCertificates(ctx context.Context, want []engine.Desired, r *Report) (bool, error) {
	needed := map[string]engine.Certificate{}
	for _, d := range want {
		for _, c := range d.Certificates {
			if !t.certs.present[c.ID] {
				needed[c.ID] = c
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		added, err := t.addCertificate(ctx, needed[id])
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
		t.certs.present[id] = true
		t.certs.own([]string{id})
	}
	return len(r.CertificatesAdded) > 0, nil
}

// addCertificate adds one where it is missing, or stored without its key.
func (t *target) addCertificate(ctx context.Context, c engine.Certificate) (added bool, err error) {
	withKey, err := t.dialect.HasCertificate(ctx, c.ID)
	switch {
	case err == nil && withKey:
		return false, nil
	case err != nil && !errors.Is(err, errNotFound):
		return false, err
	case len(c.PEM) == 0:
		return false, errors.New("the Secret holds no private key")
	case !t.options.Now().Before(c.NotAfter):
		return false, fmt.Errorf("it expired at %s", c.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	case err == nil:
		// The store takes no second one of that id, with a key or without.
		if err := t.dialect.DeleteCertificate(ctx, c.ID); err != nil {
			return false, err
		}
	}
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
	return t.confirm(ctx, c.ID)
}

// confirm looks whether a certificate is there now: an answer of 200 may mean
// nothing.
func (t *target) confirm(ctx context.Context, id string) (bool, error) {
	withKey, err := t.dialect.HasCertificate(ctx, id)
	switch {
	case errors.Is(err, errNotFound):
		return false, &Unreachable{Op: "storing the certificate " + clip(id), Err: errors.New("the target took it and does not have it")}
	case err == nil && !withKey:
		err = errors.New("it is stored without its private key, and cannot be replaced")
	}
	return err == nil, err
}

// removeCertificates removes those of ours that nothing speaks of any more.
func (t *target) removeCertificates(ctx context.Context, want []engine.Desired, r *Report) error {
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
	var idle []string
	for id := range t.certs.ours {
		if !used[id] {
			idle = append(idle, id)
		}
	}
	if len(idle) == 0 {
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
			delete(t.certs.present, id)
			gone, err := t.removeCertificate(ctx, id)
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
