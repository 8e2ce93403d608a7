package embedded

import (
	"net/http"
	"strings"
)

// keySettings say what kind of authentication an API wants.
type keySettings struct {
	Keyless     bool            `json:"use_keyless"`
	Auth        auth            `json:"auth"`
	AuthConfigs map[string]auth `json:"auth_configs"`

	// Kinds other than auth tokens.
	OAuth         bool `json:"use_oauth2"`
	ExternalOAuth struct {
		Enabled bool `json:"enabled"`
	} `json:"external_oauth"`
	OpenID       bool `json:"use_openid"`
	JWT          bool `json:"enable_jwt"`
	Basic        bool `json:"use_basic_auth"`
	Signature    bool `json:"enable_signature_checking"`
	GoPlugin     bool `json:"use_go_plugin_auth"`
	Coprocess    bool `json:"enable_coprocess_auth"`
	CustomPlugin bool `json:"custom_plugin_auth_enabled"`
}

// auth says where a request carries its key, and what else has to come with it.
type auth struct {
	Header        string `json:"auth_header_name"`
	DisableHeader bool   `json:"disable_header"`
	UseParam      bool   `json:"use_param"`
	Param         string `json:"param_name"`
	UseCookie     bool   `json:"use_cookie"`
	Cookie        string `json:"cookie_name"`
	Certificate   bool   `json:"use_certificate"`
	Signature     bool   `json:"validate_signature"`
}

// refuseKey says with which status and text the API refuses a request's key. Only auth
// tokens are known, and only from Config.Keys: an API that wants anything else, even
// beside a token, refuses every key. That a key is let in is not measured; with
// "Bearer " before it, it was read in the gateway's source.
func (g *Gateway) refuseKey(a *api, r *http.Request) (status int, text string) {
	if a.Keyless {
		return 0, ""
	}
	where := a.whereKey()
	key := where.key(r)
	if key == "" {
		return http.StatusUnauthorized, "Authorization field missing"
	}
	if len(key) > 7 && strings.EqualFold(key[:7], "Bearer ") {
		key = key[7:]
	}
	if a.otherKinds() || where.Certificate || where.Signature || !g.keys[key] {
		return http.StatusForbidden, "Access to this API has been disallowed"
	}
	return 0, ""
}

// otherKinds tells whether the API wants more than an auth token, which is also what
// one without any kind falls back to.
func (k *keySettings) otherKinds() bool {
	return k.OAuth || k.ExternalOAuth.Enabled || k.OpenID || k.JWT || k.Basic ||
		k.Signature || k.GoPlugin || k.Coprocess || k.CustomPlugin
}

func (k *keySettings) whereKey() auth {
	if token, ok := k.AuthConfigs["authToken"]; ok {
		return token
	}
	return k.Auth
}

// key of a request, "" for none.
func (a *auth) key(r *http.Request) string {
	header := or(a.Header, "Authorization")
	if !a.DisableHeader {
		if key := r.Header.Get(header); key != "" {
			return key
		}
	}
	if a.UseParam {
		if key := r.URL.Query().Get(or(a.Param, header)); key != "" {
			return key
		}
	}
	if a.UseCookie {
		if cookie, err := r.Cookie(or(a.Cookie, header)); err == nil {
			return cookie.Value
		}
	}
	return ""
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
