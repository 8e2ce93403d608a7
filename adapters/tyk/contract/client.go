package contract

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
)

// answer is what the gateway said.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string {
	text := a.body
	if len(text) > 300 {
		text = text[:300] + "..."
	}
	return fmt.Sprintf("%d %s", a.status, text)
}

// is compares an answer. The body is compared as JSON; "" stands for any.
func (a answer) is(status int, body string) bool {
	return a.status == status && (body == "" || sameJSON(a.body, body))
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

func (b *bench) do(r *http.Request) (answer, error) {
	resp, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// control makes a call of the control API.
func (b *bench) control(method, path, body string) (answer, error) {
	r, err := http.NewRequest(method, b.gateway.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("x-tyk-authorization", b.gateway.Secret)
	return b.do(r)
}

// call makes a call of the control API that has to be answered.
func (p probe) call(method, path, body string) answer {
	p.Helper()
	a, err := p.control(method, path, body)
	if err != nil {
		p.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want makes a call and compares the answer.
func (p probe) want(status int, answer, method, path, body string) {
	p.Helper()
	if a := p.call(method, path, body); !a.is(status, answer) {
		p.Errorf("%s %s %.80s\n got %v\nwant %d %s", method, path, body, a, status, answer)
	}
}

// must is want for what the rest of the group stands on.
func (p probe) must(status int, answer, method, path, body string) {
	p.Helper()
	if a := p.call(method, path, body); !a.is(status, answer) {
		p.Fatalf("%s %s %.80s\n got %v\nwant %d %s", method, path, body, a, status, answer)
	}
}

const (
	reloaded = `{"status":"ok","message":""}`
	notFound = `{"status":"error","message":"API not found"}`
)

func failure(message string) string {
	text, _ := json.Marshal(map[string]string{"status": "error", "message": message}) // strings always marshal
	return string(text)
}

func done(id, action string) string {
	return fmt.Sprintf(`{"key":%q,"status":"ok","action":%q}`, id, action)
}

// post creates or overwrites definitions, which are removed in the end.
func (p probe) post(definitions ...definition) {
	p.Helper()
	for _, d := range definitions {
		p.apis[d.id()] = true
		p.must(200, done(d.id(), "added"), "POST", "/tyk/apis/", d.json())
	}
}

func (p probe) put(d definition) {
	p.Helper()
	p.must(200, done(d.id(), "modified"), "PUT", "/tyk/apis/"+d.id(), d.json())
}

func (p probe) remove(d definition) {
	p.Helper()
	p.must(200, done(d.id(), "deleted"), "DELETE", "/tyk/apis/"+d.id(), "")
}

func (p probe) reload() {
	p.Helper()
	p.must(200, reloaded, "GET", "/tyk/reload/?block=true", "")
}

// load posts and reloads.
func (p probe) load(definitions ...definition) {
	p.Helper()
	p.post(definitions...)
	p.reload()
}

// view is what the groups look at of a definition that the gateway has loaded.
type view struct {
	ID    string `json:"api_id"`
	Name  string `json:"name"`
	Proxy struct {
		ListenPath string `json:"listen_path"`
	} `json:"proxy"`
}

func decodeViews(a answer) []view {
	var views []view
	if json.Unmarshal([]byte(a.body), &views) != nil {
		return nil // the caller misses what it looks for
	}
	return views
}

// loaded reads a definition. What was never loaded is not found.
func (p probe) loaded(id string) (v view, ok bool) {
	p.Helper()
	a := p.call("GET", "/tyk/apis/"+id, "")
	if a.is(404, notFound) {
		return view{}, false
	}
	if err := json.Unmarshal([]byte(a.body), &v); a.status != 200 || err != nil {
		p.Fatalf("GET of %s: %v", id, a)
	}
	return v, true
}

// listed tells whether the list has an id. It may have anything else as well.
func (p probe) listed(id string) bool {
	p.Helper()
	a := p.call("GET", "/tyk/apis", "")
	if a.status != 200 || !strings.HasPrefix(a.body, "[") {
		p.Fatalf("GET /tyk/apis: %v", a)
	}
	for _, v := range decodeViews(a) {
		if v.ID == id {
			return true
		}
	}
	return false
}

// wantListenPath compares the listen path that is loaded.
func (p probe) wantListenPath(id, want string) {
	p.Helper()
	if v, ok := p.loaded(id); !ok || v.Proxy.ListenPath != want {
		p.Errorf("the listen path of %s: got %q (loaded: %v), want %q", id, v.Proxy.ListenPath, ok, want)
	}
}
