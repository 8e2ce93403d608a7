package embedded

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func shared(s *Store) func(*Config) { return func(c *Config) { c.Store = s } }

// slow is a tick that never comes by itself during a test.
func slow(c *Config) { c.ReloadTick = time.Hour }

// "A reload loop ticks once a second; calls only queue. ?block=true waits for the
// tick + the work."
func TestReloadQueues(t *testing.T) {
	g := start(t, slow)
	g.post(apiOf("a1", "/a1/"))
	g.want(`200 {"status":"ok","message":""}`, "GET", "/tyk/reload", "")
	g.want(`200 {"status":"ok","message":""}`, "GET", "/tyk/reload/", "")
	g.want(`200 {"status":"ok","message":""}`, "GET", "/tyk/reload/group?block=true", "") // "ignored by /reload/group"
	wantWinner(t, g, "/a1/x", "404")
	// who waits and goes away is let go
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/tyk/reload?block=true", nil)
	r.Header.Set("x-tyk-authorization", secret)
	g.do(r)
	// "20 plain calls -> 1 reload; 10 concurrent block=true calls -> 1 reload, all
	// answered together": all of them are there at the one tick
	waiting, ok := g.reloads.take()
	if _, again := g.reloads.take(); !ok || again || len(waiting) != 1 {
		t.Errorf("queued %v, again %v, %d waiting", ok, again, len(waiting))
	}
}

func TestReloadReaches(t *testing.T) {
	for _, path := range []string{"/tyk/reload", "/tyk/reload/group"} {
		g := start(t)
		g.post(apiOf("a1", "/a1/"))
		g.code("GET", path, "")
		eventually(t, path, func() bool { return g.winner("/a1/x") == "a1" })
	}
}

func TestBlockingReloadsComeTogether(t *testing.T) {
	g := start(t)
	g.post(apiOf("a1", "/a1/"))
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if code := g.code("GET", "/tyk/reload?block=true", ""); code != 200 {
				t.Errorf("%d", code)
			}
			if got := g.winner("/a1/x"); got != "a1" {
				t.Errorf("after the answer: %s", got)
			}
		})
	}
	group.Wait()
}

func TestClose(t *testing.T) {
	g := start(t, slow)
	g.post(apiOf("a1", "/a1/"))
	done := make(chan int)
	go func() { done <- g.code("GET", "/tyk/reload?block=true", "") }()
	g.Close()
	g.Close()
	if code := <-done; code != http.StatusServiceUnavailable {
		t.Errorf("%d", code)
	}
}

// "Plain reload acts on that one gateway; group reaches all gateways on the same
// Redis (2 gateways, one app_path)."
func TestGroupReload(t *testing.T) {
	store := NewStore()
	a, b := start(t, shared(store)), start(t, shared(store))
	a.load(apiOf("a1", "/a1/"))
	wantWinner(t, a, "/a1/x", "a1")
	wantWinner(t, b, "/a1/x", "404")
	a.code("GET", "/tyk/reload/group", "")
	eventually(t, "group reload reaches b", func() bool { return b.winner("/a1/x") == "a1" })
}

// "Redis down: /reload/group still 200, nothing reloads; /reload?block=true works,
// control API and keyless traffic go on. After Redis came back the subscription
// was dead: a group reload was lost for good. Later ones work."
func TestRedisDown(t *testing.T) {
	g := start(t, slow)
	queued := func() bool {
		g.code("GET", "/tyk/reload/group", "")
		_, ok := g.reloads.take()
		return ok
	}
	if !queued() {
		t.Error("Redis is up, and the group reload is lost")
	}
	g.store.SetRedisDown(true)
	if queued() {
		t.Error("Redis is down, and the group reload arrives")
	}
	g.store.SetRedisDown(false)
	if queued() {
		t.Error("Redis is just back, and the group reload arrives")
	}

	fast := start(t)
	fast.store.SetRedisDown(true)
	fast.load(apiOf("a1", "/a1/"))
	wantWinner(t, fast, "/a1/x", "a1")
	fast.store.SetRedisDown(false)
	fast.post(apiOf("a1", "/later/"))
	eventually(t, "a later group reload works", func() bool {
		fast.code("GET", "/tyk/reload/group", "")
		return fast.winner("/later/x") == "a1"
	})
}

// What outlives a restart are the files.
func TestRestart(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	g.post(apiOf("a2", "/a2/"))
	g.Restart()
	wantWinner(t, g, "/a1/x", "a1")
	wantWinner(t, g, "/a2/x", "a2")
	g.store.LoseFiles()
	wantWinner(t, g, "/a1/x", "a1") // still in memory
	g.Restart()
	g.want(`200 []`, "GET", "/tyk/apis", "")
	if code, text := g.path("/a1/x"); code != 404 || text != "404 page not found\n" {
		t.Errorf("%d %q", code, text)
	}
	g.store.WriteFile("a3.json", []byte(apiOf("a3", "/a3/")))
	wantWinner(t, start(t, shared(g.store)), "/a3/x", "a3") // New loads what is there
}

// "No request was lost in PUT+reloads of the very API under traffic."
func TestTrafficDuringReloads(t *testing.T) {
	g := start(t)
	g.load(apiOf("a1", "/a1/"))
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	for range 4 {
		traffic.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := g.winner("/a1/x"); got != "a1" {
					t.Errorf("served by %s", got)
					return
				}
			}
		})
	}
	traffic.Go(func() {
		defer close(stop)
		for i := range 20 {
			g.code("PUT", "/tyk/apis/a1", apiOf("a1", "/a1/", "name", fmt.Sprint(i)))
			g.code("GET", "/tyk/apis", "")
			g.code("GET", "/tyk/reload?block=true", "")
		}
	})
	traffic.Wait()
}
