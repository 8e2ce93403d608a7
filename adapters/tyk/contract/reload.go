package contract

import (
	"sync"
	"sync/atomic"
	"time"
)

// Reloads. Source: Tyk Gateway v5.11.1, measured. A loop of the gateway ticks once a
// second, and calls only queue.

// blockingReload: block=true answers when the work is done, and 200 whether or not
// anything was loaded. So a client has to look at what is.
func blockingReload(p probe) {
	for _, path := range []string{"/tyk/reload?block=true", "/tyk/reload/?block=true"} {
		d := p.api("a", p.path("/a/"))
		p.post(d, p.api("bad", p.space+"/no-slash/"))
		p.must(200, reloaded, "GET", path, "")
		p.expect("", p.path("/a/x"), "a /x")
		p.want(404, notFound, "GET", "/tyk/apis/"+p.id("bad"), "")
		p.remove(d)
		p.must(200, reloaded, "GET", path, "")
		p.expect("", p.path("/a/x"), nobody)
	}
}

// plainReload answers at once and is done later.
func plainReload(p probe) {
	for _, path := range []string{"/tyk/reload", "/tyk/reload/"} {
		p.reaches(path)
	}
}

// groupReload goes by Redis to all gateways, this one included. block=true means
// nothing to it.
func groupReload(p probe) {
	for _, path := range []string{"/tyk/reload/group", "/tyk/reload/group?block=true"} {
		p.reaches(path)
	}
}

// reaches tells whether a reload that nobody waits for takes place.
func (p probe) reaches(path string) {
	p.Helper()
	d := p.api("a", p.path("/a/"))
	p.post(d)
	p.must(200, reloaded, "GET", path, "")
	p.eventually(path, func() bool { return p.outcome("", p.path("/a/x")) == "a /x" })
	p.remove(d)
	p.reload() // also for what is still queued: the next group must not meet it
}

// burst is how many calls come at once.
const burst = 50

// coalescedReloads: what is queued at a tick is one reload, and all who wait for it
// are answered together. Else a burst would take as many ticks as it has calls.
func coalescedReloads(p probe) {
	const single = 5
	start := time.Now()
	for range single {
		p.reload()
	}
	one := time.Since(start) / single

	p.post(p.api("a", p.path("/a/")))
	start = time.Now()
	p.concurrently(func() {
		a, err := p.control("GET", "/tyk/reload?block=true", "")
		if err != nil || !a.is(200, reloaded) {
			p.Errorf("one of a burst: %v %v", a, err)
		}
		a, err = p.ask("", p.path("/a/x"))
		if _, ok := p.seen(a); !ok {
			p.Errorf("after the answer: %v %v", a, err)
		}
	})
	if took := time.Since(start); took > burst*one/2 {
		p.Errorf("%d reloads at once took %v, one alone %v", burst, took, one)
	}
	p.concurrently(func() {
		if a, err := p.control("GET", "/tyk/reload", ""); err != nil || !a.is(200, reloaded) {
			p.Errorf("one of a burst: %v %v", a, err)
		}
	})
	p.reload()
}

func (p probe) concurrently(do func()) {
	var all sync.WaitGroup
	for range burst {
		all.Go(do)
	}
	all.Wait()
}

// reloadUnderTraffic: no request is lost while the very API that serves it is
// replaced.
func reloadUnderTraffic(p probe) {
	d := p.api("a", p.path("/a/"))
	p.load(d)
	var stop atomic.Bool
	var requests int
	var traffic sync.WaitGroup
	traffic.Go(func() {
		for ; !stop.Load(); requests++ {
			a, err := p.ask("", p.path("/a/x"))
			if _, ok := p.seen(a); !ok {
				p.Errorf("request %d: %v %v", requests, a, err)
				return
			}
		}
	})
	defer traffic.Wait()
	defer stop.Store(true)
	for _, name := range []string{"one", "two", "three"} {
		p.put(d.with("name", p.prefix+" "+name))
		p.reload()
	}
}
