package contract

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Definitions that come, change and go. Source: Tyk Gateway v5.11.1, measured.
//
// Everything that a write says is about a file; everything that a read says, and the
// traffic, is about what the last reload made of the files.

// create: POST answers 200, not 201, and overwrites without a word. So the same
// again does no harm, and a lost answer is met by another POST.
func create(p probe) {
	d := p.api("a", p.path("/a/"))
	p.apis[d.id()] = true
	added := done(d.id(), "added")
	p.want(200, added, "POST", "/tyk/apis", d.json())
	p.want(200, added, "POST", "/tyk/apis/", d.json())
	p.want(200, added, "POST", "/tyk/apis/"+p.id("other"), d.json()) // the id of the body rules
	p.want(200, added, "POST", "/tyk/apis", d.json()+"}{")           // what follows the object is not read
	p.want(200, added, "POST", "/tyk/apis", d.with("proxy.listen_path", p.path("/b/")).json())

	a := p.call("POST", "/tyk/apis", p.api("generated", p.path("/generated/")).with("api_id", absent).json())
	var answer struct{ Key string }
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(answer.Key) {
		p.Fatalf("no api_id: got %v", a)
	}
	p.apis[answer.Key] = true
	if !a.is(200, done(answer.Key, "added")) {
		p.Errorf("no api_id: got %v", a)
	}

	p.reload()
	p.expect("", p.path("/b/x"), "a /x")
	p.expect("", p.path("/a/x"), nobody)
	p.expect("", p.path("/generated/x"), "generated /x")
	p.wantListenPath(answer.Key, p.path("/generated/"))
	p.want(404, notFound, "GET", "/tyk/apis/"+p.id("other"), "")
}

// fields: GET gives back what was sent, the mark of the owner above all, and beside
// it every field that was not; what the gateway does not know is dropped.
func fields(p probe) {
	mark := object{"cluster": "c", "nested": object{"list": []any{"a", 1.5, nil, true}, "text": "<&> é"}}
	sent := p.api("a", p.path("/a/")).
		with("config_data", object{"cuegate": mark}).
		with("tags", []any{"edge", "other"}).
		with("certificates", []any{}).
		with("proxy.preserve_host_header", true).
		with("no_such_field", "x").
		with("proxy.no_such_field", "x")
	p.load(sent)
	var got object
	a := p.call("GET", "/tyk/apis/"+sent.id(), "")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		p.Fatalf("%v: %v", err, a)
	}
	if strings.Contains(a.body, "no_such_field") {
		p.Error("a field that the gateway does not know was kept")
	}
	for _, path := range []string{"name", "api_id", "org_id", "use_keyless", "active", "config_data", "tags", "certificates",
		"version_data.not_versioned", "proxy.listen_path", "proxy.target_url", "proxy.strip_listen_path", "proxy.preserve_host_header"} {
		want, _ := lookup(object(sent), path)
		if have, ok := lookup(got, path); !ok || !sameValue(have, want) {
			p.Errorf("%s: sent %v, got %v", path, want, have)
		}
	}
	for path, zero := range map[string]any{
		"domain": "", "protocol": "", "listen_port": 0, "internal": false, "is_oas": false, "disable_quota": false,
		"auth.auth_header_name": "", "proxy.disable_strip_slash": false, "proxy.enable_load_balancing": false,
	} {
		if have, ok := lookup(got, path); !ok || !sameValue(have, zero) {
			p.Errorf("%s was not sent: got %v (there: %v), want %v", path, have, ok, zero)
		}
	}
}

func lookup(o object, path string) (any, bool) {
	name, rest, more := strings.Cut(path, ".")
	v, ok := o[name]
	if !more {
		return v, ok
	}
	inner, ok := v.(object)
	if !ok {
		return nil, false
	}
	return lookup(inner, rest)
}

// sameValue compares values as JSON.
func sameValue(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && sameJSON(string(x), string(y))
}

// readYourWrites does not hold before a reload.
func readYourWrites(p probe) {
	d := p.api("a", p.path("/a/"))
	at := "/tyk/apis/" + d.id()
	p.post(d)
	p.want(404, notFound, "GET", at, "")
	p.want(404, notFound, "PUT", at, d.json())
	p.want(404, notFound, "DELETE", at, "")
	if p.listed(d.id()) {
		p.Error("listed before the reload")
	}
	p.expect("", p.path("/a/x"), nobody)

	// So what was just posted is mended by another POST.
	p.load(d.with("proxy.listen_path", p.path("/b/")))
	if !p.listed(d.id()) {
		p.Error("not listed after the reload")
	}
	p.expect("", p.path("/b/x"), "a /x")

	p.put(d.with("proxy.listen_path", p.path("/c/")))
	p.wantListenPath(d.id(), p.path("/b/"))
	p.expect("", p.path("/b/x"), "a /x")
	p.expect("", p.path("/c/x"), nobody)
	p.reload()
	p.wantListenPath(d.id(), p.path("/c/"))
	p.expect("", p.path("/b/x"), nobody)
	p.expect("", p.path("/c/x"), "a /x")
}

// update replaces all; it never merges.
func update(p probe) {
	d := p.api("a", p.path("/a/"))
	p.load(d)
	at := "/tyk/apis/" + d.id()
	mismatch := failure("Request APIID does not match that in Definition! For Update operations these must match.")
	p.want(400, mismatch, "PUT", at, p.api("other", p.path("/other/")).json())
	p.want(400, mismatch, "PUT", at, p.api("other", p.path("/other/")).with("api_id", absent).json())
	p.reload()
	p.want(404, notFound, "GET", "/tyk/apis/"+p.id("other"), "")
	p.expect("", p.path("/a/x"), "a /x")

	p.put(definition{"api_id": d.id()})
	p.reload()
	if v, ok := p.loaded(d.id()); !ok || v.Name != "" || v.Proxy.ListenPath != "" {
		p.Errorf("what was not sent again: got %+v (loaded: %v)", v, ok)
	}
	p.expect("", p.path("/a/x"), nobody)
}

// deletion removes the file only. What is gone from the disk and still loaded cannot
// be deleted again; a client takes both answers as done, and reloads.
func deletion(p probe) {
	d, other := p.api("a", p.path("/a/")), p.api("other", p.path("/other/"))
	at := "/tyk/apis/" + d.id()
	p.load(d, other)
	p.remove(d)
	p.want(200, "", "GET", at, "")
	if !p.listed(d.id()) {
		p.Error("not listed any more before the reload")
	}
	p.expect("", p.path("/a/x"), "a /x")
	p.want(500, failure("Delete failed"), "DELETE", at, "")
	p.reload()
	p.want(404, notFound, "DELETE", at, "")
	p.want(404, notFound, "GET", at, "")
	if p.listed(d.id()) {
		p.Error("listed after the reload")
	}
	p.expect("", p.path("/a/x"), nobody)
	p.expect("", p.path("/other/x"), "other /x")
}
