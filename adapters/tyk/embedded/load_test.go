package embedded

import (
	"bytes"
	"log/slog"
	"maps"
	"strings"
	"testing"
)

// logged starts a rig whose log is kept.
func logged(t *testing.T, change ...func(*Config)) (*rig, *bytes.Buffer) {
	var log bytes.Buffer
	change = append(change, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	return start(t, change...), &log
}

// What becomes of a definition when it is posted, the gateway reloads, and a
// request comes.
func TestWhatLoads(t *testing.T) {
	const served, notServed, unlisted = "x1 /x", "404", "unlisted"
	version := func(text string) string { return `403 {"error": "` + text + `"}` }
	noVersion := version("Version information not found")
	noDefault := version("No default API version for this non-versioned API found")
	two := map[string]any{"a": map[string]any{}, "b": map[string]any{}}
	cases := []struct {
		name    string
		changes []any
		// want is what the upstream sees of /p/x, or the status and body.
		want string
		log  string
	}{
		{"minimal", nil, served, ""},
		{"active false", []any{"active", false}, served, ""},
		{"active absent", []any{"active", absent}, served, ""},
		{"no version_data", []any{"version_data", absent}, noVersion, ""},
		{"empty version_data", []any{"version_data", map[string]any{}}, noVersion, ""},
		{"not_versioned false, no version key", []any{"version_data.not_versioned", false}, noVersion, ""},
		{"not_versioned, versions {}", []any{"version_data.versions", map[string]any{}}, noDefault, ""},
		{"not_versioned, versions null", []any{"version_data.versions", nil}, noDefault, ""},
		{"exactly one version of any name", []any{"version_data.versions", map[string]any{"v9": map[string]any{}}}, served, ""},
		{"two versions, none named Default", []any{"version_data.versions", two}, noDefault, ""},
		{"Default without a name", []any{"version_data.versions", map[string]any{"Default": map[string]any{}}}, served, ""},
		{"no name", []any{"name", absent}, served, ""},
		{"no org_id", []any{"org_id", absent}, served, ""},
		{"no use_keyless and no auth method", []any{"use_keyless", absent}, `401 {"error": "Authorization field missing"}`, ""},
		{"no proxy", []any{"proxy", absent}, notServed, "Listen path is empty"},
		{"listen_path empty", []any{"proxy.listen_path", ""}, notServed, "Spec not valid, skipped!"},
		{"listen_path with a space", []any{"proxy.listen_path", "/p /"}, notServed, "contains spaces"},
		{"listen_path without a slash", []any{"proxy.listen_path", "p/"}, unlisted, "Invalid listen path when creating router"},
		{"listen_path unbalanced", []any{"proxy.listen_path", "/p/{"}, unlisted, "Invalid listen path when creating router"},
		{"listen_path bad regexp", []any{"proxy.listen_path", "/p/{x:[}"}, unlisted, "Invalid listen path when creating router"},
		{"listen_path capturing", []any{"proxy.listen_path", "/p/{x:(a)}"}, unlisted, "Invalid listen path when creating router"},
		{"no target_url", []any{"proxy.target_url", absent}, `500 {"error": "There was a problem proxying the request"}`, ""},
		{"target_url without scheme", []any{"proxy.target_url", "127.0.0.1:9191"}, notServed, "couldn't parse target URL"},
		{"target_url unparsable", []any{"proxy.target_url", "http://[::1"}, notServed, "couldn't parse target URL"},
		{"protocol http", []any{"protocol", "http"}, served, ""},
		{"protocol https on an http port", []any{"protocol", "https"}, notServed, ""},
		{"protocol bogus", []any{"protocol", "bogus"}, notServed, ""},
		{"protocol tcp without listen_port", []any{"protocol", "tcp"}, unlisted, "missing listening port"},
		{"listen_port not the gateway's", []any{"listen_port", 8199}, notServed, ""},
		{"internal", []any{"internal", true}, notServed, ""},
		{"unknown id in certificates", []any{"certificates", []string{"nobody"}}, served, ""},
		{"tags", []any{"tags", []string{"edge"}}, served, ""},
		{"unknown extra fields", []any{"bogus", true}, served, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, log := logged(t)
			g.load(apiOf("x1", "/p/", c.changes...), apiOf("other", "/other/"))
			_, listed := g.listed()["x1"]
			if listed == (c.want == unlisted) {
				t.Errorf("listed: %v", listed)
			}
			want := c.want
			if want == unlisted {
				want = notServed
			}
			got := g.upstream("/p/x")
			if strings.Contains(want, "error") {
				_, text := g.path("/p/x")
				got += " " + text
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("the log does not say %q:\n%s", c.log, log)
			}
			if got := g.winner("/other/x"); got != "other" {
				t.Errorf("a good API beside it: %s", got)
			}
		})
	}
}

// "Duplicated listen_path": the steps are loads and what holds after them.
func TestCollisions(t *testing.T) {
	t.Run("new against one already loaded", func(t *testing.T) {
		g, log := logged(t)
		g.load(apiOf("c1", "/same/"))
		g.load(apiOf("c2", "/same/"))
		wantListed(t, g, map[string]string{"c1": "/same/", "c2": "/same/-c2"})
		wantWinner(t, g, "/same/x", "c1")
		wantWinner(t, g, "/same/-c2/x", "c1") // "not reachable even there: the older prefix wins"
		if !strings.Contains(log.String(), "Listen path collision, changed to /same/-c2") {
			t.Error(log)
		}
		// "or any restart of the gateway, which forgets who was first: BOTH are moved"
		g.Restart()
		wantListed(t, g, map[string]string{"c1": "/same/-c1", "c2": "/same/-c2"})
		wantWinner(t, g, "/same/x", "404")
	})
	t.Run("both new", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("d1", "/same/"), apiOf("d2", "/same/"))
		wantListed(t, g, map[string]string{"d1": "/same/-d1", "d2": "/same/-d2"})
		wantWinner(t, g, "/same/x", "404")
		wantWinner(t, g, "/d1/x", "d1") // the other mount

		// "stays moved after the collision is gone, two reloads later still"
		g.code("DELETE", "/tyk/apis/d2", "")
		g.reload()
		g.reload()
		wantListed(t, g, map[string]string{"d1": "/same/-d1"})
		wantWinner(t, g, "/same/x", "404")

		// "unchanged files are not reprocessed"
		g.code("PUT", "/tyk/apis/d1", apiOf("d1", "/same/"))
		g.reload()
		wantListed(t, g, map[string]string{"d1": "/same/-d1"})

		// "until it is PUT with a CHANGED definition"
		g.code("PUT", "/tyk/apis/d1", apiOf("d1", "/same/", "name", "changed"))
		g.reload()
		wantListed(t, g, map[string]string{"d1": "/same/"})
		wantWinner(t, g, "/same/x", "d1")
	})
	t.Run("or the gateway restarts", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("d1", "/same/"), apiOf("d2", "/same/"))
		g.code("DELETE", "/tyk/apis/d2", "")
		g.Restart()
		wantListed(t, g, map[string]string{"d1": "/same/"})
	})
	t.Run("one new and one just moved there", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("e1", "/elsewhere/"))
		g.load(apiOf("e1", "/same/"), apiOf("e2", "/same/"))
		wantListed(t, g, map[string]string{"e1": "/same/-e1", "e2": "/same/-e2"})
		wantWinner(t, g, "/elsewhere/x", "404")
	})
	t.Run("the owner changes something else", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("c1", "/same/"))
		g.load(apiOf("c1", "/same/", "name", "changed"), apiOf("c2", "/same/"))
		wantListed(t, g, map[string]string{"c1": "/same/", "c2": "/same/-c2"})
	})
	t.Run("a GET result is put back", func(t *testing.T) {
		// "the GET output shows the rewritten path; PUTting a GET result back persists
		// it to disk"
		g := start(t)
		g.load(apiOf("d1", "/same/"), apiOf("d2", "/same/"))
		_, text := g.control("GET", "/tyk/apis/d1", "")
		g.code("PUT", "/tyk/apis/d1", text)
		if file := string(g.store.Files()["d1.json"]); !strings.Contains(file, `"/same/-d1"`) {
			t.Errorf("%.200s", file)
		}
	})
	t.Run("key is domain and listen path", func(t *testing.T) {
		g := start(t)
		g.load(apiOf("f1", "/same/", "domain", "one.test"), apiOf("f2", "/same/", "domain", "two.test"), apiOf("f3", "/same/"))
		wantListed(t, g, map[string]string{"f1": "/same/", "f2": "/same/", "f3": "/same/"})
		g.load(apiOf("f4", "/same/", "domain", "one.test"))
		wantListed(t, g, map[string]string{"f1": "/same/", "f2": "/same/", "f3": "/same/", "f4": "/same/-f4"})
	})
}

func wantListed(t *testing.T, g *rig, want map[string]string) {
	t.Helper()
	if got := g.listed(); !maps.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}

func wantWinner(t *testing.T, g *rig, target, want string) {
	t.Helper()
	if got := g.winner(target); got != want {
		t.Errorf("%s is served by %s, want %s", target, got, want)
	}
}
