package embedded

import (
	"encoding/json"
	"testing"
)

func TestHealth(t *testing.T) {
	g := start(t)
	ask := func(method, path string) (int, map[string]any) {
		r := newRequest("http://any.test" + path)
		r.Method = method
		w := g.do(r) // "no secret needed"
		var body map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
		return w.Code, body
	}
	check := func(method, path string, code int, status, key, text string) {
		t.Helper()
		got, body := ask(method, path)
		if got != code || body["status"] != status || body[key] != text {
			t.Errorf("%s %s: %d %v", method, path, got, body)
		}
	}
	check("GET", "/hello", 200, "pass", "description", "Tyk GW")
	check("GET", "/hello", 200, "pass", "version", "v5.11.1")
	check("GET", "/ready", 200, "pass", "description", "Tyk GW Ready")
	check("POST", "/hello", 405, "error", "message", "Method Not Allowed")
	check("HEAD", "/ready", 405, "error", "message", "Method Not Allowed")
	_, body := ask("GET", "/hello")
	redis := body["details"].(map[string]any)["redis"].(map[string]any)
	if redis["status"] != "pass" || redis["componentType"] != "datastore" || redis["time"] == "" {
		t.Errorf("%v", redis)
	}

	g.store.SetRedisDown(true)
	check("GET", "/hello", 200, "fail", "description", "Tyk GW") // "Redis down: 200 with status fail. Look at the body."
	check("GET", "/ready", 503, "error", "message", "Redis connection not available")
	g.store.SetRedisDown(false)
	check("GET", "/ready", 200, "pass", "version", "v5.11.1")
}
