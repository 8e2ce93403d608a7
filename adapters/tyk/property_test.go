package tyk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

var (
	sequences = flag.Int("sequences", defaultSequences, "how many random sequences of edits and faults TestProperty runs")
	firstSeed = flag.Uint64("seed", 1, "the seed of the first sequence of TestProperty")
)

// TestProperty drives random sequences of edits and faults: after the faults, what is
// served is what is wanted, nothing of others was touched, and nothing is left behind.
// A failing sequence says how to run it again.
func TestProperty(t *testing.T) {
	t.Parallel()
	var pairs []pair
	for range servers + clients {
		pairs = append(pairs, newPair(t, "a.example.com", 1e6*time.Hour))
	}
	const lanes = 4
	for lane := range uint64(lanes) {
		t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
			t.Parallel()
			for seed := *firstSeed + lane; seed < *firstSeed+uint64(*sequences); seed += lanes {
				if problem := play(t, seed, pairs); problem != "" {
					t.Errorf("%s\n\tgo test ./adapters/tyk -run TestProperty -sequences 1 -seed %d", problem, seed)
				}
			}
		})
	}
}

// The first pairs of a sequence are shown to clients, the others by them.
const servers, clients = 3, 3

// memory carries calls to a handler without a network.
type memory struct {
	handler http.Handler
	down    atomic.Bool
}

func (m *memory) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	if m.down.Load() {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	defer func() {
		if recover() != nil { // http.ErrAbortHandler
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r.RequestURI = r.URL.RequestURI()
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// place is where definitions go, as a sequence sees it.
type place interface {
	// faults sets random ones, or none.
	faults(*rand.Rand)
	calm()
	// disturb does something to what is there, and tells what, and whether something of
	// ours was lost or changed.
	disturb(*rand.Rand) (what string, harmed bool)
	// loaded is what is there, by id.
	all() map[string]gjson.Result
	// stray says what of the place is not as it should be, besides what is loaded.
	stray(want []engine.Desired) string
	certificate(id string) (withKey, there bool)
}

// kinds of targets, by what they get.
const (
	ofGateway   = iota // nothing of the mesh
	ofTags             // what has the tag edge
	ofSidecar          // the group web, and the workload w1
	ofDashboard        // everything
)

// sequence is one run.
type sequence struct {
	place
	rng     *rand.Rand
	pairs   []pair
	clock   *clock
	net     *memory
	kind    int
	target  *target
	objects map[string]*object
	// keys are the certificates that the target may have had with their keys so far, and
	// leaked is one that it was given for no reason.
	keys   map[string]bool
	leaked string
	// steps is what was done, for the message.
	steps []string
	// restarted: a new target took over, which does not know the certificates that the
	// old one had yet to remove.
	restarted bool
}

// object is what a sequence wants of one. One whose name begins with w is a workload.
type object struct {
	version int
	paths   []string
	pair    int  // index of its certificate, or -1
	edge    bool // it has the tag edge
	held    bool
	// callers are the groups that may call a workload, with the indices of what they show,
	// and of what else is let in, if that is one of clients.
	callers map[string][2]int
	// kept are the hashes by id of what it had when it was held, unless something
	// happened to them.
	kept map[string]string
}

func play(t testing.TB, seed uint64, pairs []pair) string {
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &sequence{rng: rng, pairs: pairs, clock: newClock(), net: &memory{}, objects: map[string]*object{}, keys: map[string]bool{}}
	s.clock.now = time.Now()
	if rng.IntN(3) == 0 {
		d := dashboardtest.New(dashboardtest.Config{Key: testSecret, OrgID: "default",
			Version: dashboardtest.Behaviour{ResetsID: rng.IntN(2) == 0, StrictFields: rng.IntN(2) == 0}})
		s.net.handler, s.kind, s.place = d, ofDashboard, &boardPlace{d}
		if err := d.Put([]byte(foreignAPI)); err != nil {
			return err.Error()
		}
	} else {
		store := embedded.NewStore()
		for name, data := range strangers() {
			store.WriteFile(name, data)
		}
		g := embedded.New(embedded.Config{Secret: testSecret, CustomDomains: true, ReloadTick: 100 * time.Microsecond, Transport: echo{}, Store: store})
		defer g.Close()
		s.net.handler, s.kind, s.place = g, []int{ofGateway, ofTags, ofSidecar, ofSidecar}[rng.IntN(4)], &gatewayPlace{g, store}
	}
	s.net.handler = s.watchKeys(s.net.handler)
	s.start(t)
	for range 3 + rng.IntN(6) {
		s.step(t)
	}
	if problem := s.finish(t); problem != "" {
		return problem + "\n\t" + strings.Join(s.steps, "\n\t")
	}
	return ""
}

// gets tells whether the target is to have a definition.
func (s *sequence) gets(d engine.Definition) bool {
	switch s.kind {
	case ofGateway:
		return d.Scope == ""
	case ofTags:
		return gjson.GetBytes(d.JSON, `tags.#(=="edge")`).Exists()
	case ofSidecar:
		return d.Scope == "mesh.default.web" || d.Scope == "default.w1"
	}
	return true
}

// mine is what is wanted of the target.
func (s *sequence) mine(want []engine.Desired) []engine.Desired {
	mine := slices.Clone(want)
	for i := range mine {
		mine[i].Definitions = slices.DeleteFunc(slices.Clone(mine[i].Definitions), func(d engine.Definition) bool { return !s.gets(d) })
	}
	return mine
}

// shown and checked are the certificates that definitions of the target show, and that
// they let in.
func (s *sequence) certificatesOf(want []engine.Desired) (shown, checked map[string]bool) {
	shown, checked = map[string]bool{}, map[string]bool{}
	for _, o := range s.mine(want) {
		for _, d := range o.Definitions {
			for _, id := range d.Certificates {
				if slices.Contains(d.Checked, id) {
					checked[id] = true
				} else {
					shown[id] = true
				}
			}
		}
	}
	return shown, checked
}

// watchKeys notes a private key that goes where no definition ever asked for it.
func (s *sequence) watchKeys(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/certs") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			for _, p := range s.pairs {
				if bytes.Contains(body, p.key) && !s.keys[p.id] {
					s.leaked = p.id
				}
			}
		}
		h.ServeHTTP(w, r)
	})
}

// start makes a new target, as a new process does.
func (s *sequence) start(t testing.TB) {
	settings := Settings{URL: "http://place.test", Secret: NewSecret(testSecret), OrgID: "default", FirstPause: time.Nanosecond, Rate: 1e9, Mode: Gateway, Concurrency: 1 + s.rng.IntN(4)}
	switch s.kind {
	case ofDashboard:
		settings.Mode = Dashboard
	case ofTags:
		settings.Tags = []string{"edge"}
	case ofSidecar:
		settings.Sidecar, settings.Tags = true, []string{"mesh.default.web", "default.w1"}
	}
	s.target = newTestTarget(t, settings, Options{Now: s.clock.Now, ConfirmDeletes: true})
	d, err := s.target.detect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	switch d := d.(type) {
	case *gatewayAPI:
		d.client.Transport = s.net
	case *dashboardAPI:
		d.client.Transport = s.net
	}
	s.target.dialect = d
}

func (s *sequence) note(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

// step edits, disturbs, and pushes.
func (s *sequence) step(t testing.TB) {
	for range 1 + s.rng.IntN(3) {
		s.edit()
	}
	if s.rng.IntN(3) == 0 {
		what, harmed := s.disturb(s.rng)
		s.note("%s", what)
		if harmed {
			s.spoil()
		}
	}
	if s.rng.IntN(8) == 0 {
		s.note("another process")
		s.restarted = true
		s.start(t)
	}
	if s.rng.IntN(2) == 0 {
		s.faults(s.rng)
	}
	s.net.down.Store(s.rng.IntN(10) == 0)
	want := s.want()
	shown, _ := s.certificatesOf(want)
	maps.Copy(s.keys, shown)
	r := push(t, s.target, want...)
	s.note("pushed: ok %t, err %v, +%d ~%d -%d, failed %d, drift %s", r.OK(), r.Err, r.Created, r.Updated, r.Deleted, len(r.Failed), kinds(r.Drift))
	s.net.down.Store(false)
	s.calm()
	s.clock.add([]time.Duration{0, time.Second, time.Minute, time.Hour, -time.Hour, -24 * time.Hour, 24 * time.Hour}[s.rng.IntN(7)])
}

// spoil forgets what held objects had.
func (s *sequence) spoil() {
	for _, o := range s.objects {
		o.kept = nil
	}
}

func (s *sequence) edit() {
	name := []string{"o0", "o1", "o2", "o3", "o4", "w0", "w1", "w2"}[s.rng.IntN(8)]
	o := s.objects[name]
	if o == nil {
		o = &object{version: s.rng.IntN(1000), paths: s.somePaths(), pair: s.rng.IntN(servers+3) - 3, edge: s.rng.IntN(2) == 0, callers: s.someCallers()}
		s.objects[name] = o
		s.note("%s appears: %v, called by %v", name, o.paths, o.callers)
		return
	}
	switch s.rng.IntN(6) {
	case 0:
		delete(s.objects, name)
		s.note("%s vanishes", name)
	case 1:
		o.held = !o.held
		o.kept = nil
		if o.held {
			o.kept = s.settled(name)
		}
		s.note("%s is held: %t, with %d", name, o.held, len(o.kept))
	case 2:
		o.paths = s.somePaths()
		s.note("%s has other paths: %v", name, o.paths)
	case 3:
		o.pair = s.rng.IntN(servers+1) - 1
		o.version++
		s.note("%s has certificate %d", name, o.pair)
	case 4:
		o.callers, o.edge = s.someCallers(), !o.edge
		o.version++
		s.note("%s is called by %v, edge %t", name, o.callers, o.edge)
	default:
		o.version++
		s.note("%s changes", name)
	}
}

func (s *sequence) someCallers() map[string][2]int {
	callers := map[string][2]int{}
	for _, group := range []string{"web", "batch"} {
		if s.rng.IntN(3) > 0 {
			callers[group] = [2]int{servers + s.rng.IntN(clients), servers + s.rng.IntN(clients+1) - 1}
		}
	}
	return callers
}

func (s *sequence) somePaths() []string {
	all := []string{"/a", "/b", "/a/c", "/"}
	s.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+s.rng.IntN(3)]
}

// settled are the hashes of what an object has, if nothing of it can be in flight.
func (s *sequence) settled(name string) map[string]string {
	if s.target.due() || len(s.target.refused) > 0 {
		return nil
	}
	kept := map[string]string{}
	for id, api := range s.all() {
		if api.Get("config_data.cuegate.owner").String() == refOf(name).String() {
			kept[id] = api.Get(hashPath).String()
		}
	}
	return kept
}

func refOf(name string) engine.Ref {
	if name[0] == 'w' {
		return engine.Ref{Kind: "Deployment", Namespace: "default", Name: name}
	}
	return engine.Ref{Kind: "Ingress", Namespace: "default", Name: name}
}

func (s *sequence) want() []engine.Desired {
	var all []engine.Desired
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		o := s.objects[name]
		switch {
		case o.held:
			all = append(all, engine.Desired{Object: refOf(name), Outcome: engine.Held})
			continue
		case name[0] == 'w':
			all = append(all, s.member(name, o))
			continue
		}
		d := desired(name, o.version, o.paths...)
		for i := range d.Definitions {
			def := &d.Definitions[i]
			if o.edge {
				def.Hash += "edge"
				def.JSON = []byte(with(string(def.JSON), "tags", []string{"edge"}, hashPath, def.Hash))
			}
			if o.pair >= 0 {
				p := s.pairs[o.pair]
				d.Certificates = []engine.Certificate{forEver(p.certificate())}
				def.JSON = []byte(with(string(def.JSON), "certificates", []string{p.id}))
				*def = naming(*def, []pair{p}, nil)
			}
		}
		all = append(all, d)
	}
	return all
}

// member is a workload.
func (s *sequence) member(name string, o *object) engine.Desired {
	m := member{name: name, version: o.version, server: s.pairs[max(0, o.pair)]}
	for _, group := range slices.Sorted(maps.Keys(o.callers)) {
		c := calling{group: group, shown: s.pairs[o.callers[group][0]]}
		if more := o.callers[group][1]; more >= servers {
			c.more = []pair{s.pairs[more]}
		}
		m.callers = append(m.callers, c)
	}
	d := m.desired()
	for i := range d.Certificates {
		d.Certificates[i] = forEver(d.Certificates[i])
	}
	return d
}

// forEver is longer than any clock of a sequence goes on.
func forEver(c engine.Certificate) engine.Certificate {
	c.NotAfter = c.NotAfter.Add(1e6 * time.Hour)
	return c
}

// finish ends all faults and gives the target a few rounds.
func (s *sequence) finish(t testing.TB) string {
	want := s.want()
	shown, _ := s.certificatesOf(want)
	maps.Copy(s.keys, shown)
	problem := "not pushed"
	for range 6 {
		s.clock.add(20 * time.Minute)
		r := push(t, s.target, want...)
		s.note("in the end: ok %t, err %v, +%d ~%d -%d, failed %v, drift %s", r.OK(), r.Err, r.Created, r.Updated, r.Deleted, r.Failed, kinds(r.Drift))
		if problem = s.problem(want); r.OK() && problem == "" {
			return s.rests(t, want)
		}
	}
	return problem
}

// rests tells whether nothing goes on once all is well.
func (s *sequence) rests(t testing.TB, want []engine.Desired) string {
	s.clock.add(20 * time.Minute)
	if r := push(t, s.target, want...); !r.OK() || r.Changed() || len(r.Drift) > 0 {
		return fmt.Sprintf("it does not come to rest: %+v", r)
	}
	return s.problem(want)
}

func (s *sequence) problem(want []engine.Desired) string {
	loaded := s.all()
	if problem := wrong(loaded, s.mine(want)); problem != "" {
		return problem
	}
	for name, o := range s.objects {
		for id, hash := range o.kept {
			if got := loaded[id].Get(hashPath).String(); got != hash {
				return fmt.Sprintf("%s is held, and %s went from %q to %q", name, id, hash, got)
			}
		}
	}
	if s.leaked != "" {
		return "the key of " + s.leaked + " went where no definition shows it"
	}
	if problem := s.stray(s.mine(want)); problem != "" {
		return problem
	}
	return s.wrongCertificates(want)
}

// wrongCertificates says which certificate is missing, or there for no reason. One that
// somebody wants may be there for other targets.
func (s *sequence) wrongCertificates(want []engine.Desired) string {
	shown, checked := s.certificatesOf(want)
	named, stays := map[string]bool{}, false
	for _, o := range want {
		for _, c := range o.Certificates {
			named[c.ID] = true
		}
		stays = stays || o.Outcome == engine.Held // it may keep any
	}
	for _, p := range s.pairs {
		withKey, there := s.certificate(p.id)
		switch {
		case shown[p.id] && !withKey, checked[p.id] && !there:
			return fmt.Sprintf("certificate %s is there: %t, with its key: %t", p.id[:12], there, withKey)
		case there && !named[p.id] && !s.restarted && !stays:
			return fmt.Sprintf("certificate %s is left behind", p.id[:12])
		}
	}
	return ""
}

// gatewayPlace is a gateway.
type gatewayPlace struct {
	*embedded.Gateway
	store *embedded.Store
}

func (g *gatewayPlace) faults(rng *rand.Rand) {
	g.Faults().Set(func(f *embedded.FaultSettings) {
		f.Seed = rng.Uint64()
		share := func() float64 { return max(0, rng.Float64()-0.6) }
		f.ErrorShare, f.DropShare, f.LostWriteShare, f.LostReloads = share(), share(), share(), max(0, rng.IntN(8)-5)
	})
}

func (g *gatewayPlace) calm() {
	g.Faults().Set(func(f *embedded.FaultSettings) { *f = embedded.FaultSettings{Seed: f.Seed} })
}

func (g *gatewayPlace) call(method, path string) string {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("x-tyk-authorization", testSecret)
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Body.String()
}

func (g *gatewayPlace) all() map[string]gjson.Result {
	all := map[string]gjson.Result{}
	for _, api := range gjson.Parse(g.call("GET", "/tyk/apis")).Array() {
		all[api.Get("api_id").String()] = api
	}
	return all
}

func (g *gatewayPlace) certificate(id string) (withKey, there bool) {
	return hasPrivate(g.call("GET", "/tyk/certs/"+id))
}

// hasPrivate reads what either dialect says of a certificate.
func hasPrivate(text string) (withKey, there bool) {
	return gjson.Get(text, "has_private").Bool(), gjson.Get(text, "fingerprint").Exists()
}

// pick gives something of ours, or nothing.
func pick(rng *rand.Rand, all map[string]gjson.Result) (string, gjson.Result) {
	var ids []string
	for id, api := range all {
		if api.Get(clusterPath).String() == "test" && !api.Get("is_oas").Bool() {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", gjson.Result{}
	}
	slices.Sort(ids)
	id := ids[rng.IntN(len(ids))]
	return id, all[id]
}

const damaged = `{"half`

func (g *gatewayPlace) disturb(rng *rand.Rand) (string, bool) {
	id, api := pick(rng, g.all())
	n := rng.IntN(8)
	if id == "" {
		n %= 4
	}
	defer g.Restart()
	switch n {
	case 0:
		return "the gateway restarts", false
	case 1:
		g.store.LoseRedis()
		return "Redis is lost", false
	case 2:
		for _, name := range slices.Collect(maps.Keys(g.store.Files())) {
			if strangers()[name] == nil {
				g.store.RemoveFile(name)
			}
		}
		return "the files are lost", true
	case 3:
		return "the gateway restarts again", false
	case 4:
		g.store.RemoveFile(id + ".json")
		return "removed by hand: " + id, true
	case 5:
		g.store.WriteFile(id+".json", []byte(damaged))
		return "damaged: " + id, true
	case 6:
		// A rival moves both, and is gone afterwards.
		g.store.WriteFile("rival.json", []byte(with(`{"name":"r","api_id":"rival","proxy":{"target_url":"http://r.test"}}`,
			"domain", api.Get("domain").String(), "proxy.listen_path", api.Get("proxy.listen_path").String())))
		g.Restart()
		g.store.RemoveFile("rival.json")
		g.call("GET", "/tyk/reload?block=true")
		return "a rival of " + id, true
	default:
		change := [][]any{{"proxy.target_url", "http://evil.test"}, {"use_basic_auth", true}, {"proxy.listen_path", "/evil"}, {hashPath, "evil"}, {"active", false}}[rng.IntN(5)]
		g.store.WriteFile(id+".json", []byte(with(api.Raw, change...)))
		return fmt.Sprint("edited: ", id, " ", change), true
	}
}

func (g *gatewayPlace) stray(want []engine.Desired) string {
	files := g.store.Files()
	for name, data := range strangers() {
		if !bytes.Equal(files[name], data) {
			return name + " was touched"
		}
		delete(files, name)
	}
	wanted := map[string]bool{}
	holds := false
	for _, o := range want {
		holds = holds || o.Outcome == engine.Held
		for _, def := range o.Definitions {
			wanted[def.ID+".json"] = true
			if gjson.GetBytes(def.JSON, "listen_port").Exists() {
				continue // the double has no such port
			}
			host, path, _ := strings.Cut(strings.TrimPrefix(def.Listen, def.Scope+" "), "/")
			w := httptest.NewRecorder()
			g.ServeHTTP(w, httptest.NewRequest("GET", "http://"+host+"/"+path, nil))
			expected := gjson.GetBytes(def.JSON, "proxy.target_url").String()
			if got := strings.TrimSuffix(w.Body.String(), "/"); got != expected {
				return fmt.Sprintf("%s is served by %q, not %s", def.Listen, got, expected)
			}
		}
	}
	for name, data := range files {
		// A file that was damaged is nobody's any more.
		if !wanted[name] && !holds && string(data) != damaged {
			return name + " is left behind"
		}
	}
	return ""
}

// boardPlace is a Dashboard.
type boardPlace struct{ *dashboardtest.Dashboard }

func (b *boardPlace) faults(rng *rand.Rand) {
	b.SetFaults(func(f *dashboardtest.Faults) {
		f.Seed = rng.Uint64()
		share := func() float64 { return max(0, rng.Float64()-0.6) }
		f.ErrorShare, f.DropShare, f.LostWriteShare = share(), share(), share()
	})
}

func (b *boardPlace) calm() {
	b.SetFaults(func(f *dashboardtest.Faults) { *f = dashboardtest.Faults{} })
}

func (b *boardPlace) all() map[string]gjson.Result {
	return (&board{Dashboard: b.Dashboard}).loaded()
}

func (b *boardPlace) certificate(id string) (withKey, there bool) {
	r := httptest.NewRequest("GET", "/api/certs/"+id, nil)
	r.Header.Set("authorization", testSecret)
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return hasPrivate(w.Body.String())
}

func (b *boardPlace) disturb(rng *rand.Rand) (string, bool) {
	id, api := pick(rng, b.all())
	if id == "" {
		return "nothing", false
	}
	switch rng.IntN(4) {
	case 0:
		b.Lose()
		_ = b.Put([]byte(foreignAPI))
		return "all is lost", true
	case 1:
		b.Remove(id)
		return "removed by hand: " + id, true
	default:
		change := [][]any{{"proxy.target_url", "http://evil.test"}, {"use_basic_auth", true}, {"proxy.listen_path", "/evil"}, {hashPath, "evil"}}[rng.IntN(4)]
		_ = b.Put([]byte(with(api.Raw, change...)))
		return fmt.Sprint("edited: ", id, " ", change), true
	}
}

func (b *boardPlace) stray([]engine.Desired) string {
	if b.all()["f"].Get("proxy.target_url").String() != "http://f.test" {
		return "the foreign one was touched"
	}
	return ""
}
