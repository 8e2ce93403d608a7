package tyk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

func faultReloads(n int) func(*embedded.FaultSettings) {
	return func(f *embedded.FaultSettings) { f.LostReloads = n }
}

// pair is a certificate made for a test.
type pair struct {
	id        string
	cert, key []byte // PEM
	notAfter  time.Time
}

func newPair(t testing.TB, host string, life time.Duration) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return pair{
		id:       "default" + hex.EncodeToString(sum[:]),
		cert:     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}),
		notAfter: template.NotAfter,
	}
}

func (p pair) certificate() engine.Certificate {
	return engine.Certificate{ID: p.id, Secret: "default/tls", NotAfter: p.notAfter, PEM: slices.Concat(p.cert, p.key)}
}

// secured is an object whose definition names a certificate.
func secured(name string, version int, p pair) engine.Desired {
	d := desired(name, version)
	def := definition(d.Object, name, name+".example.com", "/", version, "certificates", []string{p.id}, "config_data.cuegate.certificates", []string{p.id})
	def.Certificates = []string{p.id}
	d.Definitions, d.Certificates = []engine.Definition{def}, []engine.Certificate{p.certificate()}
	return d
}

// stored are the ids of the certificates in the gateway's store.
func (d *double) stored(t testing.TB) string {
	return d.mustCall(t, "GET", "/tyk/certs?org_id=default", "")
}

// presented is the certificate that the gateway shows for a name, or nil.
func (d *double) presented(t testing.TB, name string) []byte {
	t.Helper()
	c, err := d.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
	if err != nil || c == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// From the Secret to a request through TLS that the client believes.
func TestCertificateEndToEnd(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	p := newPair(t, "cafe.example.com", time.Hour)
	r := mustPush(t, x, secured("cafe", 1, p))
	if !slices.Equal(r.CertificatesAdded, []string{p.id}) || r.Created != 1 {
		t.Fatalf("%+v", r)
	}
	front := httptest.NewUnstartedServer(g.Gateway)
	front.Config.ErrorLog = discardLog
	front.TLS = &tls.Config{GetCertificate: g.GetCertificate}
	front.StartTLS()
	defer front.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "cafe.example.com"}}}
	defer client.CloseIdleConnections()
	req, _ := http.NewRequest("GET", front.URL+"/x", nil)
	req.Host = "cafe.example.com"
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "http://upstream.test/cafe/v1/x" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	g.ResetCalls()
	mustPush(t, x, secured("cafe", 1, p))
	expectCalls(t, g.Calls(), map[string]int{})
	mustPush(t, x, secured("cafe", 2, p))
	expectCalls(t, g.Calls(), map[string]int{"PUT /tyk/apis/{id}": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1})
}

func TestCertificateThatIsThere(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]func(pair) []byte{
		"with its key":    func(p pair) []byte { return slices.Concat(p.cert, p.key) },
		"without its key": func(p pair) []byte { return p.cert },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newDouble(t)
			p := newPair(t, "cafe.example.com", time.Hour)
			g.mustCall(t, "POST", "/tyk/certs?org_id=default", string(text(p)))
			g.ResetCalls()
			mustPush(t, newTestTarget(t, g.settings(), Options{}), secured("cafe", 1, p))
			if uploads := g.Calls()["POST /tyk/certs"]; uploads != strings.Count(name, "without") {
				t.Errorf("%d uploads", uploads)
			}
			if string(g.presented(t, "cafe.example.com")) != string(p.cert) {
				t.Error("it is not served")
			}
		})
	}
}

// An answer that got lost leaves the certificate there.
func TestCertificateAnswerLost(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	p := newPair(t, "cafe.example.com", time.Hour)
	var lose atomic.Int32
	lose.Store(1)
	proxy := newPort(t, intercept(func(r *http.Request) bool { return r.Method == "POST" && r.URL.Path == "/tyk/certs" && take(&lose) }, g))
	s := g.settings()
	s.URL = proxy.URL
	r := mustPush(t, newTestTarget(t, s, Options{}), secured("cafe", 1, p))
	if len(r.CertificatesAdded) != 1 || g.presented(t, "cafe.example.com") == nil {
		t.Errorf("%+v", r)
	}
}

// A certificate that cannot be served is a problem of its own.
func TestCertificateProblems(t *testing.T) {
	t.Parallel()
	c := newClock()
	expired := newPair(t, "bad.example.com", time.Hour)
	c.now = expired.notAfter.Add(time.Second)
	bare := newPair(t, "bad.example.com", time.Hour)
	refused := newPair(t, "bad.example.com", time.Hour)
	for name, o := range map[string]struct {
		now    func() time.Time
		change func(*engine.Certificate)
		p      pair
		says   string
	}{
		"expired by our clock":        {c.Now, func(*engine.Certificate) {}, expired, "it expired at"},
		"without a key":               {nil, func(c *engine.Certificate) { c.PEM = nil }, bare, "no private key"},
		"refused by the gateway":      {nil, func(c *engine.Certificate) { c.PEM = []byte("no PEM") }, refused, "PEM encoded"},
		"of another organisation":     {nil, func(c *engine.Certificate) { c.ID = "x" + c.ID }, refused, "is the organisation"},
		"expired by the gateway's":    {nil, func(c *engine.Certificate) { c.NotAfter = time.Now().Add(time.Hour) }, newPair(t, "bad.example.com", -time.Minute), "certificate is expired"},
		"with the key of another one": {nil, func(c *engine.Certificate) { c.PEM = slices.Concat(refused.cert, bare.key) }, refused, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newDouble(t)
			x := newTestTarget(t, g.settings(), Options{Now: o.now})
			bad := secured("bad", 1, o.p)
			o.change(&bad.Certificates[0])
			r := push(t, x, bad, desired("cafe", 1, "/tea"))
			if r.Err != nil || r.OK() || r.Created != 2 || len(r.Certificates) != 1 || !strings.Contains(r.Certificates[0].Err.Error(), o.says) {
				t.Fatalf("%+v", r)
			}
			if got := r.Certificates[0].Secret; got != "default/tls" {
				t.Error(got)
			}
			g.expect(t, bad, desired("cafe", 1, "/tea"))
			if got := g.stored(t); got != `{"certs":null}` {
				t.Error("left behind: " + got)
			}
			for _, secret := range []string{string(o.p.key[40:60])} {
				if strings.Contains(r.Certificates[0].Err.Error(), secret) {
					t.Error("a key is told")
				}
			}
		})
	}
}

// The new one is there before any definition names it, and the old one until none
// is served any more.
func TestCertificateRotation(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	var mu sync.Mutex
	var order []string
	proxy := newPort(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || strings.HasPrefix(r.URL.Path, "/tyk/reload") {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.Method+" "+strings.SplitN(r.URL.Path, "/", 4)[2])
		}
		g.ServeHTTP(w, r)
	}))
	s := g.settings()
	s.URL = proxy.URL
	x := newTestTarget(t, s, Options{})
	old, young := newPair(t, "cafe.example.com", time.Hour), newPair(t, "cafe.example.com", 2*time.Hour)
	mustPush(t, x, secured("cafe", 1, old))
	mu.Lock()
	order = nil
	mu.Unlock()
	r := mustPush(t, x, secured("cafe", 2, young))
	if got := strings.Join(order, ", "); got != "POST certs, PUT apis, GET reload, DELETE certs" {
		t.Error(got)
	}
	if !slices.Equal(r.CertificatesAdded, []string{young.id}) || !slices.Equal(r.CertificatesRemoved, []string{old.id}) {
		t.Errorf("%+v", r)
	}
	if string(g.presented(t, "cafe.example.com")) != string(young.cert) || strings.Contains(g.stored(t), old.id) {
		t.Error("the old one is there")
	}
	// A process that starts anew knows by the mark that it is ours.
	x = newTestTarget(t, s, Options{})
	if r = mustPush(t, x, desired("shop", 1, "/")); !slices.Equal(r.CertificatesRemoved, []string{young.id}) || g.stored(t) != `{"certs":null}` {
		t.Errorf("%+v, %s", r, g.stored(t))
	}
}

func TestCertificateOfOthersStays(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	old, young := newPair(t, "cafe.example.com", time.Hour), newPair(t, "cafe.example.com", 2*time.Hour)
	mustPush(t, x, secured("cafe", 1, old))
	g.byHand(t, `{"name":"f","api_id":"f","certificates":["`+old.id+`"],"proxy":{"listen_path":"/f/","target_url":"http://f.test"}}`)
	for range 2 {
		if r := mustPush(t, x, secured("cafe", 2, young)); len(r.CertificatesRemoved) > 0 || !strings.Contains(g.stored(t), old.id) {
			t.Errorf("%+v", r)
		}
	}
	g.ResetCalls()
	mustPush(t, x, secured("cafe", 2, young))
	expectCalls(t, g.Calls(), map[string]int{})
}

// While the definitions are not as they should be, the old one stays.
func TestCertificateStaysWhileItIsServed(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	c.now = time.Now()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	old, young := newPair(t, "cafe.example.com", time.Hour), newPair(t, "cafe.example.com", 2*time.Hour)
	mustPush(t, x, secured("cafe", 1, old))
	bad := secured("cafe", 2, young)
	bad.Definitions[0].JSON = []byte(with(string(bad.Definitions[0].JSON), "use_keyless", "yes"))
	if r := push(t, x, bad); len(r.Failed) != 1 || len(r.CertificatesRemoved) > 0 || string(g.presented(t, "cafe.example.com")) != string(old.cert) {
		t.Errorf("%+v", r)
	}
	mustPush(t, x, held("cafe"))
	if !strings.Contains(g.stored(t), old.id) {
		t.Error("gone")
	}
}

func TestCertificateLostWithRedis(t *testing.T) {
	t.Parallel()
	g, c := newDouble(t), newClock()
	c.now = time.Now()
	x := newTestTarget(t, g.settings(), Options{Now: c.Now})
	p := newPair(t, "cafe.example.com", 24*time.Hour)
	o := secured("cafe", 1, p)
	mustPush(t, x, o)
	g.store.LoseRedis()
	g.Restart()
	if g.presented(t, "cafe.example.com") != nil {
		t.Fatal("the double keeps it")
	}
	c.add(6 * time.Minute)
	g.ResetCalls()
	r := mustPush(t, x, o)
	if len(r.CertificatesAdded) != 1 || string(g.presented(t, "cafe.example.com")) != string(p.cert) {
		t.Errorf("%+v", r)
	}
	if n := g.Calls()["PUT /tyk/apis/{id}"] + g.Calls()["POST /tyk/apis"]; n != 0 {
		t.Error(g.Calls())
	}
	// While Redis is down, the old definitions stay: they name what is served.
	g.store.SetRedisDown(true)
	young := newPair(t, "cafe.example.com", 24*time.Hour)
	if r = push(t, x, secured("cafe", 2, young)); r.Err == nil || r.Updated > 0 || !strings.Contains(r.Err.Error(), "Redis is either down") {
		t.Errorf("%+v", r)
	}
	g.store.SetRedisDown(false)
	mustPush(t, x, secured("cafe", 2, young))
	if string(g.presented(t, "cafe.example.com")) != string(young.cert) {
		t.Error("not served")
	}
}

// An upload that is answered and lost is noticed.
func TestCertificateUploadLost(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	p := newPair(t, "cafe.example.com", time.Hour)
	g.Faults().Set(func(f *embedded.FaultSettings) { f.LostWriteShare = 1 })
	if r := push(t, x, secured("cafe", 1, p)); r.Err == nil {
		t.Errorf("%+v", r)
	}
	g.Faults().Set(func(f *embedded.FaultSettings) { f.LostWriteShare = 0 })
	mustPush(t, x, secured("cafe", 1, p))
	if g.presented(t, "cafe.example.com") == nil {
		t.Error("not served")
	}
}

// An upload whose answer never came is removed again when nobody wants it any more.
func TestCertificateUploadWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	g := newDouble(t)
	var lose atomic.Int32
	lose.Store(100)
	proxy := newPort(t, intercept(func(r *http.Request) bool { return r.Method == "POST" && r.URL.Path == "/tyk/certs" && take(&lose) }, g))
	s := g.settings()
	s.URL, s.Attempts = proxy.URL, 1
	x := newTestTarget(t, s, Options{})
	p := newPair(t, "cafe.example.com", time.Hour)
	if r := push(t, x, secured("cafe", 1, p)); r.Err == nil || !strings.Contains(g.stored(t), p.id) {
		t.Fatalf("%+v", r)
	}
	mustPush(t, x, desired("cafe", 1, "/tea"))
	if strings.Contains(g.stored(t), p.id) {
		t.Error("left behind")
	}
}

func TestCertificatesOfADashboard(t *testing.T) {
	t.Parallel()
	b := newBoard(t, dashboardtest.Behaviour{})
	x := newTestTarget(t, b.settings(), Options{})
	old, young := newPair(t, "cafe.example.com", time.Hour), newPair(t, "cafe.example.com", time.Hour)
	if r := mustPush(t, x, secured("cafe", 1, old)); len(r.CertificatesAdded) != 1 {
		t.Errorf("%+v", r)
	}
	r := mustPush(t, x, secured("cafe", 2, young))
	if !slices.Equal(r.CertificatesAdded, []string{young.id}) || !slices.Equal(r.CertificatesRemoved, []string{old.id}) {
		t.Errorf("%+v", r)
	}
	bad := secured("bad", 1, old)
	bad.Certificates[0].PEM = []byte("no PEM")
	r = push(t, x, secured("cafe", 2, young), bad)
	if r.Err != nil || r.Created != 1 || len(r.Certificates) != 1 || !strings.Contains(r.Certificates[0].Err.Error(), "PEM encoded") {
		t.Errorf("%+v", r)
	}
	// Another organisation than the key's.
	s := b.settings()
	s.OrgID = "other"
	wrong := secured("wrong", 1, old)
	wrong.Certificates[0].ID = strings.Replace(old.id, "default", "other", 1)
	r = push(t, newTestTarget(t, s, Options{KeepUnknown: true}), wrong)
	if r.Err != nil || len(r.Certificates) != 1 {
		t.Errorf("%+v", r)
	}
}
