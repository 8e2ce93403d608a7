package embedded

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// The quoted sentences are what was measured on Tyk Gateway v5.11.1.

func TestSecret(t *testing.T) {
	g := start(t)
	const refused = `{"status":"error","message":"Attempted administrative access with invalid or missing key!"}`
	for header, value := range map[string]string{"": "", "x-tyk-authorization": "wrong", "Authorization": secret} {
		for _, path := range []string{"/tyk/apis", "/tyk/reload", "/tyk/certs", "/tyk/nothing"} {
			r := httptest.NewRequest("GET", path, nil)
			if header != "" {
				r.Header.Set(header, value)
			}
			if w := g.do(r); w.Code != 403 || w.Body.String() != refused {
				t.Errorf("%s with %q: %d %s", path, header, w.Code, w.Body)
			}
		}
	}
}

func TestStatuses(t *testing.T) {
	g := start(t)
	const unsupported = `405 {"status":"error","message":"Method not supported"}`
	g.want(`200 []`, "GET", "/tyk/apis", "")
	g.want(`200 []`, "GET", "/tyk/apis/", "")
	g.want(`404 `+failure("API not found"), "GET", "/tyk/apis/a1", "")
	g.want(`200 {"key":"a1","status":"ok","action":"added"}`, "POST", "/tyk/apis", apiOf("a1", "/a1/"))
	g.want(`200 {"key":"a1","status":"ok","action":"added"}`, "POST", "/tyk/apis/", apiOf("a1", "/a1/")) // "200, not 201; also for an overwrite"
	g.want(`200 {"key":"a2","status":"ok","action":"added"}`, "POST", "/tyk/apis/other", apiOf("a2", "/a2/"))
	g.reload()
	g.want(`200 {"key":"a1","status":"ok","action":"modified"}`, "PUT", "/tyk/apis/a1", apiOf("a1", "/a1/"))
	g.want(`200 {"key":"a1","status":"ok","action":"deleted"}`, "DELETE", "/tyk/apis/a1", "")
	g.want("404 404 page not found\n", "GET", "/tyk/unknown", "")
	g.want("404 404 page not found\n", "GET", "/tyk/apis/ns%2Fname", "")
	g.want(`200 {"certs":null}`, "GET", "/tyk/certs/", "")
	for _, c := range []string{"PUT /tyk/apis", "DELETE /tyk/apis", "HEAD /tyk/apis", "POST /tyk/reload", "HEAD /tyk/reload", "PUT /tyk/certs/x", "PATCH /tyk/apis/a1"} {
		method, path, _ := strings.Cut(c, " ")
		g.want(unsupported, method, path, "")
	}
}

// "There is almost no validation: all of these answer 200."
func TestPostTakesNearlyAnything(t *testing.T) {
	generated := regexp.MustCompile(`^\{"key":"[0-9a-f]{32}","status":"ok","action":"added"\}$`)
	named := regexp.MustCompile(`^\{"key":"x","status":"ok","action":"added"\}$`)
	cases := []struct {
		name, body string
		answer     *regexp.Regexp
	}{
		{"empty object", `{}`, generated},
		{"null", `null`, generated},
		{"no api_id", `{"name":"n"}`, generated},
		{"the Dashboard's envelope", `{"api_definition":` + apiOf("x", "/x/") + `}`, generated},
		{"no name", apiOf("x", "/x/", "name", absent), named},
		{"unknown fields", apiOf("x", "/x/", "bogus", 1), named},
		{"trailing garbage", apiOf("x", "/x/") + "}{ garbage", named},
		{"no proxy", apiOf("x", "/x/", "proxy", absent), named},
		{"no version_data", apiOf("x", "/x/", "version_data", absent), named},
		{"bad listen path", apiOf("x", "no slash {"), named},
		{"unresolvable target", apiOf("x", "/x/", "proxy.target_url", "http://nowhere.invalid/"), named},
		{"names in another case", `{"API_ID":"x"}`, named}, // as encoding/json reads them
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := start(t)
			code, text := g.control("POST", "/tyk/apis", c.body)
			if code != 200 || !c.answer.MatchString(text) {
				t.Errorf("%d %s", code, text)
			}
			if n := len(g.store.Files()); n != 1 {
				t.Errorf("%d files", n)
			}
		})
	}
}

// "400 Request malformed: invalid JSON, empty body, JSON array, wrong type of any
// known field."
func TestMalformed(t *testing.T) {
	g := start(t)
	for _, body := range []string{
		``, `{`, `[]`, `"x"`, `1`,
		`{"name":5}`, `{"use_keyless":"yes"}`, `{"tags":"a"}`, `{"listen_port":"80"}`, `{"listen_port":1.5}`,
		`{"proxy":[]}`, `{"config_data":[]}`, `{"version_data":{"versions":{"v":{"extended_paths":{"white_list":[{"path":1}]}}}}}`,
		`{"global_rate_limit":{"rate":"1"}}`, `{"proxy":{"transport":{"ssl_min_version":70000}}}`, `{"jwt_issued_at_validation_skew":-1}`,
	} {
		g.want(`400 `+failure("Request malformed"), "POST", "/tyk/apis", body)
	}
	if n := len(g.store.Files()); n != 0 {
		t.Errorf("%d files were written", n)
	}
	// "load-balancing with no target of weight > 0"
	code, text := g.control("POST", "/tyk/apis", apiOf("x", "/x/", "proxy.enable_load_balancing", true, "proxy.target_list", []string{}))
	if code != 400 || !strings.Contains(text, "Validation of API Definition failed. Reason: ") {
		t.Errorf("%d %s", code, text)
	}
}

func TestIDs(t *testing.T) {
	g := start(t)
	for _, id := range []string{"with space", "UPPER", "a.b-c_d~e", "é", "..", strings.Repeat("x", 250)} {
		g.want(fmt.Sprintf(`200 {"key":%q,"status":"ok","action":"added"}`, id), "POST", "/tyk/apis", apiOf(id, "/p/"))
	}
	const failed = `500 {"status":"error","message":"file object creation failed, write error"}`
	g.want(failed, "POST", "/tyk/apis", apiOf("ns/name", "/p/"))
	g.want(failed, "POST", "/tyk/apis", apiOf(strings.Repeat("x", 251), "/p/"))
	// "An id must not end in -oas: files *-oas.json are skipped by the loader."
	g.load(apiOf("my-oas", "/oas/"))
	g.want(`404 `+failure("API not found"), "GET", "/tyk/apis/my-oas", "")
}

// "Read-your-writes does not hold until a reload."
func TestReadYourWrites(t *testing.T) {
	g := start(t)
	notFound := `404 ` + failure("API not found")
	g.post(apiOf("a1", "/a1/"))
	g.want(`200 []`, "GET", "/tyk/apis", "")
	g.want(notFound, "GET", "/tyk/apis/a1", "")
	g.want(notFound, "PUT", "/tyk/apis/a1", apiOf("a1", "/a1/"))
	g.want(notFound, "PUT", "/tyk/apis/a1", "not even JSON") // "existence is checked before the body is read"
	g.want(notFound, "DELETE", "/tyk/apis/a1", "")
	if got := g.winner("/a1/x"); got != "404" {
		t.Errorf("served before the reload: %s", got)
	}
	g.load(apiOf("a1", "/again/")) // "to fix a just-posted API: POST again"
	if got := g.winner("/again/x"); got != "a1" {
		t.Errorf("served by %s", got)
	}

	g.want(`200 {"key":"a1","status":"ok","action":"modified"}`, "PUT", "/tyk/apis/a1", apiOf("a1", "/new/"))
	if got := g.listed()["a1"]; got != "/again/" {
		t.Errorf("GET after PUT shows %s", got) // "GET still shows the OLD definition"
	}
	g.reload()
	if got := g.listed()["a1"]; got != "/new/" {
		t.Errorf("GET after PUT and reload shows %s", got)
	}

	g.want(`200 {"key":"a1","status":"ok","action":"deleted"}`, "DELETE", "/tyk/apis/a1", "")
	if code := g.code("GET", "/tyk/apis/a1", ""); code != 200 {
		t.Errorf("GET after DELETE: %d", code)
	}
	if got := g.winner("/new/x"); got != "a1" {
		t.Errorf("after DELETE: %s", got)
	}
	g.want(`500 `+failure("Delete failed"), "DELETE", "/tyk/apis/a1", "")
	g.reload()
	g.want(notFound, "DELETE", "/tyk/apis/a1", "")
	if got := g.winner("/new/x"); got != "404" {
		t.Errorf("after DELETE and reload: %s", got)
	}
}

// "Full replacement, never a merge."
func TestUpdate(t *testing.T) {
	g := start(t)
	g.load(apiOf("r000", "/r/"))
	const mismatch = `400 {"status":"error","message":"Request APIID does not match that in Definition! For Update operations these must match."}`
	g.want(mismatch, "PUT", "/tyk/apis/r000", apiOf("other", "/r/"))
	g.want(mismatch, "PUT", "/tyk/apis/r000", `{}`)
	g.want(`200 {"key":"r000","status":"ok","action":"modified"}`, "PUT", "/tyk/apis/r000", `{"api_id":"r000"}`)
	g.reload()
	if _, text := g.control("GET", "/tyk/apis/r000", ""); !strings.Contains(text, `"name":""`) || !strings.Contains(text, `"listen_path":""`) {
		t.Errorf("not emptied: %.200s", text)
	}
}

// "Files not named <api_id>.json."
func TestForeignFiles(t *testing.T) {
	g := start(t)
	g.store.WriteFile("other-name.json", []byte(apiOf("a1", "/one/")))
	g.store.WriteFile("broken.json", []byte(`{"name":`)) // "logged, skipped, the others load"
	g.store.WriteFile("garbage.json", []byte(apiOf("a2", "/garbage/")+"x"))
	g.store.WriteFile("README.txt", []byte(apiOf("a3", "/text/")))
	g.reload()
	if got := g.listed(); len(got) != 1 || got["a1"] != "/one/" {
		t.Fatalf("listed: %v", got)
	}
	g.want(`500 `+failure("Delete failed"), "DELETE", "/tyk/apis/a1", "")
	// "PUT writes a second file <api_id>.json, and both are then loaded. Two files with
	// one api_id: both listen paths serve, the control API lists only one."
	g.want(`200 {"key":"a1","status":"ok","action":"modified"}`, "PUT", "/tyk/apis/a1", apiOf("a1", "/two/"))
	g.reload()
	for range 2 { // and so it stays
		if got := g.listed(); len(got) != 1 {
			t.Errorf("listed: %v", got)
		}
		if one, two := g.winner("/one/x"), g.winner("/two/x"); one != "a1" || two != "a1" {
			t.Errorf("served: %s, %s", one, two)
		}
		g.reload()
	}
	g.store.RemoveFile("other-name.json")
	g.reload()
	if one, two := g.winner("/one/x"), g.winner("/two/x"); one != "404" || two != "a1" {
		t.Errorf("served: %s, %s", one, two)
	}
}

// "A reload that meets a half-written file drops that API, healed by the next
// reload."
func TestHalfWrittenFile(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	whole := g.store.Files()["a1.json"]
	g.store.WriteFile("a1.json", whole[:len(whole)/2])
	g.reload()
	wantWinner(t, g, "/a1/x", "404")
	g.want(`404 `+failure("API not found"), "PUT", "/tyk/apis/a1", apiOf("a1", "/a1/"))
	g.store.WriteFile("a1.json", whole)
	g.reload()
	wantWinner(t, g, "/a1/x", "a1")
}

func TestFilesAreWrittenOut(t *testing.T) {
	g := start(t)
	g.post(apiOf("a1", "/a1/"))
	text := string(g.store.Files()["a1.json"])
	// "indented, every field expanded"
	for _, part := range []string{"\n  \"api_id\": \"a1\"", "\n    \"disable_strip_slash\": false", "\"tags\": null"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %.300s", part, text)
		}
	}
	if len(text) < 6<<10 || len(text) > 14<<10 {
		t.Errorf("%d bytes", len(text))
	}
}

// An OAS API, as a classic client meets it.
func TestOAS(t *testing.T) {
	g := start(t)
	g.store.WriteFile("o1.json", []byte(apiOf("o1", "/o1/", "is_oas", true)))
	g.store.WriteFile("o1-oas.json", []byte(`{"openapi":"3.0.3"}`))
	g.reload()
	// "GET /tyk/apis lists OAS APIs too (classic view, is_oas: true)"
	if _, text := g.control("GET", "/tyk/apis", ""); strings.Count(text, `"is_oas":true`) != 1 {
		t.Errorf("list: %.200s", text)
	}
	code, text := g.control("PUT", "/tyk/apis/o1", apiOf("o1", "/o1/"))
	if code != 400 || !strings.Contains(text, "this API endpoint only supports Tyk Classic APIs; ") {
		t.Errorf("PUT: %d %s", code, text)
	}
	// "both the OAS and the classic DELETE remove both files"
	g.want(`200 {"key":"o1","status":"ok","action":"deleted"}`, "DELETE", "/tyk/apis/o1", "")
	if files := g.store.Files(); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
}

// "Unknown path on the data plane: 404 page not found before the first load of any
// API, Not Found after it."
func TestNotFoundBodies(t *testing.T) {
	g := start(t)
	g.reload() // nothing there: not a load
	w := g.do(httptest.NewRequest("GET", "/x", nil))
	if w.Code != 404 || w.Body.String() != "404 page not found\n" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	g.load(apiOf("a1", "/a1/"))
	if code, text := g.path("/x"); code != 404 || text != http.StatusText(404) {
		t.Errorf("%d %q", code, text)
	}
	g.code("DELETE", "/tyk/apis/a1", "")
	g.reload() // "Deleting the last API works (count 0 still reloads)"
	if code, text := g.path("/a1/x"); code != 404 || text != http.StatusText(404) {
		t.Errorf("after the last was deleted: %d %q", code, text)
	}
}
