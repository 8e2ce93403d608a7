package tyk

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// Bootstrap brings a Dashboard to where it can be pushed to: an organisation, an
// admin user with a password, and the access key of that user. What is there already
// is taken as it is.
//
// Every step is saved before the next one, so that a run that failed anywhere is
// gone on with by the next run.
type Bootstrap struct {
	// Dashboard is the place; its Secret is the admin secret.
	Dashboard Settings
	// Organisation is the name or the id of the organisation, and Email the user's;
	// where one is empty, what is known counts, and else a default.
	Organisation, Email string
	// Key is the access key of a user who is there already: then none is created,
	// and the user's password is left alone.
	Key Secret
	// RotateKey asks for a new access key.
	RotateKey bool
	// Save keeps what is known so far. It is called before anything is created.
	Save func(context.Context, BootstrapState) error
	// Progress is told of each step that was done, without secrets; may be nil.
	Progress func(string)
}

// Bootstrapped is how a bootstrap ended.
type Bootstrapped struct {
	State BootstrapState
	// NewKey and NewPassword tell which secrets nobody has been shown yet.
	NewKey, NewPassword bool
}

// Defaults of a Bootstrap.
const (
	defaultOrganisation = "Cuegate"
	defaultEmail        = "admin@cuegate.local"
)

// ErrEmailTaken means that a user has the email address whom no bootstrap of ours
// made.
var ErrEmailTaken = errors.New("a user has that email address already")

// bootstrapping is a Bootstrap at work.
type bootstrapping struct {
	Bootstrap
	admin *adminAPI
	state BootstrapState
	// resumed tells that a run before this one may have created the user.
	resumed bool
}

// Run does what is left to do after what is known of runs before.
func (b Bootstrap) Run(ctx context.Context, known BootstrapState) (Bootstrapped, error) {
	r := &bootstrapping{Bootstrap: b, state: known, resumed: known.Pending != ""}
	err := r.run(ctx)
	if err != nil {
		return Bootstrapped{}, scrubError(err, b.Dashboard.Secret, b.Key, r.state.Key, r.state.Password)
	}
	finished := known.Pending != "" || known.OrgID == ""
	return Bootstrapped{
		State:       r.state,
		NewPassword: finished && !r.state.Password.Empty(),
		NewKey:      b.Key.Empty() && r.state.Key.reveal() != known.Key.reveal() || finished && !r.state.Password.Empty(),
	}, nil
}

func (r *bootstrapping) run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	defer r.admin.Close()
	all, err := r.admin.organisations(ctx)
	if err != nil {
		return err
	}
	if !r.Key.Empty() {
		return r.adopt(ctx, all)
	}
	if err := r.organisation(ctx, all); err != nil {
		return err
	}
	if err := r.user(ctx); err != nil {
		return err
	}
	if err := r.checkKey(ctx); err != nil {
		return err
	}
	if r.state.Pending != "" {
		return r.password(ctx)
	}
	if r.RotateKey {
		return r.rotate(ctx)
	}
	return nil
}

// begin settles names, and finds what no call could mend.
func (r *bootstrapping) begin() error {
	s := r.Dashboard
	s.Mode = Dashboard
	s = s.withDefaults()
	if s.Secret.Empty() {
		return errors.New("there is no admin secret for " + s.Name)
	}
	if strings.ContainsFunc(s.Secret.reveal(), unicode.IsControl) {
		return errors.New("the admin secret for " + s.Name + " holds a line break or another character that no header may have")
	}
	r.Dashboard = s
	// What was not created yet may still be called otherwise.
	if r.state.Key.Empty() {
		r.state.Email = firstOf(r.Email, r.state.Email)
	}
	if r.state.OrgID == "" {
		r.state.Organisation = firstOf(r.Organisation, r.state.Organisation)
	}
	if r.Email != "" && r.Email != r.state.Email {
		return fmt.Errorf("what was bootstrapped before has the user %s, and not %s: leave the email address out, or keep the other in another place", r.state.Email, r.Email)
	}
	if r.Organisation != "" && r.Organisation != r.state.Organisation && r.Organisation != r.state.OrgID {
		return fmt.Errorf("what was bootstrapped before has the organisation %s, and not %s: leave the organisation out, or keep the other in another place", r.state.Organisation, r.Organisation)
	}
	r.state.Organisation = firstOf(r.state.Organisation, defaultOrganisation)
	r.state.Email = firstOf(r.state.Email, defaultEmail)
	if err := r.state.checkNames(); err != nil {
		return err
	}
	var err error
	r.admin, err = newAdminAPI(s)
	return err
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// organisation finds the organisation, or makes one.
func (r *bootstrapping) organisation(ctx context.Context, all []organisation) error {
	if r.state.OrgID != "" {
		o := named(all, r.state.OrgID)
		if len(o) == 0 {
			return fmt.Errorf("the Dashboard has no organisation %s any more: if it is another Dashboard, or was emptied, delete what is kept of the old one and run again", r.state.OrgID)
		}
		return nil
	}
	if r.state.Pending == "" {
		r.state.Pending = newToken()
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	switch found := named(all, r.state.Organisation); {
	case len(found) > 1:
		return fmt.Errorf("the Dashboard has %d organisations with the name %q: name one by its id, such as %s", len(found), r.state.Organisation, found[0].ID)
	case len(found) == 1:
		r.state.OrgID, r.state.Organisation = found[0].ID, found[0].Name
		r.tell("adopted the organisation %s (%s)", found[0].Name, found[0].ID)
	case databaseID.MatchString(r.state.Organisation):
		return fmt.Errorf("the Dashboard has no organisation with the id %s", r.state.Organisation)
	default:
		id, err := r.admin.createOrganisation(ctx, r.state.Organisation)
		if err != nil {
			return err
		}
		r.state.OrgID = id
		r.tell("created the organisation %s (%s)", r.state.Organisation, id)
	}
	return r.save(ctx)
}

// databaseID is what the database calls its rows.
var databaseID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// named gives those with that name or id.
func named(all []organisation, text string) []organisation {
	var found []organisation
	for _, o := range all {
		if o.ID == text {
			return []organisation{o}
		}
		if o.Name == text {
			found = append(found, o)
		}
	}
	return found
}

// user makes the user, or finds the one that a run before made without coming to
// know.
func (r *bootstrapping) user(ctx context.Context) error {
	if r.state.Key.Empty() {
		u, err := r.admin.createUser(ctx, r.state.OrgID, r.state.Email, r.mark())
		switch {
		case errors.Is(err, errUserWithoutKey), errors.Is(err, ErrEmailTaken) && r.resumed:
			u, err = r.recover(ctx)
		case err == nil:
			r.tell("created the user %s", r.state.Email)
		}
		if err != nil {
			return err
		}
		r.state.UserID, r.state.Key = u.ID, NewSecret(u.Key)
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	if r.state.UserID != "" {
		return nil
	}
	all, err := r.with(r.state.Key).users(ctx)
	if err != nil {
		return err
	}
	for _, u := range all {
		if u.Email == r.state.Email {
			r.state.UserID = u.ID
			return r.save(ctx)
		}
	}
	return fmt.Errorf("the Dashboard does not list the user %s that it has created: look whether its database is well, and run again", r.state.Email)
}

// mark is the last name of the user that this bootstrap makes: by it a user is known
// whose key got lost on its way.
func (r *bootstrapping) mark() string { return "Bootstrap " + r.state.Pending }

// helperPrefix begins the email addresses of users that are there for a moment.
const helperPrefix = "cuegate-recovery-"

// recover finds a user whose key got lost on its way. Only a user of the
// organisation may list users, so there is another for that moment.
func (r *bootstrapping) recover(ctx context.Context) (dashboardUser, error) {
	_, domain, _ := strings.Cut(r.state.Email, "@")
	helper, err := r.admin.createUser(ctx, r.state.OrgID, helperPrefix+newToken()+"@"+domain, r.mark())
	if err != nil {
		return dashboardUser{}, err
	}
	all, err := r.with(NewSecret(helper.Key)).users(ctx)
	if err != nil {
		return dashboardUser{}, err
	}
	var lost dashboardUser
	for _, u := range all {
		if u.Email == r.state.Email && u.LastName == r.mark() {
			lost = u
		}
	}
	key := helper.Key
	if lost.ID != "" {
		found, err := r.admin.user(ctx, lost.ID)
		if err != nil {
			return dashboardUser{}, err
		}
		if found.Key == "" {
			return dashboardUser{}, fmt.Errorf("the Dashboard does not tell the key of %s: delete that user, and run again", r.state.Email)
		}
		lost.Key, key = found.Key, found.Key
	}
	for _, u := range all {
		if strings.HasPrefix(u.Email, helperPrefix) && u.LastName == r.mark() {
			if err := r.with(NewSecret(key)).deleteUser(ctx, u.ID); err != nil {
				err = fmt.Errorf("remove the user %s, which was there for a moment: %w", u.Email, err)
				if lost.ID == "" {
					err = fmt.Errorf("%w; and %w", r.taken(), err)
				}
				return dashboardUser{}, err
			}
		}
	}
	if lost.ID == "" {
		return dashboardUser{}, r.taken()
	}
	r.tell("found the user %s, which was created before", r.state.Email)
	return lost, nil
}

func (r *bootstrapping) taken() error {
	return fmt.Errorf("%w: %s", ErrEmailTaken, r.state.Email)
}

// checkKey tries the key. One that is refused was renewed by somebody, and then the
// new one is taken.
func (r *bootstrapping) checkKey(ctx context.Context) error {
	err := r.probe(ctx)
	var refused *Rejected
	if !errors.As(err, &refused) || refused.Status != 401 {
		return err
	}
	switch u, err := r.admin.user(ctx, r.state.UserID); {
	case errors.Is(err, errNotFound):
		return fmt.Errorf("the Dashboard has no user %s (%s) any more: delete what is kept of it and run again", r.state.Email, r.state.UserID)
	case err != nil:
		return err
	case u.Key == "" || u.Key == r.state.Key.reveal():
		return fmt.Errorf("the Dashboard refuses the key of %s, which it has itself: is the user active? %w", r.state.Email, refused)
	default:
		r.state.Key = NewSecret(u.Key)
	}
	if err := r.probe(ctx); err != nil {
		return err
	}
	r.tell("the user %s has a new key", r.state.Email)
	return r.save(ctx)
}

func (r *bootstrapping) probe(ctx context.Context) error {
	s := r.Dashboard
	s.Secret = r.state.Key
	d, err := newDashboardAPI(s)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = d.Probe(ctx)
	return err
}

// password sets one, and ends the bootstrap. A run that was broken off here tries
// another one: a Dashboard may refuse to take the same twice.
func (r *bootstrapping) password(ctx context.Context) error {
	r.state.Password = newPassword()
	if err := r.save(ctx); err != nil {
		return err
	}
	if err := r.with(r.state.Key).setPassword(ctx, r.state.UserID, r.state.Password); err != nil {
		return fmt.Errorf("setting the password of %s: %w", r.state.Email, err)
	}
	r.tell("set the password of %s", r.state.Email)
	r.state.Pending = ""
	return r.save(ctx)
}

// rotate asks for a new key, and reads it. If it is not read, the next run finds
// that the old one is refused, and reads it then.
func (r *bootstrapping) rotate(ctx context.Context) error {
	if err := r.with(r.state.Key).resetKey(ctx, r.state.UserID); err != nil {
		return err
	}
	return r.checkKey(ctx)
}

// adopt takes the user whose key is given, at once or not at all: a run that is gone
// on with must not set the password.
func (r *bootstrapping) adopt(ctx context.Context, all []organisation) error {
	if err := r.checkGivenKey(); err != nil {
		return err
	}
	users, err := r.with(r.Key).users(ctx)
	if err != nil {
		return err
	}
	var u dashboardUser
	for _, x := range users {
		if x.Key == r.Key.reveal() {
			u = x
		}
	}
	o := named(all, u.OrgID)
	switch {
	case u.ID == "":
		return errors.New("the Dashboard does not tell whose the given key is: give that of an admin user")
	case u.OrgID == "" || len(o) == 0:
		return fmt.Errorf("the user %s, whose key is given, belongs to no organisation: give the key of one who does", u.Email)
	case r.Organisation != "" && r.Organisation != o[0].Name && r.Organisation != o[0].ID:
		return fmt.Errorf("the user %s, whose key is given, belongs to the organisation %s, and not to %s", u.Email, o[0].Name, r.Organisation)
	case r.state.OrgID != "" && r.state.OrgID != o[0].ID:
		return fmt.Errorf("what was bootstrapped before is of the organisation %s, and the user whose key is given of %s: keep the other in another place", r.state.OrgID, o[0].ID)
	case r.Email != "" && r.Email != u.Email:
		return fmt.Errorf("the key that is given is that of %s, and not of %s", u.Email, r.Email)
	}
	before := r.state
	r.state.Organisation, r.state.OrgID = o[0].Name, o[0].ID
	r.state.Email, r.state.UserID, r.state.Key = u.Email, u.ID, r.Key
	if before.UserID != u.ID || before.Pending != "" {
		r.state.Password = Secret{}
	}
	r.state.Pending = ""
	if err := r.state.checkNames(); err != nil {
		return err
	}
	if err := r.probe(ctx); err != nil {
		return err
	}
	if r.state.same(before) {
		return nil
	}
	r.tell("adopted the organisation %s (%s) and the user %s", o[0].Name, o[0].ID, u.Email)
	return r.save(ctx)
}

func (r *bootstrapping) checkGivenKey() error {
	if !isKey(r.Key.reveal()) {
		return errors.New("the key that is given does not look like the access key of a Dashboard's user")
	}
	return nil
}

func (r *bootstrapping) save(ctx context.Context) error { return r.Save(ctx, r.state) }

func (r *bootstrapping) tell(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

// newToken is 12 hexadecimal digits, drawn at random.
func newToken() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// newPassword is four groups of six letters and digits, 120 bits, and has
// something of all that rules for passwords ask for.
func newPassword() Secret {
	for {
		text := rand.Text()[:24] // of A-Z and 2-7
		var b strings.Builder
		for i, c := range text {
			if i > 0 && i%6 == 0 {
				b.WriteByte('-')
			}
			if i%2 == 1 {
				c = unicode.ToLower(c)
			}
			b.WriteRune(c)
		}
		p := b.String()
		if strings.ContainsAny(p, "234567") && strings.ContainsFunc(p, unicode.IsLower) && strings.ContainsFunc(p, unicode.IsUpper) {
			return NewSecret(p)
		}
	}
}
