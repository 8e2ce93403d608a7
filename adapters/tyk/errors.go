package tyk

import (
	"errors"
	"fmt"
)

// Unreachable means that a target could not be asked, or gave an answer that may
// pass: it is worth a retry.
type Unreachable struct {
	// Op is what was tried, e.g. "PUT /tyk/apis/1acb3a".
	Op  string
	Err error
}

func (e *Unreachable) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

func (e *Unreachable) Unwrap() error { return e.Err }

// Rejected means that a target understood and refused: the same again would be
// refused again.
type Rejected struct {
	// Op is what was tried.
	Op     string
	Status int
	// Message is the target's own, cut to 200 bytes.
	Message string
}

func (e *Rejected) Error() string {
	return fmt.Sprintf("%s: refused with status %d: %s", e.Op, e.Status, e.Message)
}

var (
	// errNotFound: there is no such definition or certificate.
	errNotFound = errors.New("not found")
	// errTaken: the id is another's already.
	errTaken = errors.New("the id is taken")
	// errForeign: somebody else's definition has the id.
	errForeign = errors.New("a definition without our mark has its api_id; it is left alone")
	// errDeleteFailed is the gateway's answer for a definition that is loaded and
	// whose file is gone or has another name.
	errDeleteFailed = errors.New("delete failed")
)

// isUnreachable tells whether a call had no answer that counts, so that nobody
// knows whether it had its effect.
func isUnreachable(err error) bool {
	var u *Unreachable
	return errors.As(err, &u) && !refusesAll(err)
}

// refusesAll tells whether nothing else would fare better with this target. The
// gateway answers 403 to a wrong secret, and 500 to every write when a Dashboard
// rules it.
func refusesAll(err error) bool {
	var r *Rejected
	return errors.As(err, &r) && (r.Status == 401 || r.Status == 403 || r.Status >= 500)
}

// ofTarget tells whether the error is one of the target as a whole.
func ofTarget(err error) bool { return isUnreachable(err) || refusesAll(err) }
