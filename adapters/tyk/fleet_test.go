package tyk

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

const testSecret = "test-secret"

// double is a gateway of the tests.
type double struct {
	*embedded.Gateway
	server *httptest.Server
	store  *embedded.Store
}

func newDouble(t testing.TB) *double {
	t.Helper()
	store := embedded.NewStore()
	g := embedded.New(embedded.Config{Secret: testSecret, CustomDomains: true, ReloadTick: time.Millisecond, Store: store})
	server := httptest.NewServer(g)
	t.Cleanup(func() { server.Close(); g.Close() })
	return &double{g, server, store}
}

func (d *double) settings() Settings {
	return Settings{URL: d.server.URL, Secret: NewSecret(testSecret), OrgID: "default", FirstPause: time.Millisecond, Rate: 1e6}
}

func newTestTarget(t testing.TB, s Settings, o Options) *target {
	t.Helper()
	o.ClusterID = "test"
	x, err := newTarget(s, o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// desired makes an object with a definition for each path; version changes their
// content.
func desired(name string, version int, paths ...string) engine.Desired {
	d := engine.Desired{Object: engine.Ref{Kind: "Ingress", Namespace: "default", Name: name}, Outcome: engine.Managed, Template: "default"}
	for _, p := range paths {
		id := fmt.Sprintf("%s-%s", name, p[1:])
		hash := fmt.Sprintf("%s-%d", id, version)
		host := name + ".example.com"
		text := fmt.Sprintf(`{"name":%q,"api_id":%q,"org_id":"default","use_keyless":true,"active":true,"domain":%q,
			"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
			"proxy":{"listen_path":%q,"target_url":"http://127.0.0.1:1/v%d"}}`, id, id, host, p, version)
		mark := map[string]string{"cluster": "test", "hash": hash, "match": host + " ^ " + p, "owner": d.Object.String()}
		text, err := sjson.Set(text, "config_data.cuegate", mark)
		if err != nil {
			panic(err)
		}
		d.Definitions = append(d.Definitions, engine.Definition{ID: id, Field: "spec", Match: mark["match"], Listen: host + p, Hash: hash, JSON: []byte(text)})
	}
	return d
}

// loaded gives what the gateway lists, by api_id.
func (d *double) loaded(t testing.TB) map[string]gjson.Result {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, d.server.URL+"/tyk/apis", nil)
	req.Header.Set("x-tyk-authorization", testSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := make([]byte, 0)
	buf := make([]byte, 1<<16)
	for {
		n, err := resp.Body.Read(buf)
		body = append(body, buf[:n]...)
		if err != nil {
			break
		}
	}
	all := map[string]gjson.Result{}
	for _, api := range gjson.ParseBytes(body).Array() {
		all[api.Get("api_id").String()] = api
	}
	return all
}

func push(t testing.TB, x *target, want ...engine.Desired) Report {
	t.Helper()
	return x.sync(context.Background(), want)
}

func TestSyncCreatesUpdatesAndDeletes(t *testing.T) {
	g := newDouble(t)
	x := newTestTarget(t, g.settings(), Options{})
	r := push(t, x, desired("cafe", 1, "/tea", "/coffee"), desired("shop", 1, "/"))
	if !r.OK() || r.Created != 3 || len(g.loaded(t)) != 3 {
		t.Fatalf("%+v", r)
	}
	g.ResetCalls()
	r = push(t, x, desired("cafe", 2, "/tea"), desired("shop", 1, "/"))
	if !r.OK() || r.Updated != 1 || r.Deleted != 1 || r.Unchanged != 1 {
		t.Fatalf("%+v", r)
	}
	all := g.loaded(t)
	if len(all) != 2 || all["cafe-tea"].Get("proxy.target_url").String() != "http://127.0.0.1:1/v2" {
		t.Errorf("loaded: %v", all)
	}
	fmt.Println(g.Calls())
}
