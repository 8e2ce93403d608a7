package dashboardtest

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

const testAdmin = "adm1n"

// askAs sends a request with a header of its own.
func askAs(d *Dashboard, header, secret, do, body string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(do, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set(header, secret)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestAdmin(t *testing.T) {
	d := New(Config{AdminSecret: testAdmin})
	org := d.AddOrganisation("Acme")
	ann := d.AddUser(org, "ann@acme.test")
	bob := d.AddUser(org, "bob@acme.test")
	cy := d.AddUser(d.AddOrganisation("Other"), "cy@other.test")
	for _, s := range []struct {
		header, secret, do, body string
		status                   int
		want                     string
	}{
		{"admin-auth", "wrong", "GET /admin/organisations", "", 401, "Not authorised"},
		{"admin-auth", "", "GET /admin/organisations", "", 401, "Not authorised"},
		{"authorization", ann.Key, "GET /admin/organisations", "", 401, "Not authorised"},
		{"authorization", "", "GET /api/users", "", 401, "Not authorised"},
		{"admin-auth", testAdmin, "GET /admin/organisations", "", 200, `"owner_name":"Acme"`},
		{"admin-auth", testAdmin, "POST /admin/organisations", "?", 403, "malformed"},
		{"admin-auth", testAdmin, "POST /admin/organisations", `{"owner_name":"Third"}`, 200, `"Meta":"64f0c0df`},
		{"admin-auth", testAdmin, "POST /admin/users", `{"org_id":"` + org + `","email_address":"ann@acme.test"}`, 403, "User email already exists for this Org"},
		{"admin-auth", testAdmin, "POST /admin/users", `{"org_id":"nothing","email_address":"ann@acme.test"}`, 403, "malformed"},
		{"admin-auth", testAdmin, "GET /admin/users/" + ann.ID, "", 200, `"access_key":"` + ann.Key},
		{"admin-auth", testAdmin, "GET /admin/users/nobody", "", 404, "Could not retrieve user detail"},
		{"authorization", ann.Key, "GET /api/users", "", 200, bob.Key},
		{"authorization", ann.Key, "POST /api/users/" + ann.ID + "/actions/reset", `{"new_password":"short"}`, 400, "not allowed"},
		{"authorization", ann.Key, "POST /api/users/" + ann.ID + "/actions/reset", `{"new_password":"long enough"}`, 200, "OK"},
		{"authorization", ann.Key, "POST /api/users/" + ann.ID + "/actions/reset", `{"new_password":"long enough"}`, 400, "not allowed"},
		{"authorization", ann.Key, "POST /api/users/" + cy.ID + "/actions/reset", `{"new_password":"long enough"}`, 404, "Could not retrieve"},
		{"authorization", ann.Key, "DELETE /api/users/" + ann.ID, "", 403, "yourself"},
		{"authorization", ann.Key, "DELETE /api/users/" + cy.ID, "", 404, "Could not retrieve"},
		{"authorization", ann.Key, "DELETE /api/users/" + bob.ID, "", 200, "User deleted"},
		{"authorization", bob.Key, "GET /api/users", "", 401, "Not authorised"},
		{"authorization", ann.Key, "PUT /api/users/" + ann.ID + "/actions/key/reset", "", 200, `"Message":"User session renewed","Meta":null`},
		{"authorization", ann.Key, "GET /api/users", "", 401, "Not authorised"},
	} {
		w := askAs(d, s.header, s.secret, s.do, s.body)
		if w.Code != s.status || !strings.Contains(w.Body.String(), s.want) {
			t.Errorf("%s: status %d, want %d with %s: %s", s.do, w.Code, s.status, s.want, w.Body)
		}
	}
	if users := d.Users(); len(users) != 2 || users[0].Passwords[0] != "long enough" || users[0].Key == ann.Key {
		t.Errorf("%+v", users)
	}
}

// A new user's key pushes definitions, which belong to the user's organisation.
func TestNewUserPushes(t *testing.T) {
	for _, old := range []bool{false, true} {
		d := New(Config{AdminSecret: testAdmin, Version: Behaviour{NoMeta: old}})
		org := d.AddOrganisation("Acme")
		w := askAs(d, "admin-auth", testAdmin, "POST /admin/users", `{"org_id":"`+org+`","email_address":"ann@acme.test","active":true}`)
		var e struct {
			Message string
			Meta    map[string]any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		if (e.Meta == nil) != old || !old && e.Meta["access_key"] != e.Message {
			t.Errorf("old=%t: %s", old, w.Body)
		}
		if w := askAs(d, "authorization", e.Message, "POST /api/apis", wrapped(`{"api_id":"tea"}`)); w.Code != 200 {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
		if got := stored(d); !strings.Contains(got, `"org_id":"`+org+`"`) {
			t.Errorf("got %s", got)
		}
	}
}
