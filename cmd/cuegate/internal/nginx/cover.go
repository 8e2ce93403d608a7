package nginx

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Covering
//
// A protected Ingress that is left out is not served; but its requests may still be:
// by another Ingress, whose shorter path, wildcard host or default backend matches them
// too, and which asks nobody for a password. On ingress-nginx the protected one had taken
// them. So whoever would take such requests is left out as well, and then whoever would
// take the requests of that one, if it was protected too.
//
// The same holds in the small for one that is served with TLS only: on a port without TLS
// its requests are left to others; and for regular expressions of one length, between which
// the gateway knows no order.

// coverUp leaves out whoever would take requests of what was protected.
func coverUp(drafts []*draft, all *host) {
	for left := -1; left != leftOut(drafts); {
		left = leftOut(drafts)
		coverUpOnce(drafts, all)
	}
}

func leftOut(drafts []*draft) int {
	n := 0
	for _, d := range drafts {
		if d.result.Outcome == LeftOut {
			n++
		}
	}
	return n
}

func coverUpOnce(drafts []*draft, all *host) {
	for _, x := range drafts {
		if !x.protected {
			continue
		}
		gone := x.result.Outcome == LeftOut
		for _, d := range drafts {
			if d == x || d.result.Outcome == LeftOut {
				continue
			}
			at, ok := d.takes(x, all, gone)
			switch tie, tied := d.ties(x, all); {
			case tied && !gone:
				d.result.add(Entry{Name: "path", Value: tie, Outcome: LeftOut,
					Note: fmt.Sprintf("The gateway knows no order between regular expressions of one length, and might send it requests of %s, which is protected. Make one of the two paths longer, with (?:) for one.", x.in)})
			case ok && gone:
				d.result.add(Entry{Name: "path", Value: at, Outcome: LeftOut,
					Note: fmt.Sprintf("It would take requests of %s, which was protected and is left out. Migrate that one first.", x.in)})
			case ok:
				d.result.add(Entry{Name: "path", Value: at, Outcome: LeftOut,
					Note: fmt.Sprintf("In clear it would take requests of %s, which is protected and served with TLS only. Let it be served with TLS only too (ssl-redirect), or accept ssl-redirect.", x.in)})
			}
		}
	}
}

// takes tells whether requests of x come to d when x is gone, or those in clear while it is
// not, and by which path.
func (d *draft) takes(x *draft, all *host, gone bool) (at string, ok bool) {
	if d.in.catchAll && (gone || len(x.shape.only) > 0) {
		return "the default backend", true
	}
	for _, p := range d.in.paths {
		for _, c := range x.in.paths {
			inClear := slices.Contains(x.shape.only, c.host) && !slices.Contains(d.shape.only, p.host)
			if (gone || inClear) && coversHost(p.host, c.host) && mayTake(p, c, all.regexes[p.host] || all.regexes[c.host]) {
				return p.host + p.path, true
			}
		}
	}
	return "", false
}

// ties tells whether a path of d has the same place on the gateway as one of x.
func (d *draft) ties(x *draft, all *host) (at string, ok bool) {
	for _, p := range d.in.paths {
		for _, c := range x.in.paths {
			if all.regexes[p.host] && p.host == c.host && rank(p.path) == rank(c.path) && mayTake(p, c, true) {
				return p.host + p.path, true
			}
		}
	}
	return "", false
}

// coversHost tells whether requests for a host come to a rule of another one, or the same.
func coversHost(rule, host string) bool {
	suffix, wildcard := strings.CutPrefix(rule, "*")
	return rule == "" || rule == host || wildcard && strings.HasSuffix(host, suffix)
}

var literalHead = regexp.MustCompile(`^[^\\.+*?()|\[\]{}^$]*`)

// mayTake tells whether path p matches requests that path c took before. Where they are
// regular expressions what is sure is that they begin differently.
func mayTake(p, c route, regexes bool) bool {
	if p.host == c.host && len(p.path) > len(c.path) {
		return false // it had them before
	}
	switch {
	case regexes:
	case p.exact:
		return p.path == c.path || p.host != c.host && !c.exact && below(p.path, c.path)
	default:
		return below(c.path, p.path) || p.host != c.host && !c.exact && below(p.path, c.path)
	}
	a, b := strings.ToLower(literalHead.FindString(p.path)), strings.ToLower(literalHead.FindString(c.path))
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// below tells whether a path is one that a Prefix matches.
func below(path, prefix string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
