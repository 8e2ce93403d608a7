package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// seen is what the upstream answers: what it was asked.
type seen struct {
	Prefix string `json:"prefix"` // tells this upstream from others
	API    string `json:"api"`
	Path   string `json:"path"`
	Query  string `json:"query"`
	Host   string `json:"host"`
}

// echo is the upstream.
func (b *bench) echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(seen{b.prefix, r.URL.Query().Get("api"), r.URL.Path, r.URL.RawQuery, r.Host})
}

// ask sends a GET to the data plane. The host "" is one that has no API of its own.
func (b *bench) ask(host, path string) (answer, error) {
	r, err := http.NewRequest(http.MethodGet, b.gateway.DataPlane+path, nil)
	if err != nil {
		return answer{}, err
	}
	if r.Host = host; host == "" {
		r.Host = "any." + b.prefix + ".test"
	}
	return b.do(r)
}

// seen reads the answer of the upstream, if it is one.
func (b *bench) seen(a answer) (s seen, ok bool) {
	err := json.Unmarshal([]byte(a.body), &s)
	return s, a.status == 200 && err == nil && s.Prefix == b.prefix
}

const (
	// nobody: no API of the suite serves the request.
	nobody = "nobody"
	// closed: the connection was closed without an answer.
	closed = "closed"
)

// outcome tells what became of a request: "<api> <path at the upstream>", a status
// with the gateway's error text, or a status.
func (p probe) outcome(host, path string) string {
	p.Helper()
	a, err := p.ask(host, path)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET):
		return closed
	case err != nil:
		p.Fatalf("GET %s on %q: %v", path, host, err)
	}
	if s, ok := p.seen(a); ok {
		return s.API + " " + s.Path
	}
	var denied struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(a.body), &denied) == nil && denied.Error != "" {
		return fmt.Sprintf("%d %s", a.status, denied.Error)
	}
	return strconv.Itoa(a.status)
}

// expect compares an outcome. Nobody's request is a 404, unless somebody else has
// an API for all that is left.
func (p probe) expect(host, path, want string) {
	p.Helper()
	got := p.outcome(host, path)
	if got == want {
		return
	}
	if want == nobody && (got == "404" || p.catchAll && !p.ours(host, path)) {
		return
	}
	p.Errorf("GET %s on host %q: got %s, want %s", path, host, got, want)
}

// ours tells whether a request reaches the suite's upstream.
func (p probe) ours(host, path string) bool {
	a, err := p.ask(host, path)
	_, ok := p.seen(a)
	return err == nil && ok
}

// sees gives all that the upstream sees of a request on no particular host.
func (p probe) sees(path string) seen {
	p.Helper()
	a, err := p.ask("", path)
	if err != nil {
		p.Fatalf("GET %s: %v", path, err)
	}
	s, ok := p.seen(a)
	if !ok {
		p.Errorf("GET %s does not reach the upstream: %v", path, a)
	}
	return s
}

// eventually polls until ok.
func (p probe) eventually(what string, ok func() bool) {
	p.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.Fatalf("not within 30 s: %s", what)
		}
	}
}
