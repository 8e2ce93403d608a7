package contract

import (
	"net/http"
	"strings"
)

// The control API as such. Source: Tyk Gateway v5.11.1, measured.

// authentication: the secret has a header of its own. The status is 403, and the
// text tells it from the other 403s, those of certificates.
func authentication(p probe) {
	const refused = `{"status":"error","message":"Attempted administrative access with invalid or missing key!"}`
	d := p.api("a", p.path("/a/"))
	for name, header := range map[string][2]string{
		"no secret":                  {"X-Other", "x"},
		"a wrong secret":             {"x-tyk-authorization", "not " + p.gateway.Secret},
		"the secret as a usual name": {"Authorization", p.gateway.Secret},
	} {
		for _, call := range []string{"GET /tyk/apis", "POST /tyk/apis", "GET /tyk/apis/" + d.id(), "GET /tyk/reload", "GET /tyk/certs"} {
			method, path, _ := strings.Cut(call, " ")
			body := ""
			if method == "POST" {
				p.apis[d.id()] = true
				body = d.json()
			}
			r, err := http.NewRequest(method, p.gateway.URL+path, strings.NewReader(body))
			if err != nil {
				p.Fatal(err)
			}
			r.Header.Set(header[0], header[1])
			a, err := p.do(r)
			if err != nil {
				p.Fatalf("%s with %s: %v", call, name, err)
			}
			if !a.is(403, refused) {
				p.Errorf("%s with %s: got %v, want 403 %s", call, name, a, refused)
			}
		}
	}
	p.reload()
	if _, ok := p.loaded(d.id()); ok {
		p.Error("a definition was created without the secret")
	}
}

// statuses of what is not there and what cannot be done.
func statuses(p probe) {
	const unsupported = `{"status":"error","message":"Method not supported"}`
	id := "/tyk/apis/" + p.id("nowhere")
	p.want(404, notFound, "GET", id, "")
	p.want(404, notFound, "PUT", id, p.api("nowhere", p.path("/")).json())
	p.want(404, notFound, "DELETE", id, "")
	for _, call := range []string{"PUT /tyk/apis", "DELETE /tyk/apis", "POST /tyk/reload", "PUT /tyk/certs/" + p.id("nowhere")} {
		method, path, _ := strings.Cut(call, " ")
		p.want(405, unsupported, method, path, "")
	}
	if a := p.call("HEAD", "/tyk/reload", ""); a.status != 405 {
		p.Errorf("HEAD /tyk/reload: got %v, want 405", a)
	}
	// An id with a slash cannot be addressed, however it is written. Neither answer is
	// JSON: a client has to expect text.
	for _, path := range []string{"/tyk/" + p.id("nowhere"), "/tyk/apis/ns%2F" + p.id("nowhere")} {
		a := p.call("GET", path, "")
		if a.status != 404 || strings.TrimSpace(a.body) != "404 page not found" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			p.Errorf("GET %s: got %v, want 404 page not found, as text", path, a)
		}
	}
}

// malformed: a wrong type anywhere refuses the whole body, without naming the field,
// and so is all else that is no definition.
func malformed(p probe) {
	d := func() definition { return p.api("a", p.path("/a/")) }
	p.apis[d().id()] = true
	for name, body := range map[string]string{
		"nothing":              ``,
		"no JSON":              `{`,
		"a list":               `[]`,
		"name a number":        d().with("name", 5).json(),
		"use_keyless a string": d().with("use_keyless", "yes").json(),
		"tags a string":        d().with("tags", "a").json(),
		"listen_port a string": d().with("listen_port", "80").json(),
	} {
		if a := p.call("POST", "/tyk/apis", body); !a.is(400, failure("Request malformed")) {
			p.Errorf("%s: got %v", name, a)
		}
	}
	// The little validation that there is.
	balance := d().with("proxy.enable_load_balancing", true).with("proxy.target_list", []string{})
	a := p.call("POST", "/tyk/apis", balance.json())
	if a.status != 400 || !strings.Contains(a.body, "Validation of API Definition failed. Reason: ") {
		p.Errorf("a load balancer without targets: got %v", a)
	}
	// The api_id becomes the name of a file.
	a = p.call("POST", "/tyk/apis", d().with("api_id", p.id("ns")+"/a").json())
	if !a.is(500, failure("file object creation failed, write error")) {
		p.Errorf("an api_id with a slash: got %v", a)
	}
	p.reload()
	if _, ok := p.loaded(d().id()); ok {
		p.Error("a refused definition was loaded")
	}
}
