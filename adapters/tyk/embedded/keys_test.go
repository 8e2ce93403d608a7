package embedded

import (
	"crypto/rand"
	"fmt"
	"testing"
)

// Of the texts, "Authorization field missing" was measured, and that nobody is let in
// without keys (see TestKeys); that a key is let in was not.
func TestKnownKeys(t *testing.T) {
	key := rand.Text()
	g := start(t, func(c *Config) { c.Keys = []string{"", rand.Text(), key} })
	const missing, refused = `401 {"error": "Authorization field missing"}`, `403 {"error": "Access to this API has been disallowed"}`
	where := func(field string, value any) map[string]any {
		return map[string]any{"authToken": map[string]any{"auth_header_name": "X-Key", field: value}}
	}
	g.load(
		apiOf("token", "/token/", "use_keyless", false, "use_standard_auth", true),
		apiOf("fallback", "/fallback/", "use_keyless", false),
		apiOf("old", "/old/", "use_keyless", false, "use_standard_auth", true, "auth", map[string]any{"auth_header_name": "X-Key"}),
		apiOf("param", "/param/", "use_keyless", false, "use_standard_auth", true, "auth_configs", where("use_param", true)),
		apiOf("cookie", "/cookie/", "use_keyless", false, "use_standard_auth", true, "auth_configs", where("use_cookie", true)),
		apiOf("cert", "/cert/", "use_keyless", false, "use_standard_auth", true, "auth_configs", where("use_certificate", true)),
		apiOf("signed", "/signed/", "use_keyless", false, "use_standard_auth", true, "auth_configs", where("validate_signature", true)),
		apiOf("jwt", "/jwt/", "use_keyless", false, "use_standard_auth", true, "enable_jwt", true),
		apiOf("external", "/external/", "use_keyless", false, "external_oauth", map[string]any{"enabled": true}),
		apiOf("listed", "/listed/", "use_keyless", false, "use_standard_auth", true, "enable_ip_whitelisting", true, "allowed_ips", []string{"192.0.2.1"}),
	)
	for _, c := range []struct{ target, header, value, want string }{
		{"/token/", "", "", missing},
		{"/token/", "Authorization", key, ""},
		{"/token/", "Authorization", "Bearer " + key, ""},
		{"/token/", "Authorization", "bearer " + key, ""},
		{"/token/", "Authorization", "Basic " + key, refused},
		{"/token/", "Authorization", key + "x", refused},
		{"/token/", "Authorization", "Bearer ", refused}, // not the empty key
		{"/fallback/", "Authorization", key, ""},
		{"/old/", "Authorization", key, missing},
		{"/old/", "X-Key", key, ""},
		{"/param/?X-Key=" + key, "", "", ""},
		{"/param/?X-Key=no", "", "", refused},
		{"/cookie/", "Cookie", "X-Key=" + key, ""},
		// what wants more than a token refuses everybody
		{"/cert/", "X-Key", key, refused},
		{"/signed/", "X-Key", key, refused},
		{"/jwt/", "Authorization", key, refused},
		{"/external/", "Authorization", key, refused},
		{"/listed/", "Authorization", key, `403 {"error": "Access from this IP has been disallowed"}`},
	} {
		r := newRequest("http://gw.test" + c.target)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := g.do(r)
		if got := fmt.Sprint(w.Code, " ", w.Body); got != c.want && (c.want != "" || w.Code != 200) {
			t.Errorf("%s %s: got %s, want %s", c.target, c.header, got, c.want)
		}
	}
}
