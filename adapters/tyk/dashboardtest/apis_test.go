package dashboardtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	testKey = "s3cret"
	testOrg = "5fd08e0f69710900018bc195"
)

// A step is one request, and what the answer has to be.
type step struct {
	do     string // "METHOD path"
	body   string
	status int
	want   []string // found in the answer
	not    []string // not found in it
}

// ask sends a request with the key.
func ask(d *Dashboard, do, contentType, body string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(do, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", testKey)
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func (s step) run(t *testing.T, d *Dashboard) {
	t.Helper()
	w := ask(d, s.do, "application/json", s.body)
	if w.Code != s.status {
		t.Errorf("%s: status %d, want %d: %s", s.do, w.Code, s.status, w.Body)
	}
	for _, want := range s.want {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: no %s in %s", s.do, want, w.Body)
		}
	}
	for _, not := range s.not {
		if strings.Contains(w.Body.String(), not) {
			t.Errorf("%s: %s in %s", s.do, not, w.Body)
		}
	}
}

// wrapped is a definition as it travels.
func wrapped(definition string) string {
	return `{"api_definition":` + definition + `,"user_owners":["u1"],"user_group_owners":[]}`
}

func TestAPIs(t *testing.T) {
	one, two := databaseID(1), databaseID(2)
	tea := wrapped(`{"api_id":"tea","name":"Tea","org_id":"other","version":1.50}`)
	failed := func(message string) []string {
		return []string{`"Status":"Error"`, `"Message":"` + message + `"`, `"Meta":null`}
	}
	for _, story := range []struct {
		name  string
		as    Behaviour
		steps []step
	}{
		{"create keeps what was sent and sets the organisation", Behaviour{}, []step{
			{"POST /api/apis", tea, 200, []string{`{"Status":"OK","Message":"API created","Meta":"` + one + `"}`}, nil},
			{"GET /api/apis/tea", "", 200, []string{`"api_id":"tea"`, `"id":"` + one + `"`, `"org_id":"` + testOrg + `"`, `1.50`, `"user_owners":["u1"]`, `"created_at":"2026-01-01T00:00:01Z"`}, nil},
			{"GET /api/apis/" + one, "", 200, []string{`"api_id":"tea"`}, nil},
		}},
		{"create tells the api_id", Behaviour{ReturnsID: true}, []step{
			{"POST /api/apis", tea, 200, []string{`"ID":"tea"`, `"Meta":"` + one + `"`}, nil},
		}},
		{"create makes an api_id where none is", Behaviour{ReturnsID: true}, []step{
			{"POST /api/apis", wrapped(`{"name":"Tea"}`), 200, []string{`"ID":"` + ownAPIID(one) + `"`}, nil},
		}},
		{"the same api_id again", Behaviour{}, []step{
			{"POST /api/apis", tea, 200, nil, nil},
			{"POST /api/apis", tea, 409, failed("Found API with the same ID"), nil},
			{"POST /api/apis", wrapped(`{"api_id":"mate","name":"Tea"}`), 200, nil, nil},
		}},
		{"what is no definition", Behaviour{}, []step{
			{"POST /api/apis", `{"api_id":"tea","name":"Tea"}`, 400, []string{`"Status":"Error"`}, nil},
			{"POST /api/apis", `{"api_definition":null}`, 400, nil, nil},
			{"POST /api/apis", `{"api_definition":`, 400, nil, nil},
			{"POST /api/apis", wrapped(`[]`), 400, nil, nil},
			{"GET /api/apis?p=-2", "", 200, []string{`{"apis":[],"pages":1}`}, nil},
		}},
		{"an older one resets the api_id, and update sets it right", Behaviour{ResetsID: true}, []step{
			{"POST /api/apis", tea, 200, nil, nil},
			{"GET /api/apis/tea", "", 400, failed("Could not retrieve API detail"), nil},
			{"GET /api/apis/" + one, "", 200, []string{ownAPIID(one)}, []string{`"tea"`}},
			{"PUT /api/apis/" + one, tea, 200, []string{`"Message":"API updated","Meta":null`}, nil},
			{"GET /api/apis/tea", "", 200, []string{one}, nil},
			{"POST /api/apis", tea, 200, []string{two}, nil},
			{"PUT /api/apis/" + two, tea, 409, failed("Found API with the same ID"), nil},
		}},
		{"one in the cloud insists on its api_id", Behaviour{IgnoresID: true}, []step{
			{"POST /api/apis", tea, 200, nil, nil},
			{"PUT /api/apis/" + one, wrapped(`{"api_id":"tea","name":"Mate"}`), 200, nil, nil},
			{"GET /api/apis/" + one, "", 200, []string{ownAPIID(one), "Mate"}, []string{`"tea"`}},
		}},
		{"update replaces, and keeps what identifies", Behaviour{}, []step{
			{"POST /api/apis", tea, 200, nil, nil},
			{"PUT /api/apis/tea", wrapped(`{"name":"Mate"}`), 200, nil, nil},
			{"GET /api/apis/tea", "", 200, []string{one, "Mate", testOrg}, []string{"version"}},
			{"PUT /api/apis/tea", wrapped(`{"id":"` + one + `","api_id":"tea"}`), 200, nil, nil},
			{"PUT /api/apis/tea", wrapped(`{"id":"` + two + `"}`), 400, failed("Invalid `ID` value"), nil},
			{"PUT /api/apis/tea", wrapped(`{"api_id":"mate"}`), 400, failed("Invalid `ID` value"), nil},
			{"PUT /api/apis/" + one, wrapped(`{"api_id":"mate"}`), 200, nil, nil},
			{"GET /api/apis/mate", "", 200, []string{one}, nil},
			{"PUT /api/apis/mate", `{"name":"Mate"}`, 400, nil, nil},
		}},
		{"unknown ids", Behaviour{}, []step{
			{"GET /api/apis/tea", "", 400, failed("Could not retrieve API detail"), nil},
			{"PUT /api/apis/tea", tea, 404, failed("API definition does not exist"), nil},
			{"DELETE /api/apis/tea", "", 404, failed("Could not retrieve API detail"), nil},
		}},
		{"delete", Behaviour{}, []step{
			{"POST /api/apis", tea, 200, nil, nil},
			{"DELETE /api/apis/tea", "", 200, []string{`{"Status":"OK","Message":"API deleted","Meta":null}`}, nil},
			{"POST /api/apis", tea, 200, []string{two}, nil},
			{"DELETE /api/apis/" + two, "", 200, nil, nil},
			{"GET /api/apis?p=-1", "", 200, []string{`"apis":[]`}, nil},
		}},
		{"fields that the schema does not know", Behaviour{StrictFields: true}, []step{
			{"POST /api/apis", wrapped(`{"api_id":"tea","colour":"green","CORS":{"any":1}}`), 400, []string{"Additional property colour is not allowed"}, []string{"CORS"}},
			{"POST /api/apis?accept_additional_properties=true", wrapped(`{"api_id":"tea","colour":"green"}`), 200, nil, nil},
			{"PUT /api/apis/tea", wrapped(`{"colour":"red"}`), 400, nil, nil},
			{"GET /api/apis/tea", "", 200, []string{"green"}, nil},
		}},
		{"who asks, and how it is", Behaviour{}, []step{
			{"GET /api/users?p=-2", "", 200, []string{`"org_id":"` + testOrg + `"`}, nil},
			{"GET /hello", "", 200, []string{`"status":"pass"`}, nil},
			{"GET /api/apis?p=x", "", 400, failed("Could not retrieve APIs."), nil},
			{"PATCH /api/apis", "", 405, nil, nil},
			{"GET /api/nothing", "", 404, nil, nil},
		}},
	} {
		t.Run(story.name, func(t *testing.T) {
			d := New(Config{Key: testKey, OrgID: testOrg, Version: story.as})
			for _, s := range story.steps {
				s.run(t, d)
			}
		})
	}
}

func TestKey(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"authorization", testKey, 200},
		{"Authorization", testKey, 200},
		{"Authorization", "Bearer " + testKey, 401},
		{"Authorization", "other", 401},
		{"X-Tyk-Authorization", testKey, 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/apis", nil)
		r.Header.Set(c.header, c.value)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: %s: status %d, want %d", c.header, c.value, w.Code, c.status)
		}
		if w.Code == 401 && !strings.Contains(w.Body.String(), `"Message":"Not authorised"`) {
			t.Errorf("%s: %s: %s", c.header, c.value, w.Body)
		}
	}
}

func TestPages(t *testing.T) {
	d := New(Config{Key: testKey, OrgID: testOrg})
	for i := range 21 {
		step{"POST /api/apis", wrapped(fmt.Sprintf(`{"api_id":"a%02d"}`, i)), 200, nil, nil}.run(t, d)
	}
	for _, c := range []struct {
		query        string
		count, pages int
		first        string
	}{
		{"?p=-2", 21, 1, "a20"},
		{"", 10, 3, "a20"},
		{"?p=0", 10, 3, "a20"},
		{"?p=1", 10, 3, "a20"},
		{"?p=2", 10, 3, "a10"},
		{"?p=3", 1, 3, "a00"},
		{"?p=4", 0, 3, ""},
		{"?p=9223372036854775807", 0, 3, ""},
	} {
		var got struct {
			APIs []struct {
				Definition struct {
					ID string `json:"api_id"`
				} `json:"api_definition"`
			} `json:"apis"`
			Pages int `json:"pages"`
		}
		w := ask(d, "GET /api/apis"+c.query, "", "")
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.APIs) != c.count || got.Pages != c.pages || c.count > 0 && got.APIs[0].Definition.ID != c.first {
			t.Errorf("%q: got %+v", c.query, got)
		}
	}
}
