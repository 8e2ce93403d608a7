package listenpath

import (
	"math/rand/v2"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Random rules and requests, dense enough to get in each other's way.

var (
	ruleHosts = []string{
		"a.example.com", "b.example.com", "example.com", "x.a.example.com",
		"*.example.com", "*.a.example.com", "*.com", "", "",
	}
	requestHosts = []string{
		"a.example.com", "b.example.com", "c.example.com", "example.com",
		"x.a.example.com", "y.a.example.com", "z.y.a.example.com", "other.test", "a.example.com:8080",
	}
	words = []string{
		"a", "b", "ab", "aa", "abcdefghijklmnopqrstuvwxyz", "é", "語", "A", "a b", " ", "  ", " a ", "{", "}", "{}", "{a}",
		"}{", "a+b", "+", ".a", "a.b", "axb", "...", "*", "$", "^", "'", `"`, "(", ")", "|", "(|)", `\`, `\d`, ":", "a:b", "[", "]",
		"?", "#", "%", "%2f", "%20", "&", "=", ";", ",", "~", "<a>", "\u00a0", "\u2028", "\u200b", "\U000e0001", "{path_prefix:", "path_exactly",
	}
	endings  = []string{"a", " ", "}", "{", ".", "é", "$", "?"}
	allTypes = []PathType{Exact, Exact, Prefix, Prefix, Prefix, ImplementationSpecific}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// generateRules returns up to 32 rules over a few words, no two with one key.
// Without wildcards, only the other hosts are used.
func generateRules(rng *rand.Rand, wildcards bool) (rules []rule, vocabulary []string) {
	for range 2 + rng.IntN(4) {
		vocabulary = append(vocabulary, pick(rng, words))
	}
	hosts := ruleHosts
	if !wildcards {
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return strings.HasPrefix(h, "*") })
	}
	seen := map[string]bool{}
	for range 4 + rng.IntN(28) {
		r := rule{host: pick(rng, hosts), path: "/", pathType: pick(rng, allTypes)}
		if len(rules) > 0 && rng.IntN(2) == 0 {
			r.path = pick(rng, rules).path // go deeper, or repeat it on another host or type
		}
		for range rng.IntN(3) {
			r.path = path.Join(r.path, pick(rng, vocabulary))
		}
		if strings.Count(r.path, "/") > MaxWildcardElements {
			r.path = "/"
		}
		if rng.IntN(4) == 0 {
			r.path = strings.TrimSuffix(r.path, "/") + "/"
		}
		if key := r.key(); !seen[key] {
			seen[key] = true
			rules = append(rules, r)
		}
	}
	if rng.IntN(2) == 0 {
		at := rng.IntN(len(rules) + 1)
		rules = append(rules[:at:at], append([]rule{{isDefault: true}}, rules[at:]...)...)
	}
	return rules, vocabulary
}

// key is the model's own idea of what makes two rules one.
func (r rule) key() string {
	if r.pathType == Exact {
		return r.host + "=" + r.path
	}
	return r.host + "^/" + strings.Join(r.elements(), "/")
}

// written returns the path as an Ingress author may write it.
func (r rule) written(rng *rand.Rand) string {
	if r.path == "/" && r.pathType == ImplementationSpecific && rng.IntN(2) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range len(r.path) {
		c := r.path[i : i+1]
		switch {
		case c == "/":
			b.WriteString(c)
		case strings.Contains("%?#", c) || r.path[i] >= 0x80 || rng.IntN(4) == 0:
			b.WriteString(everyByte(c))
		default:
			b.WriteString(c)
		}
	}
	return b.String()
}

// everyByte percent-encodes a byte, whether it needs to be or not.
func everyByte(c string) string {
	if escaped := url.PathEscape(c); escaped != c {
		return escaped
	}
	const digits = "0123456789ABCDEF"
	return "%" + string(digits[c[0]>>4]) + string(digits[c[0]&15])
}

// generatePath returns the decoded path of a request, near one of the rules.
func generatePath(rng *rand.Rand, rules []rule, vocabulary []string) string {
	p := pick(rng, rules).path
	if p == "" {
		p = "/"
	}
	for range rng.IntN(3) {
		trimmed := strings.TrimSuffix(p, "/")
		switch rng.IntN(7) {
		case 0:
			p = trimmed + "/"
		case 1:
			p = trimmed
		case 2:
			p = trimmed + "/" + pick(rng, vocabulary)
		case 3:
			p = trimmed + "/" + pick(rng, words) + "/"
		case 4:
			p = trimmed + pick(rng, endings)
		case 5:
			p = path.Dir(trimmed)
		case 6:
			p = trimmed + "//" + pick(rng, vocabulary)
		}
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return p
}

// cleaned reports whether the gateway takes the path as it is.
func cleaned(p string) bool {
	return p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/")
}
