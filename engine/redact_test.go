package engine_test

import (
	"encoding/json"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

// What may be a secret is not shown, wherever it stands; names of settings are.
func TestShown(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"config_data.secret", `"x"`, `"[redacted]"`},
		{"config_data.secrets.0", `"x"`, `"[redacted]"`},
		{"config_data.a", `{"password": "x", "tokens": ["y"], "plain": ["z", 1]}`, `{"password":"[redacted]","plain":["z",1],"tokens":["[redacted]"]}`},
		{"version_data.versions.v1.global_headers.X-Key.0", `"x"`, `"[redacted]"`},
		{"jwt_source", `"bm9uZQ=="`, `"[redacted]"`},
		{"jwt_source", `"https://keys.example.com/jwks?x=y"`, `"https://keys.example.com/jwks?[redacted]"`},
		{"tags.0", `"ingress"`, `"ingress"`},
		{"0", `"a"`, `"a"`},
		{"use_keyless", `true`, `true`},
	} {
		var v any
		if err := json.Unmarshal([]byte(c.value), &v); err != nil {
			t.Fatal(err)
		}
		if got := string(engine.Shown(c.path, v)); got != c.want {
			t.Errorf("%s of %s is shown as %s, not %s", c.value, c.path, got, c.want)
		}
	}
}
