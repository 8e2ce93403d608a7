package nginx

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Paths
//
// Where any Ingress of a host has use-regex, or a rewrite-target other than its path,
// ingress-nginx takes every path of the host, in whatever Ingress and of whatever type,
// for a regular expression: without regard to case, from the beginning of the request's
// path, not to its end. Longer texts are tried first. Elsewhere Exact and Prefix mean
// what they mean in Kubernetes, and ImplementationSpecific is Prefix.
//
// A regular expression becomes a listen path of one variable,
//
//	/{p____:/{0}(?i:REGEXP)}
//
// of which the gateway counts "/{p____:/" when it puts listen paths in order, and nothing
// of the rest, which begins with "{" and ends with "}". There are as many underscores as
// bring it to the length that Cuegate's own listen path of the same text would have: so
// longer texts come first, and paths that were not migrated fit in between. Texts of one
// length have no order on the gateway. The regexp /{0} matches nothing.
//
// A rewrite that takes off what stands before its last group becomes strip_listen_path: the
// variable matches just what is taken off. Any other becomes url_rewrites.

// pathPlan is what a path needs beyond the ways of Cuegate.
type pathPlan struct {
	listen string // listen_path
	strip  bool   // strip_listen_path
	prefix string // path to put before the rest, "/v2"
	match  string // url_rewrites: match_pattern
	to     string // and rewrite_to
	note   string // how it differs from ingress-nginx
}

// counted is how much longer than its text Cuegate's listen path of a path counts.
const counted = 21

// planPath plans a path of a host on which paths are regular expressions. target is the
// rewrite-target, "" for none.
func planPath(path, target string) (pathPlan, error) {
	if path == "" {
		path = "/"
	}
	if path == target {
		target = ""
	}
	if path == "/" && target == "" {
		return pathPlan{}, nil
	}
	whole, err := parsePath(path)
	if err != nil {
		return pathPlan{}, err
	}
	if target == "" {
		return pathPlan{listen: listenPath(whole, rank(path))}, nil
	}
	if err := checkTarget(target); err != nil {
		return pathPlan{}, err
	}
	if p, ok := stripping(path, target); ok {
		return p, nil
	}
	return rewriting(path, whole, target)
}

// rank is the length that the listen path is to have. The pathType says nothing on such a
// host.
func rank(path string) int { return counted + len(path) }

// parsePath reads the regular expression behind the first slash of a path.
func parsePath(path string) (*syntax.Regexp, error) {
	if len(path) > 1 && strings.ContainsRune("?*+{", rune(path[1])) {
		return nil, errors.New("the path " + quoteShort(path) + " begins with an optional or repeated slash; write it without")
	}
	re, err := syntax.Parse(path[1:], syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("the path %s is no regular expression of RE2: %s", quoteShort(path), reason(err))
	}
	if re.Op == syntax.OpAlternate {
		return nil, errors.New("the path " + quoteShort(path) + " has alternatives outside of parentheses, of which only the first begins at the beginning; put them in parentheses, or into paths of their own")
	}
	return re, nil
}

func reason(err error) string {
	var e *syntax.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return "it cannot be read"
}

// listenPath writes the listen path of a regular expression.
func listenPath(re *syntax.Regexp, rank int) string {
	return "/{p" + strings.Repeat("_", max(0, rank-len("/{p:/"))) + ":/{0}(?i:" + muxPattern(re) + ")}"
}

// muxPattern writes a regular expression for a variable of a listen path: without groups
// that capture, without slashes and spaces, and with braces in pairs.
func muxPattern(re *syntax.Regexp) string {
	text := withoutCaptures(re).String()
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && strings.ContainsRune("{}", rune(text[i+1])):
			i++
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case c == '\\' && i+1 < len(text) && text[i+1] == 'z':
			i++
			b.WriteByte('$')
		case c == '\\' && i+1 < len(text):
			b.WriteString(text[i : i+2])
			i++
		case c == '/' || c == ' ':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func withoutCaptures(re *syntax.Regexp) *syntax.Regexp {
	c := *re
	c.Sub = slices.Clone(re.Sub)
	for i, s := range c.Sub {
		c.Sub[i] = withoutCaptures(s)
	}
	switch c.Op {
	case syntax.OpCapture:
		return c.Sub[0]
	case syntax.OpEndText:
		c.Flags &^= syntax.WasDollar // written without a flag
	}
	return &c
}

var variable = regexp.MustCompile(`\$(\{?[0-9]+\}?|.|$)`)

// checkTarget refuses rewrites that the gateway cannot do.
func checkTarget(target string) error {
	switch {
	case !strings.HasPrefix(target, "/"):
		return errors.New("the rewrite-target " + quoteShort(target) + " does not begin with a slash: nginx would redirect, or fail")
	case strings.ContainsAny(target, " \t\r\n#"):
		return errors.New("the rewrite-target " + quoteShort(target) + " has characters that no path has")
	}
	for _, v := range variable.FindAllString(target, -1) {
		if len(v) != 2 || v[1] < '1' || v[1] > '9' {
			return errors.New("the rewrite-target has a variable other than $1 to $9, which the gateway does not know")
		}
	}
	return nil
}

// takenOff are the ends of a path whose last group stays, with the pattern of what is
// taken off between.
var takenOff = []struct{ end, off, group string }{
	{`(/|$)(.*)`, `(?:/|$)`, `$2`},
	{`(?:/|$)(.*)`, `(?:/|$)`, `$1`},
	{`/?(.*)`, `/?`, `$1`},
	{`/(.*)`, `/`, `$1`},
	{`/(.+)`, `/`, `$1`},
}

var plainTarget = regexp.MustCompile(`^(?:/[A-Za-z0-9._~-]+)*$`)

// stripping plans a rewrite that takes off the beginning of a path.
func stripping(path, target string) (pathPlan, bool) {
	for _, t := range takenOff {
		head, ok := strings.CutSuffix(strings.TrimSuffix(path, "$"), t.end)
		prefix, ok2 := strings.CutSuffix(target, "/"+t.group)
		if !ok || !ok2 || !plainTarget.MatchString(prefix) || head != "" && head[0] != '/' {
			continue
		}
		off := head + t.off
		if head == "" {
			off = "/"
		}
		re, err := parsePath(off)
		if err != nil || re.MaxCap() > 0 {
			continue
		}
		p := pathPlan{listen: listenPath(re, rank(path)), strip: true, prefix: prefix}
		if t.end == `/(.+)` {
			p.note = "The path " + head + "/ itself is served as well."
		}
		return p, true
	}
	return pathPlan{}, false
}

// rewriting plans any other rewrite. The gateway compares path and query in one, so that
// what stands for any character must not go beyond the "?".
func rewriting(path string, whole *syntax.Regexp, target string) (pathPlan, error) {
	groups := whole.MaxCap()
	if groups > 8 {
		return pathPlan{}, errors.New("the path " + quoteShort(path) + " has more than eight groups; write (?:...) for those that are not used")
	}
	target = variable.ReplaceAllStringFunc(target, func(v string) string {
		if int(v[1]-'0') > groups {
			return "" // as in nginx
		}
		return v
	})
	query, to := `(\?.*)?`, target+"$"+fmt.Sprint(groups+1)
	if strings.Contains(target, "?") {
		query, to = `(?:\?(.*))?`, target+"&$"+fmt.Sprint(groups+1)
	}
	return pathPlan{
		listen: listenPath(whole, rank(path)),
		match:  `^/(?i:` + beforeQuery(whole).String() + `)[^?]*` + query + `$`,
		to:     to,
		note:   "url_rewrites, for the methods GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS; others pass as they are. Groups hold the path as it was sent, with %20 for a space.",
	}, nil
}

// beforeQuery is the expression with "?" out of its reach. Where it wants the end of the
// path it takes any place: the listen path has looked at that.
func beforeQuery(re *syntax.Regexp) *syntax.Regexp {
	c := *re
	c.Sub = slices.Clone(re.Sub)
	for i, s := range c.Sub {
		c.Sub[i] = beforeQuery(s)
	}
	switch c.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		c.Op, c.Rune = syntax.OpCharClass, []rune{0, '?' - 1, '?' + 1, 0x10ffff}
	case syntax.OpCharClass:
		c.Rune = without(c.Rune, '?')
	case syntax.OpEndText, syntax.OpEndLine:
		c.Op = syntax.OpEmptyMatch
	}
	return &c
}

// without takes a character out of the pairs of a class.
func without(pairs []rune, x rune) []rune {
	var out []rune
	for i := 0; i+1 < len(pairs); i += 2 {
		lo, hi := pairs[i], pairs[i+1]
		if x < lo || x > hi {
			out = append(out, lo, hi)
			continue
		}
		if lo < x {
			out = append(out, lo, x-1)
		}
		if x < hi {
			out = append(out, x+1, hi)
		}
	}
	return out
}

// written is how a path stands in the new Ingress: what would end the path of a request
// is escaped.
func written(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(path)
}
