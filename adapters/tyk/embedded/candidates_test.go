package embedded

import (
	"net/http/httptest"
	"testing"
)

// The candidates of a request come in the order of the gateway, and the first that
// claims it is the one that serves it.
func TestCandidates(t *testing.T) {
	store := NewStore()
	for id, where := range map[string][2]string{
		"exact": {"a.example.com", "/tea{p:(?:/|$)}"}, "longer": {"a.example.com", "/tea/green{p:(?:/|$)}"},
		"wild": {"{?:[^.]+}.example.com", "/{p:/{0}}"}, "any": {"", "/"}, "other": {"b.example.com", "/"},
	} {
		store.WriteFile(id+".json", []byte(`{"api_id":"`+id+`","use_keyless":true,"domain":"`+where[0]+`","proxy":{"listen_path":"`+where[1]+`"}}`))
	}
	g := New(Config{CustomDomains: true, Store: store})
	defer g.Close()
	for target, want := range map[string][]string{
		"http://a.example.com/tea/green/x": {"longer!", "exact!", "wild!", "any!"},
		"http://a.example.com/tea":         {"longer", "exact!", "wild!", "any!"},
		"http://c.example.com/tea":         {"wild!", "any!"},
		"http://c.example.org:8080/":       {"any!"},
	} {
		got := g.Candidates(httptest.NewRequest("GET", target, nil))
		if len(got) != len(want) {
			t.Fatalf("%s: %+v", target, got)
		}
		for i, c := range got {
			mark := c.ID
			if c.Claims {
				mark += "!"
			}
			if mark != want[i] || c.Length == 0 {
				t.Errorf("%s: number %d is %+v, want %s", target, i, c, want[i])
			}
		}
	}
}

// What is not looked at here must not be open.
func TestCallersThatCannotBeToldApart(t *testing.T) {
	store := NewStore()
	for _, field := range []string{"use_mutual_tls_auth", "enable_ip_whitelisting", "enable_ip_blacklisting"} {
		store.WriteFile(field+".json", []byte(`{"api_id":"`+field+`","use_keyless":true,"`+field+`":true,"proxy":{"listen_path":"/`+field+`"},
			"version_data":{"not_versioned":true,"versions":{"Default":{}}}}`))
	}
	g := New(Config{Store: store})
	defer g.Close()
	for _, field := range []string{"use_mutual_tls_auth", "enable_ip_whitelisting", "enable_ip_blacklisting"} {
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, httptest.NewRequest("GET", "/"+field, nil)); w.Code != 403 {
			t.Errorf("%s: status %d", field, w.Code)
		}
	}
}
