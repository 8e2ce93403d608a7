package tyk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// adminAPI is the API of a Dashboard for whoever runs it. Sources: tyk-docs
// swagger/5.13/dashboard-admin-swagger.yml and dashboard-swagger.yml, tyk-k8s-bootstrap
// (tyk/organisation.go, tyk/user.go), the page tyk-dashboard-api/users of the
// documentation of v5.6; none of it was measured.
type adminAPI struct {
	*caller
}

// organisation of a Dashboard.
type organisation struct {
	ID   string `json:"id"`
	Name string `json:"owner_name"`
}

// dashboardUser is a user as the Dashboard tells.
type dashboardUser struct {
	ID       string `json:"id"`
	OrgID    string `json:"org_id"`
	Email    string `json:"email_address"`
	LastName string `json:"last_name"`
	Key      string `json:"access_key"`
}

// errUserWithoutKey: a user was created, and the answer has no access key.
var errUserWithoutKey = errors.New("the answer to a new user has no access key")

func newAdminAPI(s Settings) (*adminAPI, error) {
	c, err := newCaller(s)
	if err != nil {
		return nil, err
	}
	c.header = "admin-auth"
	return &adminAPI{c}, nil
}

// ask makes a call. A refused admin secret has a text of its own.
func (a *adminAPI) ask(ctx context.Context, r request) (answer, error) {
	got, err := a.do(ctx, r)
	if err == nil && got.status == http.StatusUnauthorized {
		err = fmt.Errorf("the Dashboard refuses the admin secret; give the one that it runs with, admin_secret of tyk_analytics.conf or TYK_DB_ADMINSECRET: %w", rejected(r, got))
	}
	return got, err
}

// organisations lists all. A Dashboard may answer 404 where there are none.
func (a *adminAPI) organisations(ctx context.Context) ([]organisation, error) {
	r := request{method: http.MethodGet, path: "/admin/organisations", query: onePage}
	got, err := a.ask(ctx, r)
	if err != nil {
		return nil, err
	}
	if got.status == http.StatusNotFound && strings.Contains(messageOf(got.body), "Could not retrieve") {
		return nil, nil
	}
	if got.status != http.StatusOK {
		return nil, rejected(r, got)
	}
	var list struct {
		Organisations []organisation `json:"organisations"`
	}
	if !gjson.GetBytes(got.body, "organisations").Exists() || json.Unmarshal(got.body, &list) != nil {
		return nil, &Rejected{Op: r.op(), Status: got.status, Message: "this is no Tyk Dashboard, or not its admin API"}
	}
	return list.Organisations, nil
}

// onePage asks for a whole list.
var onePage = url.Values{"p": {"-2"}}

// createOrganisation gives the id of a new one.
func (a *adminAPI) createOrganisation(ctx context.Context, name string) (string, error) {
	body, err := json.Marshal(map[string]any{"owner_name": name, "owner_slug": slug(name), "cname_enabled": true})
	if err != nil {
		return "", err
	}
	r := request{method: http.MethodPost, path: "/admin/organisations", body: body, once: true}
	got, err := a.ask(ctx, r)
	if err != nil {
		return "", err
	}
	if got.status != http.StatusOK {
		return "", rejected(r, got)
	}
	id := gjson.GetBytes(got.body, "Meta").String()
	if !idPattern.MatchString(id) {
		return "", &Rejected{Op: r.op(), Status: got.status, Message: "the answer names no organisation"}
	}
	return id, nil
}

// idPattern is what ids may look like: they become parts of paths, and of files.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

var notInSlug = regexp.MustCompile(`[^a-z0-9]+`)

func slug(name string) string {
	return strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

// createUser makes an admin of the organisation. The id is empty where the answer
// does not tell.
func (a *adminAPI) createUser(ctx context.Context, orgID, email, lastName string) (dashboardUser, error) {
	body, err := json.Marshal(map[string]any{
		"org_id": orgID, "first_name": "Cuegate", "last_name": lastName, "email_address": email,
		"active": true, "user_permissions": adminPermissions,
	})
	if err != nil {
		return dashboardUser{}, err
	}
	r := request{method: http.MethodPost, path: "/admin/users", body: body, once: true}
	got, err := a.ask(ctx, r)
	if err != nil {
		return dashboardUser{}, err
	}
	if message := messageOf(got.body); got.status != http.StatusOK {
		if (got.status == http.StatusForbidden || got.status == http.StatusConflict) && strings.Contains(message, "exist") {
			return dashboardUser{}, fmt.Errorf("%w: %s", ErrEmailTaken, email)
		}
		return dashboardUser{}, rejected(r, got)
	}
	u := dashboardUser{ID: gjson.GetBytes(got.body, "Meta.id").String(), Email: email, OrgID: orgID, LastName: lastName}
	// Older Dashboards tell the key as the message only.
	for _, path := range []string{"Meta.access_key", "Message"} {
		if text := gjson.GetBytes(got.body, path).String(); u.Key == "" && isKey(text) {
			u.Key = text
		}
	}
	if u.Key == "" {
		return dashboardUser{}, errUserWithoutKey
	}
	if !idPattern.MatchString(u.ID) {
		u.ID = ""
	}
	return u, nil
}

var adminPermissions = map[string]string{"IsAdmin": "admin"}

// user reads one, with the key.
func (a *adminAPI) user(ctx context.Context, id string) (dashboardUser, error) {
	r := request{method: http.MethodGet, path: "/admin/users/" + url.PathEscape(id)}
	got, err := a.ask(ctx, r)
	if err != nil {
		return dashboardUser{}, err
	}
	if got.status == http.StatusNotFound {
		return dashboardUser{}, errNotFound
	}
	var u dashboardUser
	if got.status != http.StatusOK || json.Unmarshal(got.body, &u) != nil {
		return dashboardUser{}, rejected(r, got)
	}
	if !isKey(u.Key) {
		u.Key = ""
	}
	return u, nil
}

// userAPI is what a user of the Dashboard may do with users.
type userAPI struct {
	*caller
}

// with speaks to the Dashboard as the user who has the key.
func (r *bootstrapping) with(key Secret) *userAPI {
	c := *r.admin.caller
	c.header, c.secret = "authorization", key
	return &userAPI{&c}
}

// users lists those of the user's organisation.
func (u *userAPI) users(ctx context.Context) ([]dashboardUser, error) {
	r := request{method: http.MethodGet, path: "/api/users", query: onePage}
	got, err := u.do(ctx, r)
	if err != nil {
		return nil, err
	}
	var list struct {
		Users []dashboardUser `json:"users"`
	}
	if got.status != http.StatusOK || json.Unmarshal(got.body, &list) != nil {
		return nil, rejected(r, got)
	}
	return list.Users, nil
}

// setPassword sets the user's own.
func (u *userAPI) setPassword(ctx context.Context, id string, password Secret) error {
	body, err := json.Marshal(map[string]any{"new_password": password.reveal(), "user_permissions": adminPermissions})
	if err != nil {
		return err
	}
	r := request{method: http.MethodPost, path: "/api/users/" + url.PathEscape(id) + "/actions/reset", body: body, once: true}
	return u.act(ctx, r)
}

// resetKey gives the user a new key, which the answer does not tell.
func (u *userAPI) resetKey(ctx context.Context, id string) error {
	return u.act(ctx, request{method: http.MethodPut, path: "/api/users/" + url.PathEscape(id) + "/actions/key/reset", once: true})
}

// deleteUser removes one; that there is none is as good.
func (u *userAPI) deleteUser(ctx context.Context, id string) error {
	r := request{method: http.MethodDelete, path: "/api/users/" + url.PathEscape(id)}
	got, err := u.do(ctx, r)
	if err == nil && got.status == http.StatusNotFound {
		return nil
	}
	return check(r, got, err)
}

func (u *userAPI) act(ctx context.Context, r request) error {
	got, err := u.do(ctx, r)
	return check(r, got, err)
}

func check(r request, got answer, err error) error {
	if err == nil && got.status != http.StatusOK {
		return rejected(r, got)
	}
	return err
}

// scrubError takes secrets out of an error: a Dashboard may repeat what it was sent.
func scrubError(err error, secrets ...Secret) error {
	text := err.Error()
	clean := text
	for _, s := range secrets {
		if !s.Empty() {
			clean = strings.ReplaceAll(clean, s.reveal(), redacted)
		}
	}
	if clean == text {
		return err
	}
	return errors.New(clean)
}
