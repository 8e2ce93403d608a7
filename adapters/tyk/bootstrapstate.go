package tyk

import (
	"errors"
	"fmt"
	"regexp"
)

// BootstrapState is what a bootstrap knows, in part or whole.
type BootstrapState struct {
	// Organisation is the name, OrgID the id.
	Organisation, OrgID string
	// Email and UserID are those of the user.
	Email, UserID string
	// Key is the API access key of the user. Password is empty of one who was adopted.
	Key, Password Secret
	// Pending is a text of this bootstrap's own as long as it is not done.
	Pending string
}

// The fields of a BootstrapState where it is kept.
const (
	stateOrganisation = "organisation"
	stateOrgID        = "orgID"
	stateEmail        = "email"
	stateUserID       = "userID"
	stateKey          = "secret"
	statePassword     = "password"
	statePending      = "pending"
)

// Data gives every field that is not empty, secrets in clear: it is for where they
// are kept, and for showing them once. The key is called "secret".
func (s BootstrapState) Data() map[string]string {
	data := map[string]string{}
	for name, text := range map[string]string{
		stateOrganisation: s.Organisation, stateOrgID: s.OrgID, stateEmail: s.Email, stateUserID: s.UserID,
		stateKey: s.Key.reveal(), statePassword: s.Password.reveal(), statePending: s.Pending,
	} {
		if text != "" {
			data[name] = text
		}
	}
	return data
}

// ReadBootstrapState is the reverse of Data.
func ReadBootstrapState(data map[string]string) (BootstrapState, error) {
	s := BootstrapState{
		Organisation: data[stateOrganisation], OrgID: data[stateOrgID], Email: data[stateEmail], UserID: data[stateUserID],
		Key: NewSecret(data[stateKey]), Password: NewSecret(data[statePassword]), Pending: data[statePending],
	}
	if err := s.checkNames(); err != nil {
		return BootstrapState{}, err
	}
	if s.Pending == "" && (s.OrgID == "" || s.UserID == "" || s.Key.Empty()) {
		return BootstrapState{}, errors.New("the organisation's id, the user's id or the key is missing")
	}
	return s, nil
}

var (
	organisationPattern = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]{0,99}$`)
	emailPattern        = regexp.MustCompile(`^[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,190}$`)
	keyPattern          = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{16,512}$`)
)

// checkNames keeps to texts that may stand anywhere.
func (s BootstrapState) checkNames() error {
	switch {
	case !organisationPattern.MatchString(s.Organisation):
		return fmt.Errorf("the organisation's name %q is not made of up to 100 letters, digits, spaces, and . _ -", s.Organisation)
	case !emailPattern.MatchString(s.Email):
		return fmt.Errorf("%q is no email address of the form NAME@DOMAIN", s.Email)
	}
	return nil
}

// isKey tells whether a text looks like an access key, and may stand in a header and
// in a file.
func isKey(text string) bool { return keyPattern.MatchString(text) }

func (s BootstrapState) same(t BootstrapState) bool {
	return s.Organisation == t.Organisation && s.OrgID == t.OrgID && s.Email == t.Email && s.UserID == t.UserID &&
		s.Key.reveal() == t.Key.reveal() && s.Password.reveal() == t.Password.reveal() && s.Pending == t.Pending
}
