package engine

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Rules of what an explanation shows
//
// Values of a definition are shown, for they are what is to be explained, but for
// those that may be secrets: whatever stands under a name that sounds like one, a
// jwt_source that is a key, and user, password and query of a URL. A reference to
// the request's context is none.

const redacted = "[redacted]"

// secretNames match names of fields and headers.
var secretNames = regexp.MustCompile(`(?i)secret|passw|token|private|credential|authoriz|cookie|api[-_]?key|signature|hmac`)

// secretHeaders match names of headers.
var secretHeaders = regexp.MustCompile(`(?i)auth|key`)

// plainNames sound like secrets and are settings.
var plainNames = regexp.MustCompile(`^(use_|enable_|disable_|strip_|auth_header_name|authToken$|allowed_|hmac_allowed|jwt_.*_(name|field)$|token_url$|.*_claim_name$)`)

// Shown gives a value of a definition as it may be shown to people, as JSON. path has
// "." between keys; v is as encoding/json decodes it.
func Shown(path string, v any) json.RawMessage {
	raw, err := canonical(shown(splitPath(path), v))
	if err != nil {
		return json.RawMessage(`"[unreadable]"`)
	}
	return raw
}

func shown(path []string, v any) any {
	switch v := v.(type) {
	case string:
		if v != "" {
			return visible(path, v)
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = shown(path, v[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for key, value := range v {
			object[key] = shown(slices.Concat(path, []string{key}), value)
		}
		return object
	}
	return v
}

var index = regexp.MustCompile(`^[0-9]+$`)

func visible(path []string, text string) string {
	// What stands in a list has the name of the list.
	last := len(path) - 1
	for last > 0 && index.MatchString(path[last]) {
		last--
	}
	return visibleAs(path, path[last], text)
}

func visibleAs(path []string, last, text string) string {
	switch {
	case strings.HasPrefix(text, "$tyk_context."):
		return text
	case secretHeaders.MatchString(last) && slices.ContainsFunc(path, isHeaders),
		secretNames.MatchString(last) && !plainNames.MatchString(last),
		last == "jwt_source" && !strings.Contains(text, "://"):
		return redacted
	}
	return visibleURL(text)
}

func isHeaders(key string) bool {
	return slices.Contains([]string{"headers", "add_headers", "global_headers", "global_response_headers"}, key)
}

// visibleURL leaves user, password and query out.
func visibleURL(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return text
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		shown += redacted + "@"
	}
	shown += u.Host + u.EscapedPath()
	if u.RawQuery != "" || u.Fragment != "" {
		shown += "?" + redacted
	}
	return shown
}
