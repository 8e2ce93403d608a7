package nginx

import (
	"fmt"
	"strings"
	"testing"
)

func controller(data ...string) string {
	var b strings.Builder
	b.WriteString("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: ingress-nginx-controller, namespace: ingress-nginx}\ndata:\n  worker-processes: '4'\n")
	for i := 0; i+1 < len(data); i += 2 {
		fmt.Fprintf(&b, "  %s: %q\n", data[i], data[i+1])
	}
	return b.String()
}

// TestSettingsProtectAllIngresses: what the controller did to all Ingresses is not lost.
func TestSettingsProtectAllIngresses(t *testing.T) {
	for _, test := range []struct {
		name, value string
		own         []string // annotations of the Ingress
		accept      string
		want        Outcome
	}{
		{name: "global-auth-url", value: "http://auth/", want: LeftOut},
		{name: "global-auth-url", value: "http://auth/", own: []string{"enable-global-auth", "false"}, want: Needless},
		{name: "global-auth-url", value: "http://auth/", own: []string{"enable-global-auth", "true"}, want: LeftOut},
		{name: "whitelist-source-range", value: "10.0.0.0/8", want: LeftOut},
		{name: "whitelist-source-range", value: "10.0.0.0/8", accept: "client-ip", want: Approximated},
		{name: "denylist-source-range", value: "10.0.0.0/8", want: LeftOut},
		{name: "block-cidrs", value: "10.0.0.0/8", want: LeftOut},
		{name: "block-cidrs", value: "10.0.0.0/8", accept: "block-lists", want: Mapped},
		{name: "location-snippet", value: "deny all;", want: LeftOut},
		{name: "enable-modsecurity", value: "true", want: LeftOut},
		{name: "enable-modsecurity", value: "false", want: Mapped},
		{name: "limit-rate", value: "0", want: Mapped},
		{name: "force-ssl-redirect", value: "true", want: LeftOut},
		{name: "ssl-redirect", value: "false", want: Mapped},
	} {
		m := converted(Options{Accept: []string{test.accept}}, controller(test.name, test.value), manifest("a", "a.example.com", "/", test.own...))
		if got := m.Ingresses[0].Outcome; got != test.want {
			t.Errorf("%s: %q, %v, accepted %q: %s, and not %s: %+v", test.name, test.value, test.own, test.accept, got, test.want, m.Ingresses[0].Entries)
		}
		for _, e := range append(m.Settings, m.Ingresses[0].Entries...) {
			if strings.Contains(e.Value, "deny all") || strings.Contains(e.Value, "http://auth") {
				t.Errorf("%s is repeated: %s", e.Name, e.Value)
			}
		}
	}
}

// TestWhetherGlobalAuthIsOnIsNotKnown: without the ConfigMap nobody knows.
func TestWhetherGlobalAuthIsOnIsNotKnown(t *testing.T) {
	m := converted(Options{}, manifest("a", "a.example.com", "/", "enable-global-auth", "true"))
	if got := m.Ingresses[0].Outcome; got != LeftOut {
		t.Errorf("%s", got)
	}
}
