package contract

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
)

// tick is long enough to tell one reload from many, and a fiftieth of the real one.
const tick = 20 * time.Millisecond

func TestEmbedded(t *testing.T) {
	for _, c := range []struct {
		name            string
		domains, strict bool
		// others use the gateway too.
		others bool
	}{
		{"strict routes", true, true, false},
		{"loose routes", true, false, false},
		{"domains ignored", false, false, false},
		{"not alone", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting for ticks
			store := embedded.NewStore()
			config := embedded.Config{Secret: "s3cret", CustomDomains: c.domains, StrictRoutes: c.strict, ReloadTick: tick, Store: store}
			gateway := embedded.New(config)
			t.Cleanup(gateway.Close)
			server := httptest.NewServer(gateway)
			t.Cleanup(server.Close)
			g := Gateway{URL: server.URL, Secret: config.Secret, CustomDomains: c.domains, StrictRoutes: c.strict}
			if c.others {
				settle(t, g, store)
			}
			files, certs := store.Files(), listAll(t, g)

			t.Run("contract", func(t *testing.T) { Run(t, g) })

			if left := store.Files(); !maps.EqualFunc(left, files, slices.Equal) {
				t.Errorf("the folder had %v, and has %v", slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(left)))
			}
			if left := listAll(t, g); left != certs {
				t.Errorf("certificates were %s, and are %s", certs, left)
			}
		})
	}
}

// settle has somebody else on the gateway: one who takes all traffic that is left,
// two who collide, one who lets nobody in, a file that is broken, a certificate.
func settle(t *testing.T, g Gateway, store *embedded.Store) {
	neighbour := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"error":"the neighbour"}`)
	}))
	t.Cleanup(neighbour.Close)
	b := &bench{gateway: g.withDefaults(), prefix: "neighbour", upstream: neighbour.URL, client: http.DefaultClient, certs: map[string]bool{}}
	p := b.probe(t)
	for _, d := range []definition{
		p.api("all", "/"),
		p.api("one", "/bread/"), p.api("two", "/bread/"),
		p.api("closed", "/f").with("use_keyless", false),
		p.api("host", "/").with("domain", "neighbour.test"),
	} {
		store.WriteFile(d.id()+".json", []byte(d.json()))
	}
	store.WriteFile("broken.json", []byte(`{"name":`))
	cert := p.pair("neighbour.test", time.Hour)
	p.upload(b.gateway.OrgID, cert, cert.cert+cert.key)
	p.reload()
}

// listAll gives the certificates of the default organisation.
func listAll(t *testing.T, g Gateway) string {
	t.Helper()
	b := &bench{gateway: g.withDefaults(), client: http.DefaultClient}
	return b.probe(t).call("GET", certsOf(b.gateway.OrgID), "").body
}

// TestRealGateway runs the contract on a gateway that the environment names.
func TestRealGateway(t *testing.T) {
	g := Gateway{
		URL:           os.Getenv("CUEGATE_TEST_GATEWAY_URL"),
		Secret:        os.Getenv("CUEGATE_TEST_GATEWAY_SECRET"),
		DataPlane:     os.Getenv("CUEGATE_TEST_GATEWAY_DATA_URL"),
		StrictRoutes:  isSet(t, "CUEGATE_TEST_GATEWAY_STRICT_ROUTES"),
		CustomDomains: isSet(t, "CUEGATE_TEST_GATEWAY_CUSTOM_DOMAINS"),
	}
	if g.URL == "" {
		t.Skip("CUEGATE_TEST_GATEWAY_URL names no gateway")
	}
	Run(t, g)
}

// isSet reads a setting of the gateway: true or false, false where there is none.
func isSet(t *testing.T, name string) bool {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return false
	}
	set, err := strconv.ParseBool(text)
	if err != nil {
		t.Fatalf("%s is %q, which is neither true nor false", name, text)
	}
	return set
}

func TestSameJSON(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":null}`, ` { "b": null, "a": 1 }`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`text`, `text`, false},
	} {
		if got := sameJSON(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
	d := definition{"a": object{"b": 1, "c": 2}}.with("a.b", 3).with("a.c", absent)
	if text, _ := json.Marshal(d); string(text) != `{"a":{"b":3}}` {
		t.Errorf("%s", text)
	}
}
