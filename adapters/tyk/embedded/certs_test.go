package embedded

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// pair is a certificate and its key, made for one test.
type pair struct {
	cert, key, public string // PEM
	fingerprint       string
}

func newPair(t *testing.T, cn string, sans []string, change ...func(*x509.Certificate)) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, key, cn, sans, change...)
}

func sign(t *testing.T, key crypto.Signer, cn string, sans []string, change ...func(*x509.Certificate)) pair {
	t.Helper()
	return signBy(t, nil, nil, key, cn, sans, change...)
}

// signBy makes a certificate that an issuer signs, or itself where there is none.
func signBy(t *testing.T, issuer *x509.Certificate, by, key crypto.Signer, cn string, sans []string, change ...func(*x509.Certificate)) pair {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cn}, DNSNames: sans,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, f := range change {
		f(template)
	}
	if issuer == nil {
		issuer, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return pair{encode("CERTIFICATE", der), encode("PRIVATE KEY", private), encode("PUBLIC KEY", public), fmt.Sprintf("%x", sha256.Sum256(der))}
}

func (r *rig) upload(org string, parts ...string) string {
	r.t.Helper()
	code, text := r.control("POST", "/tyk/certs?org_id="+org, strings.Join(parts, ""))
	if code != 200 {
		r.t.Fatalf("upload: %d %s", code, text)
	}
	var answer certAdded
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.t.Fatal(err)
	}
	return answer.ID
}

func TestUpload(t *testing.T) {
	g := start(t)
	p, other, ca := newPair(t, "one.test", nil), newPair(t, "two.test", nil), newPair(t, "ca", nil)
	old := newPair(t, "old.test", nil, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	const notPEM = "Failed to decode certificate. It should be PEM encoded."
	for _, c := range []struct{ name, body, message string }{
		{"no PEM", "hello", notPEM},
		{"empty", "", notPEM},
		{"key only", p.key, notPEM},
		{"wrong key", p.cert + other.key, "tls: private key does not match public key"},
		{"chain in wrong order", ca.cert + p.cert + p.key, "tls: private key does not match public key"},
		{"two keys", p.cert + p.key + other.key, "Found multiple private keys"},
		{"expired", old.cert + old.key, "certificate is expired"},
	} {
		g.want("403 "+failure(c.message), "POST", "/tyk/certs?org_id=O", c.body)
	}
	// "id = O + lower-case hex SHA-256 of the leaf DER"
	id := "O" + p.fingerprint
	g.want(`200 {"id":"`+id+`","status":"ok","message":"Certificate added"}`, "POST", "/tyk/certs?org_id=O", p.cert+p.key)
	g.want("403 "+failure("Certificate with "+id+" id already exists"), "POST", "/tyk/certs?org_id=O", p.key+p.cert)
	// "org_id may be empty", "chain: leaf first, then CAs, key anywhere"
	if got := g.upload("", p.cert, p.key, ca.cert); got != p.fingerprint {
		t.Error(got)
	}
	g.upload("O", ca.public) // "public keys are accepted too"
	// "multipart/form-data works because PEM is searched in the raw bytes"
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("data", "cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(part, other.cert+other.key)
	w.Close()
	if got := g.upload("O", form.String()); got != "O"+other.fingerprint {
		t.Error(got)
	}
}

// "A cert first stored WITHOUT its key blocks the same cert WITH its key: look at
// has_private, delete, post again."
func TestCertWithoutKey(t *testing.T) {
	g := start(t)
	p := newPair(t, "one.test", []string{"one.test"})
	id := g.upload("O", p.cert)
	if code := g.code("POST", "/tyk/certs?org_id=O", p.cert+p.key); code != 403 {
		t.Errorf("%d", code)
	}
	hasPrivate := func() bool {
		_, text := g.control("GET", "/tyk/certs/"+id, "")
		return strings.Contains(text, `"has_private":true`)
	}
	if hasPrivate() {
		t.Error("has_private")
	}
	g.want(`200 {"status":"ok","message":"removed"}`, "DELETE", "/tyk/certs/"+id, "")
	g.want(`200 {"status":"ok","message":"removed"}`, "DELETE", "/tyk/certs/"+id, "") // "also for unknown ids"
	g.upload("O", p.cert, p.key)
	if !hasPrivate() {
		t.Error("not has_private")
	}
}

func TestCertLists(t *testing.T) {
	g := start(t)
	g.want(`200 {"certs":null}`, "GET", "/tyk/certs?org_id=O", "")
	g.want(`200 {"certs":null}`, "GET", "/tyk/certs?org_id=O&mode=detailed", "")
	p := newPair(t, "one.test", []string{"one.test", "www.one.test"})
	id := g.upload("O", p.cert, p.key)
	g.upload("OTHER", p.cert, p.key)
	g.want(`200 {"certs":["`+id+`"]}`, "GET", "/tyk/certs?org_id=O", "")
	_, text := g.control("GET", "/tyk/certs?org_id=O&mode=detailed", "")
	for _, part := range []string{`"id":"` + id, `"issuer_cn":"one.test","subject_cn":"one.test","dns_names":["one.test","www.one.test"],"has_private":true`, `"is_ca":false`, `"not_after":"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	_, text = g.control("GET", "/tyk/certs/"+id, "")
	for _, part := range []string{`{"id":"` + id + `","fingerprint":"` + p.fingerprint + `","has_private":true,"issuer":{`, `"CommonName":"one.test"`, `"dns_names":["one.test"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	g.want("404 "+failure("Certificate with given SHA256 fingerprint not found"), "GET", "/tyk/certs/nobody", "")
	if _, text := g.control("GET", "/tyk/certs/"+id+",nobody", ""); !strings.HasPrefix(text, `[{"id"`) || !strings.HasSuffix(text, `,null]`) {
		t.Error(text)
	}
	// "Without org_id the list is unreliable: right once, then null for ever"
	if _, text := g.control("GET", "/tyk/certs", ""); strings.Count(text, p.fingerprint) != 2 {
		t.Error(text)
	}
	g.want(`200 {"certs":null}`, "GET", "/tyk/certs", "")
	// "lost with Redis while API files stay"
	g.load(apiOf("a1", "/a1/"))
	g.store.LoseRedis()
	g.want(`200 {"certs":null}`, "GET", "/tyk/certs?org_id=O", "")
	wantWinner(t, g, "/a1/x", "a1")
	g.store.SetRedisDown(true)
	g.want("403 "+failure("storage: Redis is either down or was not configured"), "POST", "/tyk/certs?org_id=O", p.cert+p.key)
}

// presented gives the fingerprint of what the gateway presents for a server name.
func (r *rig) presented(name string) string {
	c, err := r.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
	if err != nil {
		r.t.Error(err)
	}
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(c.Certificate[0]))
}

func TestServedCertificates(t *testing.T) {
	g := start(t)
	one, two := newPair(t, "one.test", nil), newPair(t, "", []string{"two.test", "*.two.test"})
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := sign(t, edKey, "ed.test", []string{"ed.test"})
	ids := []string{"unknown", g.upload("O", one.cert, one.key), g.upload("O", two.cert, two.key), g.upload("O", ed.cert, ed.key)}
	// "selection is by the certificate's CN/SANs against SNI, not by the API's domain"
	g.post(apiOf("a1", "/", "domain", "elsewhere.test", "certificates", ids))
	check := func(want map[string]string) {
		t.Helper()
		for name, fingerprint := range want {
			if got := g.presented(name); got != fingerprint {
				t.Errorf("%s: got %q, want %q", name, got, fingerprint)
			}
		}
	}
	check(map[string]string{"one.test": ""}) // "effective only after a reload"
	g.reload()
	check(map[string]string{
		"one.test": one.fingerprint, "ONE.test": one.fingerprint, "two.test": two.fingerprint, "a.two.test": two.fingerprint,
		"a.b.two.test": "", "elsewhere.test": "", "": "",
		"ed.test": "", // "Ed25519 keys are accepted on upload and can never be served"
	})

	// "Several certs for one name in an API: the LAST in the list wins."
	next := newPair(t, "one.test", nil)
	ids = append(ids, g.upload("O", next.cert, next.key))
	g.load(apiOf("a1", "/", "certificates", ids))
	check(map[string]string{"one.test": next.fingerprint})

	// "Deleting a cert takes effect at the next reload"
	g.code("DELETE", "/tyk/certs/O"+next.fingerprint, "")
	check(map[string]string{"one.test": next.fingerprint})
	g.reload()
	check(map[string]string{"one.test": one.fingerprint})

	g.store.SetRedisDown(true)
	g.reload()
	check(map[string]string{"one.test": one.fingerprint})
	g.store.SetRedisDown(false)

	// "domain_disabled true switches the API's certificates off"
	g.load(apiOf("a1", "/", "certificates", ids, "domain_disabled", true))
	check(map[string]string{"one.test": ""})
}

// Over real handshakes. "With none at all: handshake alert unrecognized_name", and
// "protocol https" is served on such a listener, while "http" is not.
func TestHandshake(t *testing.T) {
	g := start(t)
	p := newPair(t, "one.test", []string{"one.test"})
	g.load(apiOf("a1", "/a1/", "certificates", []string{g.upload("O", p.cert, p.key)}),
		apiOf("s", "/s/", "protocol", "https"), apiOf("h", "/h/", "protocol", "http"))
	server := httptest.NewUnstartedServer(g)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = tls.NewListener(listener, &tls.Config{GetCertificate: g.GetCertificate})
	server.Start()
	defer server.Close()

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.cert))
	client := func(name string) *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}, DisableKeepAlives: true}}
	}
	base := "https://" + listener.Addr().String()
	for path, want := range map[string]int{"/a1/x": 200, "/s/x": 200, "/h/x": 404} {
		resp, err := client("one.test").Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if _, err := client("two.test").Get(base + "/a1/x"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("%v", err)
	}
}
