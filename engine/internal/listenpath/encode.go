package listenpath

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// MaxWildcardElements is the number of elements that the path of a wildcard host
// may have. One more, of type Exact, and its length would be 21, that of the
// shortest route of an exact host.
const MaxWildcardElements = 14

// Mode selects between the two ways to write a listen path. All routes of a
// gateway must be written in the same mode.
type Mode uint8

// The modes.
const (
	Templated Mode = iota // right on every gateway
	Plain                 // readable: for strict routes and no wildcard host; see the package's text
)

// Encode returns the listen path of the route; [Domain] gives the domain that
// goes with it. It is an error for a wildcard host to have a path of more than
// [MaxWildcardElements] elements, or to be there at all in Plain mode.
func (r Route) Encode(mode Mode) (string, error) {
	switch {
	case r.isDefault():
		return "/", nil
	case r.kind == WildcardHost:
		return r.wildcard(mode)
	case mode == Plain && r.kind == ExactHost && !r.exact && !strings.ContainsFunc(r.path, special):
		return r.path, nil
	default:
		return r.templated(), nil
	}
}

// templated writes the route of an exact host or of none.
func (r Route) templated() string {
	name, pattern := "path_prefix", `(?:/|$)`
	switch {
	case r.exact:
		// The second half matches nothing more. Its slash is there to split the
		// segment, so that it counts even where it begins with "{".
		name, pattern = "path_exactly", `$(?:/|$)`
	case r.path == "/":
		pattern = `(?:|/)`
	}
	text := literal(r.path)
	return text + "{" + name + strings.Repeat("_", pad(text)) + ":" + pattern + "}"
}

// pad returns how many bytes of the text of a path the gateway will not count.
// The last segment is none of them: the final variable goes on there.
func pad(text string) int {
	lost := 0
	for segment := range strings.SplitSeq(text[:strings.LastIndexByte(text, '/')], "/") {
		lost += uncounted(segment)
	}
	return lost
}

// wildcard writes the route of a wildcard host.
func (r Route) wildcard(mode Mode) (string, error) {
	if mode == Plain {
		return "", errors.New("a wildcard host cannot be written in plain mode")
	}
	if r.elements() > MaxWildcardElements {
		return "", fmt.Errorf("path %s has more than %d elements, too many for a wildcard host",
			quote(r.path), MaxWildcardElements)
	}
	// An Exact path and the Prefix of the same rank never match the same
	// request: the latter has one element more.
	rank, end := r.elements(), `(?:\x2f|$)`
	switch {
	case r.exact:
		rank, end = rank+1, `$`
	case r.path == "/":
		end = ""
	}
	return "/{p" + strings.Repeat("_", rank) + ":/{0}" + quoted(r.path[1:]) + end + "}", nil
}

// special reports whether a character cannot stand as it is in a listen path.
// Braces are mux's and a space is refused by the gateway. Other white space and
// what does not print would be invisible to those who read it, and %, ? and #
// would mean something else to those who take it for a URL.
func special(c rune) bool {
	return c == ' ' || strings.ContainsRune("{}%?#", c) || !unicode.IsPrint(c)
}

// literal writes a path as the text of a mux template. Each run of special
// characters becomes a variable, numbered from the left, so that the text of a
// path begins with the text of its parents.
func literal(path string) string {
	var b strings.Builder
	variables, open := 0, false
	for _, c := range path {
		if special(c) != open {
			open = !open
			if open {
				variables++
				b.WriteString("{c" + strconv.Itoa(variables) + ":")
			} else {
				b.WriteByte('}')
			}
		}
		if open {
			b.WriteString(escape(c))
		} else {
			b.WriteRune(c)
		}
	}
	if open {
		b.WriteByte('}')
	}
	return b.String()
}

// quoted writes a path as a regexp without slashes, unbalanced braces or special
// characters.
func quoted(path string) string {
	var b strings.Builder
	for _, c := range path {
		if c == '/' || special(c) {
			b.WriteString(escape(c))
		} else {
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	return b.String()
}

// escape writes a character as a regexp of its code.
func escape(c rune) string {
	if c < 0x80 {
		return fmt.Sprintf(`\x%02x`, c)
	}
	return fmt.Sprintf(`\x{%x}`, c)
}
