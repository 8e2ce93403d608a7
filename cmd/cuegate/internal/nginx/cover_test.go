package nginx

import (
	"strings"
	"testing"
)

// TestNobodyTakesWhatWasProtected: the requests of a protected Ingress that is left out do
// not come to another one that would have lost them to it on ingress-nginx.
func TestNobodyTakesWhatWasProtected(t *testing.T) {
	lock := []string{"auth-url", "http://auth/"}
	regex := []string{"use-regex", "true"}
	for _, test := range []struct {
		name         string
		closed, open string
		left         bool
	}{
		{"shorter path", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "a.example.com", "/"), true},
		{"same path", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "a.example.com", "/admin"), true},
		{"longer path", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "a.example.com", "/admin/public"), false},
		{"other path", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "a.example.com", "/adm"), false},
		{"other host", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "b.example.com", "/"), false},
		{"wildcard host", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "'*.example.com'", "/"), true},
		{"longer path of a wildcard host", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "'*.example.com'", "/admin/x"), true},
		{"host of any name", manifest("closed", "a.example.com", "/admin", lock...), manifest("open", "''", "/"), true},
		{"regular expression", manifest("closed", "a.example.com", "/admin/secret", lock...), manifest("open", "a.example.com", "/[a-z]+", regex...), true},
		{"text on a host with regular expressions", manifest("closed", "a.example.com", "/admin/[0-9]+", append(regex, lock...)...), manifest("open", "a.example.com", "/adm"), true},
		{"not protected", manifest("closed", "a.example.com", "/admin", "permanent-redirect", "https://example.com"), manifest("open", "a.example.com", "/"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := converted(Options{}, test.closed, test.open)
			if m.Ingresses[0].Outcome != LeftOut {
				t.Fatalf("the closed one is %s", m.Ingresses[0].Outcome)
			}
			if got := m.Ingresses[1].Outcome == LeftOut; got != test.left {
				t.Errorf("left out: %t: %+v", got, m.Ingresses[1].Entries)
			}
		})
	}
}

// TestNobodyTakesWhatWasTaken: who is left out because it would take requests of what was
// protected may be protected itself, whatever the order.
func TestNobodyTakesWhatWasTaken(t *testing.T) {
	second := strings.Replace(manifest("second", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), "rules: [",
		"rules: [{host: b.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: svc, port: {number: 80}}}}]}}, ", 1)
	open := manifest("open", "b.example.com", "/")
	closed := manifest("closed", "a.example.com", "/admin/keys", "auth-url", "http://auth/")
	for i, files := range [][]string{{second, open, closed}, {closed, second, open}, {open, closed, second}} {
		all := converted(Options{Accept: []string{"client-ip"}}, files...).Ingresses
		if len(all) != 3 {
			t.Fatalf("%d: %d Ingresses", i, len(all))
		}
		for _, x := range all {
			if x.Outcome != LeftOut {
				t.Errorf("%d: %s is %s: %+v", i, x.Object, x.Outcome, x.Entries)
			}
		}
	}
}

// TestNobodyTakesWhatIsProtected: the protected one is migrated, and another one might still
// get its requests.
func TestNobodyTakesWhatIsProtected(t *testing.T) {
	for _, test := range []struct {
		name         string
		closed, open string
		left         bool
	}{
		{"of one length", manifest("closed", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), manifest("open", "a.example.com", "/[a-z]", "use-regex", "true"), true},
		{"of one length, and apart", manifest("closed", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), manifest("open", "a.example.com", "/b.*.*", "use-regex", "true"), false},
		{"of another length", manifest("closed", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), manifest("open", "a.example.com", "/.*", "use-regex", "true"), false},
		{"in clear", strings.Replace(manifest("closed", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), "  rules:", "  tls: [{hosts: [a.example.com]}]\n  rules:", 1), manifest("open", "a.example.com", "/", "ssl-redirect", "false"), true},
		{"with TLS", strings.Replace(manifest("closed", "a.example.com", "/admin", "denylist-source-range", "10.0.0.1"), "  rules:", "  tls: [{hosts: [a.example.com]}]\n  rules:", 1), manifest("open", "a.example.com", "/"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := converted(Options{Accept: []string{"client-ip"}}, test.closed, test.open)
			if m.Ingresses[0].Outcome == LeftOut {
				t.Fatalf("the closed one is left out: %+v", m.Ingresses[0].Entries)
			}
			if got := m.Ingresses[1].Outcome == LeftOut; got != test.left {
				t.Errorf("left out: %t: %+v", got, m.Ingresses[1].Entries)
			}
		})
	}
}

// TestRefusedByTheEngine: what the engine refuses is not written, and nobody takes its
// requests where it was protected.
func TestRefusedByTheEngine(t *testing.T) {
	m := migrated(t, Options{Accept: []string{"client-ip"}},
		manifest("closed", "a.example.com", "/admin//x", "whitelist-source-range", "10.0.0.0/8"),
		manifest("open", "a.example.com", "/"),
		manifest("other", "b.example.com", "/"))
	for i, want := range []Outcome{LeftOut, LeftOut, Mapped} {
		if got := m.Ingresses[i].Outcome; got != want {
			t.Errorf("%s is %s, and not %s: %+v", m.Ingresses[i].Object, got, want, m.Ingresses[i].Entries)
		}
	}
}
