package listenpath

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// HostKind says how a route names its host, in the order of precedence of
// Kubernetes from last to first.
type HostKind uint8

// The kinds of host.
const (
	AnyHost      HostKind = iota // no host: every request
	WildcardHost                 // *.example.com: exactly one label before .example.com
	ExactHost                    // www.example.com
)

// maxHostBytes is the longest DNS name, and the limit of Kubernetes.
const maxHostBytes = 253

// anyLabel is one DNS label as a gorilla/mux variable.
const anyLabel = "{?:[^.]+}"

// subdomain is Kubernetes' RFC 1123 subdomain. Like Kubernetes it sets no limit
// to a single label.
var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// Domain translates the host of an Ingress rule into the domain of an API
// definition. It lower-cases the host, for the gateway compares bytes. The domain
// of the empty host is empty.
//
// An IP address, a host that is not ASCII, and whatever else is not an RFC 1123
// subdomain, or "*." and one, is an error.
func Domain(host string) (domain string, kind HostKind, err error) {
	host, kind, err = parseHost(host)
	if err != nil {
		return "", AnyHost, err
	}
	if kind == WildcardHost {
		return anyLabel + strings.TrimPrefix(host, "*"), kind, nil
	}
	return host, kind, nil
}

// parseHost validates a host and returns it in lower case.
func parseHost(host string) (string, HostKind, error) {
	if host == "" {
		return "", AnyHost, nil
	}
	if len(host) > maxHostBytes {
		return "", AnyHost, fmt.Errorf("host %s is longer than %d bytes", quote(host), maxHostBytes)
	}
	// Before lower-casing, because some letters outside ASCII have a lower case
	// inside it.
	for i := range len(host) {
		if host[i] >= 0x80 {
			return "", AnyHost, fmt.Errorf("host %s is not ascii, write it in punycode", quote(host))
		}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "", AnyHost, fmt.Errorf("host %s is an ip address", quote(host))
	}
	lower := strings.ToLower(host)
	rest, wildcard := strings.CutPrefix(lower, "*.")
	switch {
	case !subdomain.MatchString(rest):
		return "", AnyHost, fmt.Errorf("host %s is not a dns name", quote(host))
	case wildcard:
		return lower, WildcardHost, nil
	default:
		return lower, ExactHost, nil
	}
}
