package listenpath

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"
)

// FuzzEncode: a host, path and type give an error in one short line, or a domain
// and a listen path that mux takes, that are safe as text, and that match what
// the model says.
func FuzzEncode(f *testing.F) {
	for _, host := range []string{"", "a.example.com", "*.example.com", "{x}.com", "K.com"} {
		for _, path := range []string{"", "/", "/foo/", "/a b/ /c", "/{a}/%7B", `/a\(|$:*"<`, "/\u2028", "/%zz", "/..", "/a%3Fb%25"} {
			for pathType := range 3 {
				f.Add(host, path, pathType)
			}
		}
	}
	types := []PathType{Exact, Prefix, ImplementationSpecific}
	f.Fuzz(func(t *testing.T, host, path string, pathType int) {
		kind := types[uint(pathType)%3]
		route, err := Parse(host, path, kind)
		if err != nil {
			checkError(t, err)
			return
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("accepted %q: %v", path, err)
		}
		if decoded == "" {
			decoded = "/"
		}
		r := rule{host: strings.ToLower(host), path: decoded, pathType: kind}
		for _, mode := range []Mode{Templated, Plain} {
			listenPath, err := route.Encode(mode)
			if err != nil {
				checkError(t, err)
				continue
			}
			checkText(t, listenPath)
			checkMatches(t, r, listenPath)
			if mode == Templated && (Length(listenPath) < 21) != (route.HostKind() == WildcardHost) {
				t.Errorf("%q of host %q has length %d", listenPath, host, Length(listenPath))
			}
			if mode == Plain && !strings.Contains(listenPath, "{") {
				return // strict routes make it right, mux alone does not
			}
			checkPrecision(t, r, listenPath)
		}
	})
}

// checkError: 64 bytes are at most 256 when quoted, and the longest sentence is
// shorter than 100.
func checkError(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if len(text) > 256+100 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("error text %q", text)
	}
}

// checkText looks at a listen path as text that travels.
func checkText(t *testing.T, listenPath string) {
	t.Helper()
	unsafe := func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }
	if !strings.HasPrefix(listenPath, "/") || strings.ContainsFunc(listenPath, unsafe) {
		t.Errorf("listen path %q", listenPath)
	}
	// The gateway replaces env://NAME and the like in definitions.
	if strings.Contains(listenPath, "//") {
		t.Errorf("listen path %q has two slashes", listenPath)
	}
	text, err := json.Marshal(listenPath)
	if err != nil {
		t.Fatal(err)
	}
	var back string
	if err := json.Unmarshal(text, &back); err != nil || back != listenPath {
		t.Errorf("listen path %q became %q in JSON, %v", listenPath, back, err)
	}
}

// checkMatches: mux takes domain and listen path, and the rule's own request.
func checkMatches(t *testing.T, r rule, listenPath string) {
	t.Helper()
	domain, _, err := Domain(r.host)
	if err != nil {
		t.Fatal(err)
	}
	route := mux.NewRouter().PathPrefix(listenPath)
	if domain != "" {
		route.Host(domain)
	}
	names, err := route.GetVarNames()
	if err != nil {
		t.Fatalf("mux refuses %q %q: %v", domain, listenPath, err)
	}
	slices.Sort(names)
	if n := len(names); len(slices.Compact(names)) != n {
		t.Errorf("listen path %q has a variable twice", listenPath)
	}
	host := strings.Replace(r.host, "*", "any", 1)
	if !route.Match(&http.Request{Host: host, URL: &url.URL{Path: r.path}}, &mux.RouteMatch{}) {
		t.Errorf("host %q, path %q do not match %q %q", host, r.path, domain, listenPath)
	}
}

// checkPrecision asks mux and the model for paths near the rule's own.
func checkPrecision(t *testing.T, r rule, listenPath string) {
	t.Helper()
	route := mux.NewRouter().PathPrefix(listenPath)
	bare := strings.TrimSuffix(r.path, "/")
	for _, path := range []string{bare, bare + "/", bare + "x", bare + "/x", bare + "\n", bare + "\n/", "/x" + bare, "/" + listenPath[1:]} {
		if !strings.HasPrefix(path, "/") {
			continue // of the root
		}
		got := route.Match(&http.Request{URL: &url.URL{Path: path}}, &mux.RouteMatch{})
		if want := r.matchesPath(path); got != want {
			t.Errorf("%s %q as %q: match of %q is %v, want %v", r.pathType, r.path, listenPath, path, got, want)
		}
	}
}

// TestLongestPaths: mux takes what the longest paths become, and they stay within
// bounds.
func TestLongestPaths(t *testing.T) {
	const most = 16 << 10
	for _, unit := range []string{"/ ", " /", " a", "a", "{", "/\u2028", "\u2028a", "\U0010ffff", "/a", "."} {
		path := "/x" + strings.Repeat(unit, (MaxPathBytes-2)/len(unit))
		for _, kind := range []PathType{Exact, Prefix} {
			listenPath := encode(t, "", path, kind, Templated)
			if len(listenPath) > most {
				t.Errorf("%q...: the listen path has %d bytes", path[:8], len(listenPath))
			}
			checkText(t, listenPath)
			checkMatches(t, rule{path: path, pathType: kind}, listenPath)
		}
	}
}
