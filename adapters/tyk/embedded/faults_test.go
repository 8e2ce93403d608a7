package embedded

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

// outcomes makes n writes over real connections, and tells how each ended.
func outcomes(t *testing.T, set func(*FaultSettings), n int) (ended map[string]int, written int) {
	g := start(t)
	_, base := serve(t, g)
	g.Faults().Set(set)
	ended = map[string]int{}
	for i := range n {
		id := "a" + strings.Repeat("x", i)
		req, err := http.NewRequest("POST", base+"/tyk/apis", strings.NewReader(apiOf(id, "/p/")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-tyk-authorization", secret)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			ended["dropped"]++
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		ended[resp.Status]++
	}
	return ended, len(g.store.Files())
}

func TestFaults(t *testing.T) {
	const n = 40
	cases := []struct {
		name     string
		set      func(*FaultSettings)
		ended    string // every call
		min, max int    // files written
	}{
		{"none", func(f *FaultSettings) { f.Seed = 3 }, "200 OK", n, n},
		{"errors", func(f *FaultSettings) { f.ErrorShare = 1 }, "500 Internal Server Error", 0, 0},
		{"drops", func(f *FaultSettings) { f.DropShare = 1 }, "dropped", 5, n - 5},
		{"lost writes", func(f *FaultSettings) { f.LostWriteShare = 1 }, "200 OK", 0, 0},
	}
	for _, c := range cases {
		ended, written := outcomes(t, c.set, n)
		if ended[c.ended] != n || written < c.min || written > c.max {
			t.Errorf("%s: %v, %d written", c.name, ended, written)
		}
	}
}

func TestFaultsAreSeeded(t *testing.T) {
	set := func(seed uint64) func(*FaultSettings) {
		return func(f *FaultSettings) {
			*f = FaultSettings{ErrorShare: 0.3, DropShare: 0.3, LostWriteShare: 0.3, Seed: seed}
		}
	}
	first, firstWritten := outcomes(t, set(1), 30)
	second, secondWritten := outcomes(t, set(1), 30)
	if !maps.Equal(first, second) || firstWritten != secondWritten {
		t.Errorf("the same seed: %v %d and %v %d", first, firstWritten, second, secondWritten)
	}
	if len(first) != 3 {
		t.Errorf("not mixed: %v", first)
	}
}

func TestLostReloads(t *testing.T) {
	g := start(t)
	g.post(apiOf("a1", "/a1/"))
	g.Faults().Set(func(f *FaultSettings) { f.LostReloads = 2 })
	g.reload() // 200
	g.code("GET", "/tyk/reload/group", "")
	wantWinner(t, g, "/a1/x", "404")
	g.reload()
	wantWinner(t, g, "/a1/x", "a1")
}

// Only the control API fails, and only calls that would do something.
func TestFaultsSpareTraffic(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	g.Faults().Set(func(f *FaultSettings) { f.ErrorShare, f.Latency = 1, time.Millisecond })
	wantWinner(t, g, "/a1/x", "a1")
	for path, want := range map[string]int{"/hello": 200, "/ready": 200, "/tyk/apis": 500, "/tyk/unknown": 404} {
		if code := g.code("GET", path, ""); code != want {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestCalls(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	g.code("GET", "/tyk/apis/", "")
	g.code("PUT", "/tyk/apis/a1", "{}")
	g.code("PUT", "/tyk/apis/a2", "{}")
	g.code("GET", "/tyk/certs/a,b", "")
	g.code("GET", "/tyk/unknown", "")
	g.get("http://gw.test/a1/x")
	want := map[string]int{"POST /tyk/apis": 1, "GET /tyk/reload": 1, "GET /tyk/apis": 1, "PUT /tyk/apis/{id}": 2, "GET /tyk/certs/{id}": 1}
	if got := g.Calls(); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	g.ResetCalls()
	if got := g.Calls(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
