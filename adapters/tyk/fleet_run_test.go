package tyk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/engine"
)

// running is a fleet that runs until the test ends.
type running struct {
	*Fleet
	t       testing.TB
	stop    context.CancelFunc
	ended   chan struct{}
	mu      sync.Mutex
	reports []Report
}

func run(t testing.TB, o Options) *running {
	t.Helper()
	f := &running{t: t, ended: make(chan struct{})}
	o.ClusterID = "test"
	o.Report = func(r Report) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.reports = append(f.reports, r)
	}
	if o.CheckInterval == 0 {
		o.CheckInterval = 2 * time.Millisecond
	}
	if o.DiscoverInterval == 0 {
		o.DiscoverInterval = 2 * time.Millisecond
	}
	fleet, err := NewFleet(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Fleet = fleet
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() {
		defer close(f.ended)
		if err := fleet.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-f.ended })
	return f
}

// told waits for a report.
func (f *running) told(what string, ok func(Report) bool) {
	f.t.Helper()
	eventually(f.t, what, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.ContainsFunc(f.reports, ok)
	})
}

// served waits until a gateway has what is wanted.
func (f *running) served(g *double, want ...engine.Desired) {
	f.t.Helper()
	eventually(f.t, "served", func() bool { return g.differs(f.t, want) == "" })
}

// empty tells whether nothing of ours is loaded.
func (d *double) empty(t testing.TB) bool { return len(d.loaded(t)) == 0 }

func TestFleetOneThatIsDownDelaysNobody(t *testing.T) {
	t.Parallel()
	down, a, b := newDouble(t), newDouble(t), newDouble(t)
	down.kill()
	f := run(t, Options{Targets: []Settings{down.settings(), a.settings(), b.settings()}})
	cafe := desired("cafe", 1, "/tea")
	f.Want([]engine.Desired{cafe})
	f.served(a, cafe)
	f.served(b, cafe)
	f.told("that one is down", func(r Report) bool { return r.Target == down.URL && r.Err != nil })
	// What is wanted while it is down goes to the others at once, and to it later.
	cafe = desired("cafe", 2, "/tea", "/coffee")
	f.Want([]engine.Desired{cafe})
	f.served(a, cafe)
	down.open(t)
	f.served(down, cafe)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.reports {
		if r.Target == down.URL && r.Created == 1 {
			t.Error("it got what was not wanted any more")
		}
	}
}

func TestFleetWipedTargetGetsEverything(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	f := run(t, Options{Targets: []Settings{g.settings()}, DriftInterval: time.Hour})
	cafe := desired("cafe", 1, "/tea")
	f.Want([]engine.Desired{cafe})
	f.told("created", func(r Report) bool { return r.Created == 1 })
	g.store.LoseFiles()
	g.Restart()
	f.served(g, cafe)
	f.told("drift", func(r Report) bool { return kinds(r.Drift) == "cafe-tea missing []" })
}

func TestFleetWantsNothingAtFirst(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	mustPush(t, newTestTarget(t, g.settings(), Options{}), desired("cafe", 1, "/tea"))
	f := run(t, Options{Targets: []Settings{g.settings()}})
	time.Sleep(20 * time.Millisecond) // nothing is to happen
	if g.empty(t) {
		t.Error("what is not known yet is taken for nothing")
	}
	f.Want(nil)
	eventually(t, "empty", func() bool { return g.empty(t) })
}

func TestFleetDiscovery(t *testing.T) {
	t.Parallel()
	fixed, a, b := newDouble(t), newDouble(t), newDouble(t)
	var mu sync.Mutex
	var found []Settings
	err := errors.New("no names yet")
	set := func(e error, s ...Settings) {
		mu.Lock()
		defer mu.Unlock()
		found, err = s, e
	}
	f := run(t, Options{Targets: []Settings{fixed.settings()}, Discover: func(context.Context) ([]Settings, error) {
		mu.Lock()
		defer mu.Unlock()
		return found, err
	}})
	cafe := desired("cafe", 1, "/tea")
	f.Want([]engine.Desired{cafe})
	f.served(fixed, cafe) // though the discovery fails
	f.told("the error", func(r Report) bool { return r.Err != nil && strings.Contains(r.Err.Error(), "no names yet") })
	set(nil, a.settings(), b.settings(), b.settings(), Settings{URL: "nonsense"})
	f.served(a, cafe)
	f.served(b, cafe)
	f.told("the one without a secret", func(r Report) bool { return r.Err != nil && strings.Contains(r.Err.Error(), "no secret") })
	// An error leaves them as they are.
	set(errors.New("names are down"))
	f.told("the error", func(r Report) bool { return r.Err != nil && strings.Contains(r.Err.Error(), "names are down") })
	cafe = desired("cafe", 2, "/tea")
	f.Want([]engine.Desired{cafe})
	f.served(b, cafe)
	// One that is gone is left alone; what it has stays.
	set(nil, a.settings())
	eventually(t, "gone", func() bool {
		f.Fleet.mu.Lock()
		defer f.Fleet.mu.Unlock()
		return len(f.workers) == 2
	})
	newer := desired("cafe", 3, "/tea")
	f.Want([]engine.Desired{newer})
	f.served(a, newer)
	b.expect(t, cafe)
	// It comes back with another secret at first.
	bad := b.settings()
	bad.Secret = NewSecret("wrong")
	set(nil, bad)
	f.told("refused", func(r Report) bool {
		return r.Target == b.URL && r.Err != nil && strings.Contains(r.Err.Error(), "403")
	})
	set(nil, b.settings())
	f.served(b, newer)
}

// finder is a discovery that a test decides.
type finder struct {
	mu    sync.Mutex
	found []Settings
	news  chan struct{}
}

func newFinder() *finder { return &finder{news: make(chan struct{}, 1)} }

func (f *finder) discover(context.Context) ([]Settings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found, nil
}

// set says what is found from now on, and that there is something new.
func (f *finder) set(found ...Settings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = found
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// Who is told of something new looks at once, and does not wait for the next time.
func TestFleetIsWoken(t *testing.T) {
	t.Parallel()
	a, b := newDouble(t), newDouble(t)
	found := newFinder()
	f := run(t, Options{Discover: found.discover, DiscoverInterval: time.Hour, Wake: found.news})
	cafe := desired("cafe", 1, "/tea")
	f.Want([]engine.Desired{cafe})
	found.set(a.settings())
	f.served(a, cafe)
	// It is the same one, at another address.
	s := b.settings()
	s.Name = a.URL
	found.set(s)
	f.served(b, cafe)
	eventually(t, "it is known by its name", func() bool { return slices.Equal(f.Targets(), []string{a.URL}) })
}

// One that goes away in the middle of a push delays nobody, is told of no more, and gets
// nothing more: its address may be another's soon.
func TestFleetOneThatGoesAway(t *testing.T) {
	t.Parallel()
	p := newPair(t, "x", time.Hour)
	g, other := newDouble(t), newDouble(t)
	hanging, begun := hanging(t, g)
	gone := sidecar(g, "front", "web")
	gone.URL = hanging.URL
	found := newFinder()
	found.set(gone, sidecar(other, "other", "web"))
	f := run(t, Options{Discover: found.discover, DiscoverInterval: time.Hour, Wake: found.news, Grace: time.Hour})
	cart := member{"cart", 1, p, []calling{{"web", p, nil}}}.desired()
	f.Want([]engine.Desired{cart})
	<-begun
	eventually(t, "the other one has it", func() bool { return loadedIDs(other.loaded(t)) == "cart-mesh-web" })
	worker := f.worker("default/front")
	found.set(sidecar(other, "other", "web"))
	eventually(t, "its worker has ended", func() bool { return worker.ended() })
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.reports {
		if r.Target == "default/front" {
			t.Errorf("%+v", r)
		}
	}
	if len(f.Targets()) != 1 {
		t.Error(f.Targets())
	}
}

func (f *running) worker(name string) *worker {
	f.Fleet.mu.Lock()
	defer f.Fleet.mu.Unlock()
	return f.workers[name]
}

// ended tells whether a worker is through: it has left the others then.
func (w *worker) ended() bool {
	c := w.fleet.options.claims
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.targets[w.target] == nil
}

// What a sidecar leaves in the common Redis, the next one removes.
func TestFleetRemovesWhatIsLeft(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	a, b := redis.join(t), redis.join(t)
	cart, tax, web := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	found := newFinder()
	found.set(sidecar(a, "cart", "none"), sidecar(b, "tax", "none"))
	f := run(t, Options{Discover: found.discover, DiscoverInterval: time.Hour, Wake: found.news, DriftInterval: 20 * time.Millisecond})
	all := []engine.Desired{member{"cart", 1, cart, []calling{{"web", web, nil}}}.desired(), member{"tax", 1, tax, []calling{{"web", web, nil}}}.desired()}
	f.Want(all)
	eventually(t, "all are there", func() bool { return redis.redis.withKeys(t, cart, tax, web) == "0 key, 1 key, 2 public" })
	// The workload goes, and its pods with it.
	w := f.worker("default/cart")
	found.set(sidecar(b, "tax", "none"))
	eventually(t, "its worker has ended", w.ended)
	f.Want(all[1:])
	eventually(t, "what it had is gone", func() bool { return redis.redis.withKeys(t, cart, tax, web) == "1 key, 2 public" })
}

// Looks at many targets are spread over a longer time.
func TestFleetSpreadsItsLooks(t *testing.T) {
	t.Parallel()
	f, err := NewFleet(Options{Targets: []Settings{{URL: "http://gateway.test", Secret: NewSecret("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	for targets, want := range map[int]time.Duration{1: 5 * time.Second, 100: 5 * time.Second, 500: 25 * time.Second, 2000: 100 * time.Second} {
		clear(f.workers)
		for i := range targets {
			f.workers[fmt.Sprint(i)] = nil
		}
		pauses := map[time.Duration]bool{}
		for range 100 {
			pause := f.pause()
			pauses[pause] = true
			if pause < want*3/4 || pause > want*5/4 {
				t.Errorf("%d targets: %v", targets, pause)
			}
		}
		if len(pauses) < 50 {
			t.Errorf("%d targets, and %d pauses", targets, len(pauses))
		}
	}
}

// Lists of many targets are too, and are never later than they should.
func TestListsAreSpread(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	intervals := map[time.Duration]bool{}
	for range 20 {
		x := newTestTarget(t, g.settings(), Options{Now: c.Now, DriftInterval: 4 * time.Minute})
		mustPush(t, x, desired("cafe", 1, "/tea"))
		intervals[x.interval] = true
		c.add(3*time.Minute - time.Second)
		if x.due() {
			t.Error("too soon")
		}
		c.add(time.Minute + time.Second)
		if !x.due() {
			t.Error("too late")
		}
	}
	if len(intervals) < 10 {
		t.Error(intervals)
	}
}

// A refused definition is tried again by itself.
func TestFleetTriesRefusedAgain(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	g.byHand(t, string(rival))
	f := run(t, Options{Targets: []Settings{g.settings()}, Now: c.Now, DriftInterval: 24 * time.Hour})
	cafe := desired("cafe", 1, "/tea")
	f.Want([]engine.Desired{cafe})
	f.told("failed", func(r Report) bool { return len(r.Failed) == 1 })
	g.mustCall(t, "DELETE", "/tyk/apis/f", "")
	g.mustCall(t, "GET", "/tyk/reload?block=true", "")
	c.add(time.Minute)
	f.served(g, cafe)
}

// The end of the context lets the batch in hand come to its end.
func TestFleetEndsTheBatchInHand(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	begun, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			once.Do(func() { close(begun) })
			<-free
		}
		g.ServeHTTP(w, r)
	}))
	s := g.settings()
	s.URL = proxy.URL
	f := run(t, Options{Targets: []Settings{s}})
	cafe := desired("cafe", 1, "/tea", "/coffee")
	f.Want([]engine.Desired{cafe})
	<-begun
	f.stop()
	close(free)
	<-f.ended
	g.expect(t, cafe)
}

// hanging are the settings of a gateway that never answers a POST, and what is closed
// when the first comes.
func hanging(t testing.TB, g *double) (Settings, <-chan struct{}) {
	begun := make(chan struct{})
	var once sync.Once
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			once.Do(func() { close(begun) })
			<-r.Context().Done()
			return
		}
		g.ServeHTTP(w, r)
	}))
	s := g.settings()
	s.URL = proxy.URL
	return s, begun
}

// A batch in hand has no grace when somebody else pushes now.
func TestFleetEndsAtOnce(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	s, begun := hanging(t, g)
	f, err := NewFleet(Options{Targets: []Settings{s}, Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.Want([]engine.Desired{desired("cafe", 1, "/tea")})
	ctx, end := context.WithCancelCause(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.Run(ctx) }()
	<-begun
	end(fmt.Errorf("the lease: %w", ErrAtOnce))
	select {
	case <-ended:
	case <-time.After(5 * time.Second): // the timeout of a call is longer
		t.Fatal("the batch goes on")
	}
}

// A report says what it is about, so that whoever wants knows when that is served.
func TestFleetReportsGenerations(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	f := run(t, Options{Targets: []Settings{g.settings()}})
	for generation := uint64(1); generation <= 2; generation++ {
		f.Want([]engine.Desired{desired("cafe", int(generation), "/tea")})
		f.told("a report of the generation", func(r Report) bool {
			return r.Generation == generation && r.Reloads > 0 && r.ReloadsFailed == 0
		})
	}
	if names := f.Targets(); len(names) != 1 {
		t.Errorf("the targets are %q", names)
	}
}

func TestFleetGraceEnds(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	s, begun := hanging(t, g)
	f := run(t, Options{Targets: []Settings{s}, Grace: 10 * time.Millisecond})
	f.Want([]engine.Desired{desired("cafe", 1, "/tea")})
	<-begun
	f.stop()
	select {
	case <-f.ended:
	case <-time.After(5 * time.Second): // the timeout of a call is longer
		t.Error("it goes on")
	}
}

func TestFleetSync(t *testing.T) {
	t.Parallel()
	down, g := newDouble(t), newDouble(t)
	down.kill()
	f, err := NewFleet(Options{ClusterID: "test", Targets: []Settings{down.settings(), g.settings()}})
	if err != nil {
		t.Fatal(err)
	}
	cafe := desired("cafe", 1, "/tea")
	reports, err := f.Sync(context.Background(), []engine.Desired{cafe})
	if err != nil || len(reports) != 2 || reports[0].Err == nil || reports[0].OK() || !reports[1].OK() || reports[1].Created != 1 {
		t.Errorf("%+v, %v", reports, err)
	}
	g.expect(t, cafe)
}

func TestModeIsDetected(t *testing.T) {
	t.Parallel()
	g, b := newDouble(t), newBoard(t, dashboardtest.Behaviour{})
	nobody := newPort(t, http.NotFoundHandler())
	for _, o := range []struct {
		url, secret string
		mode        Mode
		says        string
	}{
		{g.URL, testSecret, Gateway, ""},
		{b.URL, testSecret, Dashboard, ""},
		{g.URL, "wrong-secret", Gateway, "status 403: Attempted administrative access"},
		{b.URL, "wrong-secret", "", "status 401: Not authorised"},
		{nobody.URL, testSecret, "", "neither a gateway nor a Dashboard"},
	} {
		s := g.settings()
		s.URL, s.Secret, s.Mode = o.url, NewSecret(o.secret), ""
		x := newTestTarget(t, s, Options{})
		r := push(t, x, desired("cafe", 1, "/tea"))
		if o.says == "" && !r.OK() || o.says != "" && (r.Err == nil || !strings.Contains(r.Err.Error(), o.says)) {
			t.Errorf("%v: %+v", o, r)
		}
		if o.mode != "" && r.Status.Mode != o.mode {
			t.Errorf("%v: %+v", o, r.Status)
		}
		if strings.Contains(fmt.Sprintf("%+v %v", r, r.Err), o.secret) {
			t.Errorf("the secret is told: %v", r.Err)
		}
	}
}

// One wrong secret is one error, after one refused call.
func TestWrongSecretIsOneError(t *testing.T) {
	t.Parallel()
	g, b := newDouble(t), newBoard(t, dashboardtest.Behaviour{})
	s := g.settings()
	s.Secret = NewSecret("wrong-secret")
	g.ResetCalls()
	r := push(t, newTestTarget(t, s, Options{}), many(100, 1)...)
	if r.Err == nil || len(r.Failed) > 0 || g.Calls()["GET /tyk/reload"] != 1 || len(g.Calls()) != 1 {
		t.Errorf("%+v, %v", r, g.Calls())
	}
	s = b.settings()
	s.Secret = NewSecret("wrong-secret")
	if r = push(t, newTestTarget(t, s, Options{}), many(100, 1)...); r.Err == nil || b.Calls()["GET /api/apis"] != 1 {
		t.Errorf("%+v, %v", r, b.Calls())
	}
	// It may be taken away while a target is at work.
	x := newTestTarget(t, g.settings(), Options{})
	mustPush(t, x)
	x.dialect.(*gatewayAPI).secret = NewSecret("wrong-secret")
	g.ResetCalls()
	if r = push(t, x, many(100, 1)...); r.Err == nil || len(r.Failed) > 20 || g.Calls()["POST /tyk/apis"] > 20 {
		t.Errorf("%+v, %v", r, g.Calls())
	}
}

// A gateway that belongs to a Dashboard takes nothing from us, and is not asked to.
func TestGatewayOfADashboard(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	proxy := newPort(t, rewrite(func(s string) string {
		return strings.Replace(s, `"details":{`, `"details":{"dashboard":{"status":"pass"},`, 1)
	}, g))
	s := g.settings()
	s.URL = proxy.URL
	r := push(t, newTestTarget(t, s, Options{}), desired("cafe", 1, "/tea"))
	if r.Err == nil || !strings.Contains(r.Err.Error(), "push to that") || !r.Status.FromDashboard || len(g.Calls()) > 0 {
		t.Errorf("%+v, %v", r, g.Calls())
	}
	// One that does not say so until it is written to.
	var writes atomic.Int32
	proxy = newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			writes.Add(1)
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(`{"status":"error","message":"Due to enabled use_db_app_configs, please use the Dashboard API"}`))
			return
		}
		g.ServeHTTP(w, r)
	}))
	s.URL, s.Concurrency = proxy.URL, 2
	r = push(t, newTestTarget(t, s, Options{}), many(50, 1)...)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "please use the Dashboard API") || writes.Load() > 4 {
		t.Errorf("%+v, %d writes", r, writes.Load())
	}
}

func TestNewFleetRefuses(t *testing.T) {
	t.Parallel()
	good := Settings{URL: "http://gateway.test", Secret: NewSecret("s3cret")}
	with := func(change func(*Settings)) []Settings {
		s := good
		change(&s)
		return []Settings{s}
	}
	for want, targets := range map[string][]Settings{
		"no target":                   nil,
		"no secret":                   with(func(s *Settings) { s.Secret = Secret{} }),
		"line break":                  with(func(s *Settings) { s.Secret = NewSecret("s3cret\n") }),
		"the mode x is neither":       with(func(s *Settings) { s.Mode = "x" }),
		"not of the form":             with(func(s *Settings) { s.URL = "gateway.test:8080" }),
		"not of the form http://HOST": with(func(s *Settings) { s.URL = "ftp://gateway.test" }),
		"holds a user name":           with(func(s *Settings) { s.URL = "http://u:p4ss@gateway.test" }),
		"has no tags":                 with(func(s *Settings) { s.Sidecar = true }),
		"as if it were a Dashboard":   with(func(s *Settings) { s.Sidecar, s.Mode, s.Tags = true, Dashboard, []string{"mesh"} }),
		"no PEM certificate":          with(func(s *Settings) { s.CA = []byte("x") }),
	} {
		_, err := NewFleet(Options{Targets: targets})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := NewFleet(Options{Targets: []Settings{good}}); err != nil {
		t.Error(err)
	}
}
