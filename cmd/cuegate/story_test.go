package main

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/sjson"

	"github.com/cuegate/cuegate/adapters/tyk/dashboardtest"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
)

var update = flag.Bool("update", false, "rewrite the wanted outputs in testdata and examples")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cuegate": func() {
			os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestStories runs the stories. Beside the usual commands there are
//
//	gateway [domains-off]   starts a gateway; its URL is $GATEWAY, its secret is set
//	dashboard [ORGANISATION [FILE]]
//	                        starts a Dashboard that nobody has bootstrapped; its URL is
//	                        $DASHBOARD, its admin secret is set. With an organisation,
//	                        that is there, and with a file a user, whose key is in it
//	plant FILE              writes a definition behind everybody's back, and restarts
//	edit ID PATH JSON       changes one, and restarts
//	get HOST PATH           requests a path, and gives status and body as its output
//	targets FILE TAG...     writes a configuration with that gateway, which has the tags
//	identities FILE NAMESPACE ROLE FOR...
//	                        writes Secrets of the mesh with new certificates
//	replace OLD NEW FILE    replaces a text, which must be there
//	stock                   puts the stock cue and opa on the PATH, offline
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/stories",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"gateway": startGateway,
			"plant":   plant,
			"edit":    edit,
			"get":     get,

			"dashboard": startDashboard,

			"targets":    targetsFile,
			"identities": identities,
			"replace":    replace,
			"stock":      stock,
		},
	})
}

const storySecret = "story-secret"

// gateways holds the storyGateway behind each URL; stories run side by side.
var gateways sync.Map

// storyGateway is the gateway of one story.
type storyGateway struct {
	store *embedded.Store
	*embedded.Gateway
}

func startGateway(ts *testscript.TestScript, _ bool, args []string) {
	g := storyGateway{store: embedded.NewStore()}
	g.Gateway = embedded.New(embedded.Config{
		Secret: storySecret, CustomDomains: len(args) == 0, ReloadTick: time.Millisecond, Store: g.store, Transport: newEchoTransport(),
	})
	server := httptest.NewServer(g)
	ts.Defer(func() { server.Close(); g.Close() })
	ts.Setenv("GATEWAY", server.URL)
	ts.Setenv("CUEGATE_SECRET", storySecret)
	gateways.Store(server.URL, g)
}

func startDashboard(ts *testscript.TestScript, _ bool, args []string) {
	d := dashboardtest.New(dashboardtest.Config{AdminSecret: storySecret})
	if len(args) > 0 {
		org := d.AddOrganisation(args[0])
		if len(args) > 1 {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(d.AddUser(org, "ann@example.com").Key+"\n"), 0o600))
		}
	}
	server := httptest.NewServer(d)
	ts.Defer(server.Close)
	ts.Setenv("DASHBOARD", server.URL)
	ts.Setenv("CUEGATE_ADMIN_SECRET", storySecret)
}

func plant(ts *testscript.TestScript, _ bool, args []string) {
	v, _ := gateways.Load(ts.Getenv("GATEWAY"))
	g := v.(storyGateway)
	for _, name := range args {
		g.store.WriteFile(name, []byte(ts.ReadFile(name)))
	}
	g.Restart()
}

func edit(ts *testscript.TestScript, _ bool, args []string) {
	v, _ := gateways.Load(ts.Getenv("GATEWAY"))
	g := v.(storyGateway)
	text, err := sjson.SetRawBytes(g.store.Files()[args[0]+".json"], args[1], []byte(args[2]))
	ts.Check(err)
	g.store.WriteFile(args[0]+".json", text)
	g.Restart()
}

func targetsFile(ts *testscript.TestScript, _ bool, args []string) {
	text := fmt.Sprintf("targets: [{url: %q, mode: gateway, tags: [%s]}]\n", ts.Getenv("GATEWAY"), strings.Join(args[1:], ", "))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func identities(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	for i := 2; i+1 < len(args); i += 2 {
		role, owner := args[i], args[i+1]
		certificate, key, err := selfSigned("mesh")
		ts.Check(err)
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: mesh-%d, namespace: %s, labels: {cuegate.dev/mesh: %s}, annotations: {cuegate.dev/mesh-for: %s}}\ndata: {tls.crt: %s, tls.key: %s}\n",
			i, args[1], role, owner, base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(key))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

func replace(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[2])
	if !strings.Contains(text, args[0]) {
		ts.Fatalf("%s does not hold %q", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(text, args[0], args[1])), 0o600))
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest(http.MethodGet, ts.Getenv("GATEWAY")+args[1], nil)
	ts.Check(err)
	req.Host = args[0]
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if ok := resp.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("status %d: %s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	_, _ = ts.Stdout().Write(body)
}
