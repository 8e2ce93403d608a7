package contract

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// A bench is what all groups of assertions share: the gateway, an upstream, and
// the list of what has to be removed.
type bench struct {
	gateway  Gateway
	client   *http.Client
	upstream string
	prefix   string // of everything that is created
	groups   int

	apis, certs map[string]bool // ids that may be there
	// catchAll: somebody else's API answers for paths that are nobody's.
	catchAll bool
}

// A probe is a bench in the hands of one group, which has names of its own.
type probe struct {
	*testing.T
	*bench
	space string
}

func newBench(t *testing.T, g Gateway) *bench {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	b := &bench{gateway: g, prefix: "cg" + hex.EncodeToString(random[:]), apis: map[string]bool{}, certs: map[string]bool{}}
	upstream := httptest.NewServer(http.HandlerFunc(b.echo))
	t.Cleanup(upstream.Close)
	b.upstream = upstream.URL
	transport := &http.Transport{MaxIdleConnsPerHost: burst} // no proxy, whatever the environment says
	t.Cleanup(transport.CloseIdleConnections)
	b.client = &http.Client{
		Transport:     transport,
		Timeout:       2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() { b.tidy(t) })
	return b
}

func (b *bench) probe(t *testing.T) probe {
	b.groups++
	return probe{t, b, fmt.Sprintf("%s-%02d", b.prefix, b.groups)}
}

// id, path and host are names that only this group has.
func (p probe) id(name string) string   { return p.space + "-" + name }
func (p probe) path(rest string) string { return "/" + p.space + rest }
func (p probe) host(name string) string { return name + "." + p.space + ".test" }

// tidy removes everything. Only what is loaded can be deleted, and what cannot be
// loaded stays on the gateway's disk: so each definition is first made one that
// loads.
func (b *bench) tidy(t *testing.T) {
	if len(b.apis)+len(b.certs) == 0 {
		return
	}
	p := probe{t, b, b.prefix + "-tidy"}
	for id := range b.certs {
		p.try("DELETE", "/tyk/certs/"+url.PathEscape(id), "")
	}
	for id := range b.apis {
		p.try("POST", "/tyk/apis", p.api("tidy", p.path("/"+id+"/")).with("api_id", id).json())
	}
	p.try("GET", "/tyk/reload?block=true", "")
	for _, v := range decodeViews(p.try("GET", "/tyk/apis", "")) {
		if strings.HasPrefix(v.Name, b.prefix) { // also an id that the gateway chose
			b.apis[v.ID] = true
		}
	}
	for id := range b.apis {
		p.try("DELETE", "/tyk/apis/"+id, "")
	}
	p.try("GET", "/tyk/reload?block=true", "")
	for _, id := range slices.Sorted(maps.Keys(b.apis)) {
		if a := p.try("GET", "/tyk/apis/"+id, ""); a.status != http.StatusNotFound {
			t.Errorf("the API %s could not be removed: GET answers %d", id, a.status)
		}
	}
}

// try makes a call of the control API and goes on when it fails.
func (p probe) try(method, path, body string) answer {
	a, err := p.control(method, path, body)
	if err != nil {
		p.Errorf("cleaning up: %v", err)
	}
	return a
}
