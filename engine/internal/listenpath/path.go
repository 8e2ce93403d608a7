package listenpath

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxPathBytes is the length of the longest path accepted, in bytes as written
// in the Ingress.
const MaxPathBytes = 1024

// parsePath validates a path as written in an Ingress and decodes it. The rules
// are those of Kubernetes, held to every path type, and in addition what could
// never match: the gateway compares the decoded path of a request, after cleaning
// it of empty and dot elements.
func parsePath(raw string, pathType PathType) (string, error) {
	if raw == "" && pathType == ImplementationSpecific {
		raw = "/"
	}
	if reason := refuseRaw(raw); reason != "" {
		return "", fmt.Errorf("path %s %s", quote(raw), reason)
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return "", fmt.Errorf("path %s has a percent sign that begins no escape", quote(raw))
	}
	if reason := refuseDecoded(path); reason != "" {
		return "", fmt.Errorf("path %s %s", quote(raw), reason)
	}
	return path, nil
}

// refuseRaw says what is wrong with a path as written, or nothing.
func refuseRaw(raw string) string {
	switch {
	case len(raw) > MaxPathBytes:
		return fmt.Sprintf("is longer than %d bytes", MaxPathBytes)
	case !strings.HasPrefix(raw, "/"):
		return "does not begin with a slash"
	case strings.Contains(strings.ToLower(raw), "%2f"):
		return "has an encoded slash, which the gateway cannot tell from a slash"
	case strings.ContainsAny(raw, "?#"):
		return "has a ? or #, which ends the path of a request: write %3F or %23"
	}
	return ""
}

// refuseDecoded says what is wrong with a decoded path, or nothing.
func refuseDecoded(path string) string {
	if !utf8.ValidString(path) {
		return "is not valid utf-8"
	}
	if strings.ContainsFunc(path, unicode.IsControl) {
		return "has a control character"
	}
	if strings.Contains(path, "//") {
		return "has an empty element"
	}
	for element := range strings.SplitSeq(path, "/") {
		if element == "." || element == ".." {
			return "has a dot element"
		}
	}
	return ""
}

// quote quotes the first 64 bytes of s for an error text.
func quote(s string) string {
	const limit = 64
	if len(s) <= limit {
		return fmt.Sprintf("%q", s)
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q...", s[:cut])
}
