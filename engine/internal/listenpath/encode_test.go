package listenpath

import (
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	tests := []struct {
		host, path string
		pathType   PathType
		want       string
		length     int
	}{
		{"", "/", Prefix, `/{path_prefix:(?:|/)}`, 21},
		{"", "", ImplementationSpecific, `/{path_prefix:(?:|/)}`, 21},
		{"", "/", Exact, `/{path_exactly:$(?:/|$)}`, 24},
		{"", "/foo", Prefix, `/foo{path_prefix:(?:/|$)}`, 25},
		{"", "/foo/", Prefix, `/foo{path_prefix:(?:/|$)}`, 25},
		{"", "/foo/", ImplementationSpecific, `/foo{path_prefix:(?:/|$)}`, 25},
		{"", "/foo", Exact, `/foo{path_exactly:$(?:/|$)}`, 27},
		{"", "/foo/", Exact, `/foo/{path_exactly:$(?:/|$)}`, 28},
		{"a.example.com", "/foo/bar", Prefix, `/foo/bar{path_prefix:(?:/|$)}`, 29},
		{"a.example.com", "/v1.0/a+b", Prefix, `/v1.0/a+b{path_prefix:(?:/|$)}`, 30},
		{"a.example.com", "/caf%C3%A9", Prefix, `/café{path_prefix:(?:/|$)}`, 27},
		{"a.example.com", "/café", Prefix, `/café{path_prefix:(?:/|$)}`, 27},
		{"a.example.com", `/$:(|\"`, Exact, `/$:(|\"{path_exactly:$(?:/|$)}`, 30},

		// Special characters, and the pad where a segment is lost.
		{"", "/a b", Prefix, `/a{c1:\x20}b{path_prefix:(?:/|$)}`, 33},
		{"", "/a%20%7Bb}", Exact, `/a{c1:\x20\x7b}b{c2:\x7d}{path_exactly:$(?:/|$)}`, 48},
		{"", "/%3F%23%25", Exact, `/{c1:\x3f\x23\x25}{path_exactly:$(?:/|$)}`, 41},
		{"", "/\u2028", Prefix, `/{c1:\x{2028}}{path_prefix:(?:/|$)}`, 35},
		{"", "/ ", Prefix, `/{c1:\x20}{path_prefix:(?:/|$)}`, 31},
		{"", "/ /", Exact, `/{c1:\x20}/{path_exactly_________:$(?:/|$)}`, 34},
		{"", "/ /x", Prefix, `/{c1:\x20}/x{path_prefix_________:(?:/|$)}`, 33},
		{"", "/ a /x", Prefix, `/{c1:\x20}a{c2:\x20}/x{path_prefix___________________:(?:/|$)}`, 43},

		{"*.example.com", "/", Prefix, `/{p:/{0}}`, 5},
		{"*.example.com", "/", Exact, `/{p_:/{0}$}`, 6},
		{"*.example.com", "/foo/", Prefix, `/{p_:/{0}foo(?:\x2f|$)}`, 6},
		{"*.example.com", "/foo/bar", Prefix, `/{p__:/{0}foo\x2fbar(?:\x2f|$)}`, 7},
		{"*.example.com", "/foo", Exact, `/{p__:/{0}foo$}`, 7},
		{"*.example.com", "/foo/", Exact, `/{p__:/{0}foo\x2f$}`, 7},
		{"*.example.com", "/a.{ }", Prefix, `/{p_:/{0}a\.\x7b\x20\x7d(?:\x2f|$)}`, 6},
		{"*.example.com", strings.Repeat("/a", 14), Exact,
			`/{p_______________:/{0}a` + strings.Repeat(`\x2fa`, 13) + `$}`, 20},
	}
	for _, tt := range tests {
		got := encode(t, tt.host, tt.path, tt.pathType, Templated)
		if got != tt.want {
			t.Errorf("%q %s %q:\n got %s\nwant %s", tt.host, tt.pathType, tt.path, got, tt.want)
		}
		if n := Length(got); n != tt.length {
			t.Errorf("Length(%s) = %d, want %d", got, n, tt.length)
		}
	}
}

func TestEncodePlain(t *testing.T) {
	tests := []struct {
		host, path string
		pathType   PathType
		want       string
	}{
		{"a.example.com", "/", Prefix, "/"},
		{"a.example.com", "/foo/", Prefix, "/foo"},
		{"a.example.com", "/foo/bar", ImplementationSpecific, "/foo/bar"},
		{"a.example.com", "/foo", Exact, `/foo{path_exactly:$(?:/|$)}`},
		{"a.example.com", "/a b", Prefix, `/a{c1:\x20}b{path_prefix:(?:/|$)}`},
		{"", "/", Prefix, `/{path_prefix:(?:|/)}`},
		{"", "/foo", Prefix, `/foo{path_prefix:(?:/|$)}`},
	}
	for _, tt := range tests {
		if got := encode(t, tt.host, tt.path, tt.pathType, Plain); got != tt.want {
			t.Errorf("%q %s %q:\n got %s\nwant %s", tt.host, tt.pathType, tt.path, got, tt.want)
		}
	}
}

func TestEncodeDefaultBackend(t *testing.T) {
	for _, mode := range []Mode{Templated, Plain} {
		got, err := DefaultBackend().Encode(mode)
		if err != nil || got != "/" {
			t.Errorf("mode %d: got %q, %v", mode, got, err)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	deep := strings.Repeat("/a", MaxWildcardElements+1)
	tests := []struct {
		path string
		mode Mode
		want string
	}{
		{"/a", Plain, "a wildcard host cannot be written in plain mode"},
		{deep, Templated, `path "` + deep + `" has more than 14 elements, too many for a wildcard host`},
	}
	for _, tt := range tests {
		route, err := Parse("*.example.com", tt.path, Prefix)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := route.Encode(tt.mode); err == nil || err.Error() != tt.want || got != "" {
			t.Errorf("%s: got %q, error %v, want %s", tt.path, got, err, tt.want)
		}
	}
}

// TestLengthFollowsText proves the pad: every length is that of the text of the
// path plus 21 or 23, however many segments the gateway leaves out.
func TestLengthFollowsText(t *testing.T) {
	for _, path := range []string{"/a", "/ ", "/ / / ", "/ a /b/ ", "/a/ /", "/{}/{}/x", "/\u2028/%25/a", "/a /b"} {
		prefix, exact := encode(t, "", path, Prefix, Templated), encode(t, "", path, Exact, Templated)
		text, _, _ := strings.Cut(prefix, "{path_prefix")
		if got, want := Length(prefix), len(text)+21; got != want {
			t.Errorf("%s: length %d, want %d", prefix, got, want)
		}
		text, _, _ = strings.Cut(exact, "{path_exactly")
		if got, want := Length(exact), len(text)+23; got != want {
			t.Errorf("%s: length %d, want %d", exact, got, want)
		}
	}
}

func TestLength(t *testing.T) {
	tests := map[string]int{
		"/":              1,
		"/foo/":          5,
		"/{id}":          1,
		"/{id}/x":        3,
		"/a{id}":         6,
		"/{id}a":         6,
		"/{a}b{c}":       1,
		"/{a:x/y}":       8,
		"/{a:x{0}/{0}}":  2,
		"/foo}/{":        7,
		"/é{p:(?:/|$)}":  14,
		"/{p_:/{0}\\x2f": 13,
	}
	for listenPath, want := range tests {
		if got := Length(listenPath); got != want {
			t.Errorf("Length(%q) = %d, want %d", listenPath, got, want)
		}
	}
}

func encode(t *testing.T, host, path string, pathType PathType, mode Mode) string {
	t.Helper()
	route, err := Parse(host, path, pathType)
	if err != nil {
		t.Fatal(err)
	}
	listenPath, err := route.Encode(mode)
	if err != nil {
		t.Fatal(err)
	}
	return listenPath
}
