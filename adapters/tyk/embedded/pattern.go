package embedded

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/gorilla/mux"
)

// A pattern is a listen path, ready to match decoded request paths.
type pattern struct {
	text string
	// prefix is the text before the first "{".
	prefix string
	// re is what gorilla/mux makes of a template; nil for a plain path.
	re *regexp.Regexp
}

// compilePattern lets gorilla/mux, the real gateway's router, read a listen path.
func compilePattern(text string) (*pattern, error) {
	if !isTemplate(text) {
		if text != "" && text[0] != '/' {
			return nil, fmt.Errorf("path must start with a slash, got %q", text)
		}
		return &pattern{text: text, prefix: text}, nil
	}
	route, err := muxRoute("", text)
	if err != nil {
		return nil, err
	}
	source, err := route.GetPathRegexp()
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil, err
	}
	prefix, _, _ := strings.Cut(text, "{")
	return &pattern{text: text, prefix: prefix, re: re}, nil
}

// isTemplate tells whether gorilla/mux reads variables in a text, or chokes on it.
func isTemplate(text string) bool { return strings.ContainsAny(text, "{}") }

// muxRoute makes a route of a domain and a listen path; empty ones are left out.
// Capturing groups make gorilla/mux panic; the real gateway catches that while it
// loads.
func muxRoute(domain, listenPath string) (route *mux.Route, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	route = new(mux.Route)
	if domain != "" {
		route.Host(domain)
	}
	if listenPath != "" {
		route.PathPrefix(listenPath)
	}
	return route, route.GetError()
}

func (p *pattern) match(path string) bool {
	return strings.HasPrefix(path, p.prefix) && (p.re == nil || p.re.MatchString(path))
}

// admits applies strict routes: a plain listen path ends at a slash. They know
// nothing of templates.
func (p *pattern) admits(path string) bool {
	if p.re != nil || strings.HasSuffix(p.text, "/") {
		return true
	}
	return len(path) == len(p.text) || path[len(p.text)] == '/'
}

// strip does what strip_listen_path does. A path that came in by /<api_id>/ does
// not match and stays.
func (p *pattern) strip(path string) string {
	rest, plain := strings.CutPrefix(path, p.text)
	if !plain && p.re != nil {
		rest = p.re.ReplaceAllString(path, "")
	}
	if !strings.HasPrefix(rest, "/") {
		return "/" + rest
	}
	return rest
}

// patterns are the templates met during one load. Thousands of APIs on hosts of
// their own share a few listen paths, and a regexp takes some KiB.
type patterns map[string]*pattern

// newPatterns begins with those that are in use.
func newPatterns(g *generation) patterns {
	ps := patterns{}
	for _, s := range g.byID {
		if s.pattern.re != nil {
			ps[s.pattern.text] = s.pattern
		}
	}
	return ps
}

func (ps patterns) compile(text string) (*pattern, error) {
	if p := ps[text]; p != nil {
		return p, nil
	}
	p, err := compilePattern(text)
	if err == nil && p.re != nil {
		ps[text] = p
	}
	return p, err
}

// host of a request, without the port.
func hostOf(r *http.Request) string {
	host, _, _ := strings.Cut(fullHostOf(r), ":")
	return host
}

func fullHostOf(r *http.Request) string {
	if r.URL.IsAbs() {
		return r.URL.Host
	}
	return r.Host
}
