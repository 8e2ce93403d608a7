package listenpath

import (
	"strings"
	"testing"
)

func TestParseErrors(t *testing.T) {
	long := "/" + strings.Repeat("a", MaxPathBytes)
	tests := []struct {
		host, path string
		pathType   PathType
		want       string
	}{
		{"", "/", "prefix", `path type "prefix" is not known`},
		{"", "/", "", `path type "" is not known`},
		{"", "", Prefix, `path "" does not begin with a slash`},
		{"", "", Exact, `path "" does not begin with a slash`},
		{"", "foo", ImplementationSpecific, `path "foo" does not begin with a slash`},
		{"", long, Prefix, `path "` + long[:64] + `"... is longer than 1024 bytes`},
		{"", "/a//b", Prefix, `path "/a//b" has an empty element`},
		{"", "//", ImplementationSpecific, `path "//" has an empty element`},
		{"", "/a/./b", Exact, `path "/a/./b" has a dot element`},
		{"", "/a/..", Exact, `path "/a/.." has a dot element`},
		{"", "/%2e%2E/a", Prefix, `path "/%2e%2E/a" has a dot element`},
		{"", "/a%2fb", Prefix, `path "/a%2fb" has an encoded slash, which the gateway cannot tell from a slash`},
		{"", "/a%2Fb", ImplementationSpecific, `path "/a%2Fb" has an encoded slash, which the gateway cannot tell from a slash`},
		{"", "/a?b", Prefix, `path "/a?b" has a ? or #, which ends the path of a request: write %3F or %23`},
		{"", "/a#b", Prefix, `path "/a#b" has a ? or #, which ends the path of a request: write %3F or %23`},
		{"", "/%zz", Prefix, `path "/%zz" has a percent sign that begins no escape`},
		{"", "/100%", Prefix, `path "/100%" has a percent sign that begins no escape`},
		{"", "/%ff", Prefix, `path "/%ff" is not valid utf-8`},
		{"", "/\xff", Prefix, `path "/\xff" is not valid utf-8`},
		{"", "/a%00", Prefix, `path "/a%00" has a control character`},
		{"", "/a%0a", Prefix, `path "/a%0a" has a control character`},
		{"", "/a\n", Prefix, `path "/a\n" has a control character`},
		{"", "/%C2%85", Prefix, `path "/%C2%85" has a control character`},
	}
	for _, tt := range tests {
		_, err := Parse(tt.host, tt.path, tt.pathType)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q %q: got %v, want %s", tt.pathType, tt.path, err, tt.want)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	paths := []string{
		"/", "/a/", "/.a", "/a.", "/...", "/a b", "/%252f", "/%3F", "/a*", "/:", "/é", "/" + strings.Repeat("a", MaxPathBytes-1),
	}
	for _, path := range paths {
		for _, pathType := range []PathType{Exact, Prefix, ImplementationSpecific} {
			if _, err := Parse("", path, pathType); err != nil {
				t.Errorf("%s: %v", pathType, err)
			}
		}
	}
}

func TestDomain(t *testing.T) {
	tests := []struct {
		host, want string
		kind       HostKind
	}{
		{"", "", AnyHost},
		{"localhost", "localhost", ExactHost},
		{"A.Example.com", "a.example.com", ExactHost},
		{"xn--caf-dma.example", "xn--caf-dma.example", ExactHost},
		{"1.2.3.com", "1.2.3.com", ExactHost},
		{"*.Example.com", "{?:[^.]+}.example.com", WildcardHost},
		{"*.com", "{?:[^.]+}.com", WildcardHost},
	}
	for _, tt := range tests {
		domain, kind, err := Domain(tt.host)
		if domain != tt.want || kind != tt.kind || err != nil {
			t.Errorf("Domain(%q) = %q, %d, %v, want %q, %d", tt.host, domain, kind, err, tt.want, tt.kind)
		}
		route, err := Parse(tt.host, "/", Prefix)
		if err != nil || route.HostKind() != tt.kind {
			t.Errorf("Parse(%q): kind %d, %v, want %d", tt.host, route.HostKind(), err, tt.kind)
		}
	}
}

func TestDomainErrors(t *testing.T) {
	long := strings.Repeat("a.", 126) + "aa"
	tests := map[string]string{
		"10.0.0.1":          `host "10.0.0.1" is an ip address`,
		"::1":               `host "::1" is an ip address`,
		"café.example":      `host "café.example" is not ascii, write it in punycode`,
		"\u212a.example":    `host "` + "\u212a" + `.example" is not ascii, write it in punycode`,
		long:                `host "` + long[:64] + `"... is longer than 253 bytes`,
		"*":                 `host "*" is not a dns name`,
		"*.":                `host "*." is not a dns name`,
		"a.*.com":           `host "a.*.com" is not a dns name`,
		"*a.com":            `host "*a.com" is not a dns name`,
		"*.*.com":           `host "*.*.com" is not a dns name`,
		"a.com.":            `host "a.com." is not a dns name`,
		"a..com":            `host "a..com" is not a dns name`,
		"-a.com":            `host "-a.com" is not a dns name`,
		"a_b.com":           `host "a_b.com" is not a dns name`,
		"a.com:80":          `host "a.com:80" is not a dns name`,
		"a.com\n":           `host "a.com\n" is not a dns name`,
		"{x}.com":           `host "{x}.com" is not a dns name`,
		"a.com/foo":         `host "a.com/foo" is not a dns name`,
		" a.com":            `host " a.com" is not a dns name`,
		"[::1]":             `host "[::1]" is not a dns name`,
		"a.example.com\x00": `host "a.example.com\x00" is not a dns name`,
	}
	for host, want := range tests {
		domain, kind, err := Domain(host)
		if err == nil || err.Error() != want || domain != "" || kind != AnyHost {
			t.Errorf("Domain(%q) = %q, %d, %v, want error %s", host, domain, kind, err, want)
		}
		if _, err := Parse(host, "/", Prefix); err == nil || err.Error() != want {
			t.Errorf("Parse(%q): %v, want %s", host, err, want)
		}
	}
}

// TestQuoteCutsBetweenCharacters: 64 bytes are 21 characters of 3 bytes and a third.
func TestQuoteCutsBetweenCharacters(t *testing.T) {
	if got, want := quote(strings.Repeat("語", 30)), `"`+strings.Repeat("語", 21)+`"...`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMatchKey(t *testing.T) {
	tests := []struct {
		host, path string
		pathType   PathType
		want       string
	}{
		{"A.com", "/foo/", Prefix, "a.com ^ /foo"},
		{"a.com", "/foo", ImplementationSpecific, "a.com ^ /foo"},
		{"a.com", "/foo/", Exact, "a.com = /foo/"},
		{"*.a.com", "/f%6Fo", Exact, "*.a.com = /foo"},
		{"", "", ImplementationSpecific, " ^ /"},
	}
	for _, tt := range tests {
		route, err := Parse(tt.host, tt.path, tt.pathType)
		if err != nil {
			t.Fatal(err)
		}
		if got := route.MatchKey(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := DefaultBackend().MatchKey(); got != "default" {
		t.Errorf("got %q, want default", got)
	}
}
