package embedded

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// many gives definitions as an ingress controller writes them: hosts of their own,
// a template for a path, some wildcard hosts, some without a host.
func many(n int) []string {
	definitions := make([]string, n)
	for i := range definitions {
		domain := fmt.Sprintf("h%d.example.test", i/4)
		switch i % 40 {
		case 0:
			domain = fmt.Sprintf("{sub:[^.]+}.w%d.test", i/400)
		case 1:
			domain = ""
		}
		definitions[i] = apiOf(fmt.Sprintf("%032x", i), fmt.Sprintf("/p%d{path_prefix:(?:/|$)}", i%1000), "domain", domain)
	}
	return definitions
}

// TestScale holds a reload of 12,000 definitions under two seconds.
func TestScale(t *testing.T) {
	const n, limit = 12000, 2 * time.Second
	g := start(t)
	g.post(many(n)...)
	took := func(what string, f func()) {
		began := time.Now()
		f()
		d := time.Since(began)
		t.Logf("%s: %v", what, d.Round(time.Millisecond))
		if d > limit {
			t.Errorf("%s took %v", what, d)
		}
	}
	took("first load", g.reload)
	took("nothing changed", g.reload)
	took("restart", g.Restart)
	if got := len(g.now.Load().byID); got != n {
		t.Errorf("%d are loaded", got)
	}
	w := &counting{nowhere: nowhere{http.Header{}}}
	g.listAPIs(&call{w: w})
	if w.n < n*5<<10 {
		t.Errorf("the list has %d bytes", w.n)
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	t.Logf("heap: %d MiB", mem.HeapAlloc>>20)
}

type counting struct {
	nowhere
	n int
}

func (c *counting) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}

func BenchmarkFind(b *testing.B) {
	g := New(Config{})
	defer g.Close()
	for i, d := range many(12000) {
		g.store.WriteFile(fmt.Sprint(i, ".json"), []byte(d))
	}
	g.config.CustomDomains = true
	g.Restart()
	for _, target := range []string{"http://h7.example.test/p31/x", "http://a.w9.test/p600/x", "http://none.test/p1/x", "http://none.test/nothing"} {
		r := newRequest(target)
		b.Run(target[len("http://"):], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.now.Load().router.find(r)
			}
		})
	}
}

func BenchmarkReloadUnchanged(b *testing.B) {
	g := New(Config{CustomDomains: true})
	defer g.Close()
	for i, d := range many(12000) {
		g.store.WriteFile(fmt.Sprint(i, ".json"), []byte(d))
	}
	g.Restart()
	for b.Loop() {
		g.load(nil)
	}
}
