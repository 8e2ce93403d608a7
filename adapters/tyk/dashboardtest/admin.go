package dashboardtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// An Organisation of the Dashboard.
type Organisation struct {
	ID   string `json:"id"`
	Name string `json:"owner_name"`
	Slug string `json:"owner_slug"`
}

// A User of the Dashboard. It is never changed, only replaced.
type User struct {
	ID          string            `json:"id"`
	OrgID       string            `json:"org_id"`
	Email       string            `json:"email_address"`
	FirstName   string            `json:"first_name"`
	LastName    string            `json:"last_name"`
	Active      bool              `json:"active"`
	Permissions map[string]string `json:"user_permissions"`
	Key         string            `json:"access_key"`
	// Passwords are those that were ever set, the present one last.
	Passwords []string `json:"-"`
}

// callerKey is where a request carries the user who sends it.
type callerKey struct{}

func caller(r *http.Request) *User {
	u, _ := r.Context().Value(callerKey{}).(*User)
	return u
}

// userOf gives the user who has the key; nil if nobody has.
func (d *Dashboard) userOf(s *state, key string) *User {
	if key == "" {
		return nil
	}
	if key == d.config.Key {
		return d.configured()
	}
	for _, u := range s.users {
		if u.Active && u.Key == key {
			return u
		}
	}
	return nil
}

// configured is the user of the Config.
func (d *Dashboard) configured() *User {
	return &User{ID: "64f0c0de00000000000000ff", OrgID: d.config.OrgID, Active: true, Key: d.config.Key}
}

// forAdmin lets an endpoint answer only those who show the admin secret.
func (d *Dashboard) forAdmin(e endpoint) endpoint {
	return func(s *state, r *http.Request) answer {
		if secret := r.Header.Get(adminHeader); secret == "" || secret != d.config.AdminSecret {
			return failure(statusNotAuthorised, messageNotAuthorised)
		}
		return e(s, r)
	}
}

func (d *Dashboard) listOrganisations(s *state, _ *http.Request) answer {
	return answer{http.StatusOK, map[string]any{"organisations": slices.Clone(s.organisations), "pages": 0}}
}

func (d *Dashboard) createOrganisation(s *state, r *http.Request) answer {
	var o Organisation
	if json.NewDecoder(r.Body).Decode(&o) != nil {
		return failure(statusAdminMalformed, messageAdminMalformed)
	}
	id := s.addOrganisation(o)
	return answer{http.StatusOK, envelope{Status: envelopeOK, Message: messageOrganisationCreated, Meta: id}}
}

func (s *state) addOrganisation(o Organisation) string {
	s.people++
	o.ID = personID(s.people)
	s.organisations = append(s.organisations, o)
	return o.ID
}

func (d *Dashboard) createUser(s *state, r *http.Request) answer {
	var u User
	if json.NewDecoder(r.Body).Decode(&u) != nil {
		return failure(statusAdminMalformed, messageAdminMalformed)
	}
	if u.OrgID != "" && !slices.ContainsFunc(s.organisations, func(o Organisation) bool { return o.ID == u.OrgID }) {
		return failure(statusAdminMalformed, messageAdminMalformed)
	}
	if slices.ContainsFunc(s.users, func(x *User) bool { return x.OrgID == u.OrgID && x.Email == u.Email }) {
		return failure(statusEmailTaken, messageEmailTaken)
	}
	made := s.addUser(u)
	if d.config.Version.NoMeta {
		return answer{http.StatusOK, envelope{Status: envelopeOK, Message: made.Key}}
	}
	return answer{http.StatusOK, envelope{Status: envelopeOK, Message: made.Key, Meta: made}}
}

func (s *state) addUser(u User) *User {
	s.people++
	u.ID, u.Key = personID(s.people), s.newKey()
	s.users = append(s.users, &u)
	return &u
}

func (d *Dashboard) getUser(s *state, r *http.Request) answer {
	u := s.user(r.PathValue("id"))
	if u == nil {
		return failure(statusUnknownUser, messageUnknownUser)
	}
	return answer{http.StatusOK, u}
}

func (s *state) user(id string) *User {
	for _, u := range s.users {
		if u.ID == id {
			return u
		}
	}
	return nil
}

func (d *Dashboard) listUsers(s *state, r *http.Request) answer {
	all := []*User{}
	if d.config.Key != "" && caller(r).OrgID == d.config.OrgID {
		all = append(all, d.configured())
	}
	for _, u := range s.users {
		if u.OrgID == caller(r).OrgID {
			all = append(all, u)
		}
	}
	return answer{http.StatusOK, map[string]any{"users": all, "pages": 1}}
}

// change replaces a user of the caller's organisation by what f makes of it.
func (s *state) change(r *http.Request, f func(*User) *answer, message string) answer {
	old := s.user(r.PathValue("id"))
	if old == nil || old.OrgID != caller(r).OrgID {
		return failure(statusUnknownUser, messageUnknownUser)
	}
	u := *old
	if refusal := f(&u); refusal != nil {
		return *refusal
	}
	s.users[slices.Index(s.users, old)] = &u
	return success(message)
}

func (d *Dashboard) setPassword(s *state, r *http.Request) answer {
	var sent struct {
		NewPassword string `json:"new_password"`
	}
	if json.NewDecoder(r.Body).Decode(&sent) != nil {
		return failure(statusMalformed, messageMalformed)
	}
	return s.change(r, func(u *User) *answer {
		if len(sent.NewPassword) < 6 || slices.Contains(u.Passwords, sent.NewPassword) {
			refusal := failure(statusBadPassword, messageBadPassword)
			return &refusal
		}
		u.Passwords = append(slices.Clone(u.Passwords), sent.NewPassword)
		return nil
	}, messagePasswordSet)
}

func (d *Dashboard) renewKey(s *state, r *http.Request) answer {
	return s.change(r, func(u *User) *answer { u.Key = s.newKey(); return nil }, messageKeyRenewed)
}

func (d *Dashboard) deleteUser(s *state, r *http.Request) answer {
	u := s.user(r.PathValue("id"))
	switch {
	case u == nil || u.OrgID != caller(r).OrgID:
		return failure(statusUnknownUser, messageUnknownUser)
	case u.ID == caller(r).ID:
		return failure(statusOwnUser, messageOwnUser)
	}
	s.users = slices.DeleteFunc(slices.Clone(s.users), func(x *User) bool { return x == u })
	return success(messageUserDeleted)
}

// Organisations gives what was made, oldest first.
func (d *Dashboard) Organisations() []Organisation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.state.organisations)
}

// Users gives those who were made, oldest first, with keys and passwords.
func (d *Dashboard) Users() []User {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []User
	for _, u := range d.state.users {
		all = append(all, *u)
	}
	return all
}

// AddOrganisation makes one past the API, and gives its id.
func (d *Dashboard) AddOrganisation(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.addOrganisation(Organisation{Name: name})
}

// AddUser makes an active admin past the API.
func (d *Dashboard) AddUser(orgID, email string) User {
	d.mu.Lock()
	defer d.mu.Unlock()
	return *d.state.addUser(User{OrgID: orgID, Email: email, Active: true, Permissions: map[string]string{"IsAdmin": "admin"}})
}

// RenewKey gives a user another key past the API.
func (d *Dashboard) RenewKey(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.state.user(id); old != nil {
		u := *old
		u.Key = d.state.newKey()
		d.state.users[slices.Index(d.state.users, old)] = &u
	}
}

// personID is the id of an organisation or a user.
func personID(number int) string { return fmt.Sprintf("64f0c0df%016x", number) }

// newKey is 32 hexadecimal digits, the same in every run.
func (s *state) newKey() string {
	s.keys++
	return ownAPIID(fmt.Sprintf("key %d", s.keys))
}
