package tyk

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

// scoped makes a definition of the mesh.
func scoped(owner engine.Ref, id, scope, host, path string, version int, changes ...any) engine.Definition {
	d := definition(owner, id, host, path, version, append([]any{"tags", []string{scope}, markPath + ".scope", scope}, changes...)...)
	d.Scope, d.Match, d.Listen = scope, scope+" "+d.Match, scope+" "+d.Listen
	d.JSON = []byte(with(string(d.JSON), markPath+".match", d.Match))
	return d
}

// naming has a definition speak of certificates in its mark.
func naming(d engine.Definition, shown, checked []pair) engine.Definition {
	for _, p := range shown {
		d.Certificates = append(d.Certificates, p.id)
	}
	for _, p := range checked {
		d.Certificates, d.Checked = append(d.Certificates, p.id), append(d.Checked, p.id)
	}
	d.Hash += strings.Join(d.Certificates, " ")
	d.JSON = []byte(with(string(d.JSON), hashPath, d.Hash, markPath+".certificates", d.Certificates))
	return d
}

// member is a workload of the mesh in the namespace default, which shows a certificate to
// its callers, and they theirs to it.
type member struct {
	name    string
	version int
	server  pair
	// callers are the groups that may call it, with what they show and what else is let in.
	callers []calling
}

type calling struct {
	group string
	shown pair
	more  []pair
}

func (m member) desired() engine.Desired {
	d := engine.Desired{Object: engine.Ref{Kind: "Deployment", Namespace: "default", Name: m.name}, Outcome: engine.Managed}
	host := m.name + "-mesh.default"
	var allowed []pair
	for _, c := range m.callers {
		allowed = append(allowed, append([]pair{c.shown}, c.more...)...)
	}
	d.Definitions = append(d.Definitions, naming(scoped(d.Object, m.name+"-inbound", "default."+m.name, host, "/", m.version,
		"listen_port", 8080, "protocol", "https", "certificates", []string{m.server.id}, "use_mutual_tls_auth", true, "client_certificates", idsOf(allowed)),
		[]pair{m.server}, allowed))
	d.Certificates = append(d.Certificates, m.server.certificate())
	for _, c := range m.callers {
		x := scoped(d.Object, m.name+"-mesh-"+c.group, "mesh.default."+c.group, "mesh", "/"+m.name, m.version)
		x.JSON = []byte(with(string(x.JSON), "upstream_certificates", map[string]string{host + ":8080": c.shown.id}))
		d.Definitions = append(d.Definitions, naming(x, []pair{c.shown}, nil))
		d.Certificates = append(d.Certificates, c.shown.certificate())
	}
	for _, p := range allowed {
		d.Certificates = append(d.Certificates, p.public())
	}
	return d
}

func idsOf(pairs []pair) []string {
	var ids []string
	for _, p := range pairs {
		ids = append(ids, p.id)
	}
	return ids
}

// public is the certificate without its key.
func (p pair) public() engine.Certificate {
	c := p.certificate()
	c.PEM, c.Public = engine.PrivatePEM(p.cert), true
	return c
}

// sidecar are the settings of a double as the sidecar of a workload, in a group.
func sidecar(d interface{ settings() Settings }, name, group string) Settings {
	s := d.settings()
	s.Name, s.Sidecar, s.Tags = "default/"+name, true, []string{"default." + name, "mesh.default." + group}
	return s
}

// withKeys says which of the pairs are stored, each with its key or without: "0 key, 2 public".
func withKeys(t testing.TB, call func(method, path, body string) (int, string), prefix string, pairs ...pair) string {
	t.Helper()
	var all []string
	for i, p := range pairs {
		code, text := call("GET", prefix+p.id, "")
		switch {
		case code == http.StatusNotFound:
		case code != http.StatusOK:
			t.Fatalf("%d %s", code, text)
		case gjson.Get(text, "has_private").Bool():
			all = append(all, fmt.Sprint(i, " key"))
		default:
			all = append(all, fmt.Sprint(i, " public"))
		}
	}
	return strings.Join(all, ", ")
}

func (d *double) withKeys(t testing.TB, pairs ...pair) string {
	t.Helper()
	return withKeys(t, func(m, p, b string) (int, string) { return d.call(t, m, p, b) }, "/tyk/certs/", pairs...)
}

func loadedIDs(all map[string]gjson.Result) string {
	var ids []string
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// Everybody gets what is theirs, and no key that they do not show.
func TestMeshIsSharedOut(t *testing.T) {
	t.Parallel()
	cart, tax := newPair(t, "cart-mesh.default", time.Hour), newPair(t, "tax-mesh.default", time.Hour)
	web, web2, batch := newPair(t, "web", time.Hour), newPair(t, "web", time.Hour), newPair(t, "batch", time.Hour)
	pairs := []pair{cart, tax, web, web2, batch}
	ingress := desired("cafe", 1, "/tea")
	// Its author wants to be a route of the mesh.
	intruder := engine.Desired{Object: engine.Ref{Kind: "Ingress", Namespace: "evil", Name: "intruder"}, Outcome: engine.Managed}
	intruder.Definitions = []engine.Definition{definition(intruder.Object, "intruder", "mesh", "/cart/pay", 1, "tags", []string{"mesh", "mesh.default.web", "default.cart", "edge"})}
	all := []engine.Desired{
		ingress, intruder,
		member{"cart", 1, cart, []calling{{"web", web, []pair{web2}}, {"batch", batch, nil}}}.desired(),
		member{"tax", 1, tax, []calling{{"web", web, nil}}}.desired(),
	}
	for _, o := range []struct {
		what        string
		change      func(*Settings)
		definitions string
		stored      string
	}{
		{"the sidecar of a caller", func(s *Settings) { s.Sidecar, s.Tags = true, []string{"mesh.default.web", "default.front"} },
			"cart-mesh-web tax-mesh-web", "2 key"},
		{"the sidecar of one that calls nobody", func(s *Settings) { s.Sidecar, s.Tags = true, []string{"default.cart", "mesh.default.nobody"} },
			"cart-inbound", "0 key, 2 public, 3 public, 4 public"},
		{"the sidecar of one that is called, and calls", func(s *Settings) { s.Sidecar, s.Tags = true, []string{"default.tax", "mesh.default.batch"} },
			"cart-mesh-batch tax-inbound", "1 key, 2 public, 4 key"},
		{"one that may call itself", func(s *Settings) {
			s.Sidecar, s.Tags = true, []string{"default.cart", "mesh.default.web", "default.cart"}
		},
			"cart-inbound cart-mesh-web tax-mesh-web", "0 key, 2 key, 3 public, 4 public"},
		{"a stranger's sidecar", func(s *Settings) { s.Sidecar, s.Tags = true, []string{"mesh"} }, "", ""},
		{"a gateway", func(*Settings) {}, "cafe-tea intruder", ""},
		{"a gateway, found out by asking", func(s *Settings) { s.Mode = "" }, "cafe-tea intruder", ""},
		{"a gateway with tags", func(s *Settings) { s.Tags = []string{"edge"} }, "intruder", ""},
	} {
		t.Run(o.what, func(t *testing.T) {
			t.Parallel()
			g := newDouble(t)
			s := g.settings()
			s.Mode = Gateway
			o.change(&s)
			x := newTestTarget(t, s, Options{})
			r := mustPush(t, x, all...)
			if got := loadedIDs(g.loaded(t)); got != o.definitions {
				t.Errorf("it has %q", got)
			}
			if got := g.withKeys(t, pairs...); got != o.stored {
				t.Errorf("it stores %q", got)
			}
			if r.Sidecar != s.Sidecar {
				t.Error("the report does not say what it is")
			}
			g.ResetCalls()
			mustPush(t, x, all...)
			expectCalls(t, g.Calls(), map[string]int{})
		})
	}
	t.Run("a Dashboard", func(t *testing.T) {
		t.Parallel()
		b := newBoard(t, dashboardtest.Behaviour{})
		s := b.settings()
		s.Mode = ""
		r := mustPush(t, newTestTarget(t, s, Options{}), all...)
		b.expect(t, all...)
		if r.Created != 7 || len(r.Conflicts) > 0 {
			t.Errorf("%+v", r)
		}
		if got := b.withKeys(t, pairs...); got != "0 key, 1 key, 2 key, 3 public, 4 key" {
			t.Errorf("it stores %q", got)
		}
	})
}

func (b *board) withKeys(t testing.TB, pairs ...pair) string {
	t.Helper()
	return withKeys(t, func(m, p, _ string) (int, string) {
		r, err := http.NewRequest(m, b.URL+p, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("authorization", testSecret)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var text strings.Builder
		_, _ = fmt.Fprint(&text, string(firstBytes(resp.Body)))
		return resp.StatusCode, text.String()
	}, "/api/certs/", pairs...)
}

// Routes of the mesh are in conflict only where one sidecar would load both.
func TestMeshConflicts(t *testing.T) {
	t.Parallel()
	p := newPair(t, "x", time.Hour)
	cart := member{"cart", 1, p, []calling{{"web", p, nil}, {"batch", p, nil}}}.desired()
	// A younger one has the same route, for one of the groups.
	rival := engine.Desired{Object: engine.Ref{Kind: "Deployment", Namespace: "default", Name: "rival"}, Outcome: engine.Managed, Created: "2026-01-02T00:00:00Z"}
	rival.Definitions = []engine.Definition{scoped(rival.Object, "rival-mesh-web", "mesh.default.web", "mesh", "/cart", 1)}
	cart.Created = "2026-01-01T00:00:00Z"
	// An Ingress may have the same host and path: no gateway loads both.
	ingress := engine.Desired{Object: engine.Ref{Kind: "Ingress", Namespace: "default", Name: "mesh"}, Outcome: engine.Managed}
	ingress.Definitions = []engine.Definition{definition(ingress.Object, "ingress", "mesh", "/cart", 1)}
	for name, o := range map[string]struct {
		settings  func(*Settings)
		conflicts int
		has       string
	}{
		"of the group":      {func(s *Settings) { s.Sidecar, s.Tags = true, []string{"mesh.default.web"} }, 1, "cart-mesh-web"},
		"of another group":  {func(s *Settings) { s.Sidecar, s.Tags = true, []string{"mesh.default.batch"} }, 0, "cart-mesh-batch"},
		"an ingress, alone": {func(*Settings) {}, 0, "ingress"},
	} {
		g := newDouble(t)
		s := g.settings()
		o.settings(&s)
		r := mustPush(t, newTestTarget(t, s, Options{}), rival, cart, ingress)
		if got := loadedIDs(g.loaded(t)); len(r.Conflicts) != o.conflicts || got != o.has {
			t.Errorf("%s: %q, %+v", name, got, r.Conflicts)
		}
	}
	b := newBoard(t, dashboardtest.Behaviour{})
	if r := mustPush(t, newTestTarget(t, b.settings(), Options{}), rival, cart, ingress); len(r.Conflicts) != 1 || r.Conflicts[0].ID != "rival-mesh-web" {
		t.Errorf("%+v", r.Conflicts)
	}
}

// What is there for a held object stays on its sidecars, and its certificates come back
// with a Redis that lost them.
func TestMeshHeldStays(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	c.now = time.Now()
	server, web := newPair(t, "cart-mesh.default", 24*time.Hour), newPair(t, "web", 24*time.Hour)
	x := newTestTarget(t, sidecar(g, "cart", "web"), Options{Now: c.Now})
	cart := member{"cart", 1, server, []calling{{"batch", web, nil}}}.desired()
	mustPush(t, x, cart)
	stays := engine.Desired{Object: cart.Object, Outcome: engine.Held}
	mustPush(t, x, stays)
	g.store.LoseRedis()
	if x.check(t.Context()) {
		t.Error("that a certificate is gone is not found out")
	}
	if r := mustPush(t, x, stays); len(r.CertificatesAdded) != 2 || r.Reloads != 1 {
		t.Errorf("%+v", r)
	}
	if got := loadedIDs(g.loaded(t)) + ", " + g.withKeys(t, server, web); got != "cart-inbound, 0 key, 1 public" {
		t.Error(got)
	}
	// Not wanted any more, it goes, and they go with it.
	mustPush(t, x, engine.Desired{Object: cart.Object, Outcome: engine.Ignored})
	if got := loadedIDs(g.loaded(t)) + g.withKeys(t, server, web); got != "" {
		t.Error(got)
	}
}

// What nobody speaks of stays as long as not everything could be read.
func TestMeshUnknownStays(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	p := newPair(t, "x", time.Hour)
	cart, tax := member{"cart", 1, p, []calling{{"web", p, nil}}}.desired(), member{"tax", 1, p, []calling{{"web", p, nil}}}.desired()
	mustPush(t, newTestTarget(t, sidecar(g, "front", "web"), Options{}), cart, tax)
	x := newTestTarget(t, sidecar(g, "front", "web"), Options{KeepUnknown: true})
	// One is not read yet; the other is known not to have that caller any more.
	cart = member{"cart", 2, p, []calling{{"batch", p, nil}}}.desired()
	mustPush(t, x, cart)
	if got := loadedIDs(g.loaded(t)); got != "tax-mesh-web" {
		t.Error(got)
	}
}

func TestMeshPublicAndKey(t *testing.T) {
	t.Parallel()
	server, web := newPair(t, "cart-mesh.default", time.Hour), newPair(t, "web", time.Hour)
	cart := member{"cart", 1, server, []calling{{"web", web, nil}}}.desired()
	t.Run("the public one makes way for the key", func(t *testing.T) {
		t.Parallel()
		g := newDouble(t)
		callee, caller := newTestTarget(t, sidecar(g, "cart", "none"), Options{}), newTestTarget(t, sidecar(g, "front", "web"), Options{KeepUnknown: true})
		mustPush(t, callee, cart)
		mustPush(t, caller, cart)
		if got := g.withKeys(t, server, web); got != "0 key, 1 key" {
			t.Error(got)
		}
	})
	t.Run("the key never makes way", func(t *testing.T) {
		t.Parallel()
		g := newDouble(t)
		mustPush(t, newTestTarget(t, sidecar(g, "front", "web"), Options{}), cart)
		g.ResetCalls()
		mustPush(t, newTestTarget(t, sidecar(g, "cart", "none"), Options{KeepUnknown: true}), cart)
		if got := g.withKeys(t, server, web); got != "0 key, 1 key" || g.Calls()["POST /tyk/certs"] != 1 || g.Calls()["DELETE /tyk/certs/{id}"] != 0 {
			t.Error(got, g.Calls())
		}
	})
	t.Run("one that comes to need the key gets it", func(t *testing.T) {
		t.Parallel()
		g := newDouble(t)
		x := newTestTarget(t, sidecar(g, "cart", "batch"), Options{})
		mustPush(t, x, cart)
		g.ResetCalls()
		both := member{"cart", 2, server, []calling{{"web", web, nil}, {"batch", web, nil}}}.desired()
		mustPush(t, x, both)
		if got := g.withKeys(t, server, web); got != "0 key, 1 key" {
			t.Error(got)
		}
		mustPush(t, x, cart)
		if got := g.withKeys(t, server, web); got != "0 key, 1 key" {
			t.Error(got)
		}
	})
	t.Run("somebody else stores it without the key meanwhile", func(t *testing.T) {
		t.Parallel()
		for times, problems := range map[int]int{1: 0, 2: 0, 100: 1} {
			g := newDouble(t)
			left := times
			proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" && r.URL.Path == "/tyk/certs" && left > 0 {
					left--
					g.mustCall(t, "POST", "/tyk/certs?org_id=default", string(web.cert))
				}
				g.ServeHTTP(w, r)
			}))
			s := sidecar(g, "front", "web")
			s.URL = proxy.URL
			r := push(t, newTestTarget(t, s, Options{}), cart)
			if r.Err != nil || len(r.Certificates) != problems || r.Created != 1 {
				t.Errorf("%d times: %+v", times, r)
			}
		}
	})
	t.Run("what callers can show no more is no problem", func(t *testing.T) {
		t.Parallel()
		g, c := newDouble(t), newClock()
		c.now = time.Now()
		over := newPair(t, "web", -time.Minute)
		g.ResetCalls()
		x := newTestTarget(t, sidecar(g, "cart", "none"), Options{Now: c.Now})
		mustPush(t, x, member{"cart", 1, server, []calling{{"web", web, []pair{over}}}}.desired())
		if got := g.withKeys(t, server, web, over); got != "0 key, 1 public" {
			t.Error(got)
		}
	})
}

// A certificate that somebody else's definition speaks of stays, wherever it does.
func TestMeshReferencesOfOthers(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{`"certificates":[%q]`, `"client_certificates":[%q]`, `"upstream_certificates":{"a.test:8080":%q}`} {
		g := newDouble(t)
		old, young := newPair(t, "web", time.Hour), newPair(t, "web", time.Hour)
		x := newTestTarget(t, sidecar(g, "front", "web"), Options{})
		mustPush(t, x, member{"cart", 1, old, []calling{{"web", old, nil}}}.desired())
		g.byHand(t, `{"name":"f","api_id":"f",`+fmt.Sprintf(reference, old.id)+`,"proxy":{"listen_path":"/f/","target_url":"http://f.test"}}`)
		r := mustPush(t, x, member{"cart", 2, young, []calling{{"web", young, nil}}}.desired())
		if got := g.withKeys(t, old, young); got != "0 key, 1 key" || len(r.CertificatesRemoved) > 0 {
			t.Errorf("%s: %s, %+v", reference, got, r)
		}
	}
}

// One that this target is done with stays for others, who may not be there yet.
func TestMeshCertificatesForOthersStay(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	server, old, young := newPair(t, "x", time.Hour), newPair(t, "x", time.Hour), newPair(t, "x", time.Hour)
	x := newTestTarget(t, sidecar(g, "front", "web"), Options{})
	mustPush(t, x, member{"cart", 1, server, []calling{{"web", old, nil}}}.desired())
	mustPush(t, x, member{"cart", 2, server, []calling{{"web", young, nil}, {"batch", old, nil}}}.desired())
	if got := g.withKeys(t, old, young); got != "0 key, 1 key" {
		t.Error(got)
	}
	mustPush(t, x, member{"cart", 3, server, []calling{{"web", young, nil}}}.desired())
	if got := g.withKeys(t, old, young); got != "1 key" {
		t.Error(got)
	}
}

// commonRedis has doubles that share the certificates of one Redis, each with files of its
// own. They take one call at a time; after is told of each when it is over.
type commonRedis struct {
	redis *double
	mu    sync.Mutex
	after func(*http.Request)
}

func newCommonRedis(t testing.TB) *commonRedis { return &commonRedis{redis: newDouble(t)} }

// join is another gateway on that Redis.
func (c *commonRedis) join(t testing.TB) *double {
	return newDoubleBehind(t, embedded.NewStore(), func(g *embedded.Gateway) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := http.Handler(g)
			if strings.HasPrefix(r.URL.Path, "/tyk/certs") {
				h = c.redis.Gateway
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			h.ServeHTTP(w, r)
			if c.after != nil {
				c.after(r)
			}
		})
	})
}

// exposed says what of what the gateways have loaded could not be served: a certificate
// that is shown and not stored with its key, or one that is shown, and not stored for
// those that check it.
func (c *commonRedis) exposed(t testing.TB, gateways []*double) string {
	stored := map[string]bool{}
	for _, x := range gjson.Get(c.redis.mustCall(t, "GET", "/tyk/certs?org_id=default&mode=detailed", ""), "certs").Array() {
		stored[x.Get("id").String()] = x.Get("has_private").Bool()
	}
	shown, checked := map[string]string{}, map[string]string{}
	for _, g := range gateways {
		for id, api := range g.loaded(t) {
			for _, x := range api.Get("client_certificates").Array() {
				checked[x.String()] = id
			}
			for _, list := range []string{"certificates", "upstream_certificates"} {
				api.Get(list).ForEach(func(_, x gjson.Result) bool { shown[x.String()] = id; return true })
				delete(shown, "") // of a list that is null
			}
		}
	}
	for id, by := range shown {
		withKey, there := stored[id]
		if !withKey {
			return fmt.Sprintf("%s shows %s, which is there: %t, with its key: %t", by, clip(id), there, withKey)
		}
		if by := checked[id]; by != "" && !there {
			return fmt.Sprintf("%s checks %s, which is not there", by, clip(id))
		}
	}
	return ""
}

// Sidecars of one Redis rotate their certificates, each at its own pace, and at no moment
// is one missing that a definition shows or lets in. In the end, the old ones are gone.
func TestMeshRotation(t *testing.T) {
	t.Parallel()
	redis := newCommonRedis(t)
	var gateways []*double
	var targets []Settings
	for i, name := range []string{"cart", "cart", "tax", "front", "front", "front"} {
		g := redis.join(t)
		s := sidecar(g, name, "web")
		s.Name += fmt.Sprint(i)
		gateways, targets = append(gateways, g), append(targets, s)
	}
	var found []string
	redis.after = func(r *http.Request) {
		if problem := redis.exposed(t, gateways); problem != "" && len(found) < 10 {
			found = append(found, r.Method+" "+r.URL.Path+": "+problem)
		}
	}
	f := run(t, Options{Targets: targets, DriftInterval: 30 * time.Millisecond})
	var want []engine.Desired
	rotation := make([]pair, 9)
	for i := range rotation {
		rotation[i] = newPair(t, "x", time.Hour)
	}
	cart, tax := rotation[7], rotation[8]
	for i := 1; i+1 < 7; i++ {
		// What comes, what is, and what was.
		web := calling{"web", rotation[i], []pair{rotation[i+1], rotation[i-1]}}
		cart, tax = tax, cart
		want = []engine.Desired{member{"cart", i, cart, []calling{web}}.desired(), member{"tax", i, tax, []calling{web}}.desired()}
		f.Want(want)
		if i%3 != 0 { // else the next one comes in the middle
			eventually(t, "served", func() bool { return served(t, gateways, targets, want) == "" })
		}
	}
	eventually(t, "served", func() bool { return served(t, gateways, targets, want) == "" })
	eventually(t, "the old ones are gone", func() bool {
		return redis.redis.withKeys(t, rotation...) == "4 key, 5 key, 6 public, 7 key, 8 key"
	})
	redis.mu.Lock()
	defer redis.mu.Unlock()
	for _, problem := range found {
		t.Error(problem)
	}
}

// served says what sidecars have not of what they should.
func served(t testing.TB, gateways []*double, targets []Settings, want []engine.Desired) string {
	w := newWants(want, 0)
	for i, g := range gateways {
		x := target{settings: targets[i]}
		if problem := wrong(g.loaded(t), x.mine(w)); problem != "" {
			return problem
		}
	}
	return ""
}
