package engine

import (
	"fmt"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/listenpath"
)

// Rules of a contest
//
// Two definitions are in conflict
//
//	route-conflict         when they match the same requests
//	listen-path-conflict   when they have the same domain and listen path, so that
//	                       the gateway would move both
//	listen-path-shadowed   when the gateway would prefer the one where Kubernetes
//	                       prefers the other
//
// Contenders enter in the order of age, and the first stays. The last conflict needs
// a listen path that is not written by our encoding, as those of the template legacy
// are; for all others the lengths are right by construction.

// contender is a definition that is to be served: def is nil when it only stays.
type contender struct {
	owner   Ref
	created string
	field   string
	id      string
	hash    string
	match   string
	listen  string
	def     *Definition
}

func wantedContender(d *Desired, def *Definition) *contender {
	return &contender{owner: d.Object, created: d.Created, field: def.Field, id: def.ID, hash: def.Hash,
		match: def.Match, listen: def.Listen, def: def}
}

type contest struct {
	byMatch, byListen map[string]*contender
	serve             map[string]*contender // by id
	conflicts         []Conflict
	// hosts holds who serves a host; free those whose listen path is not of our
	// encoding, by the parent of their host.
	hosts map[string]*hostContest
	free  map[string][]placed
}

// hostContest is who serves one host.
type hostContest struct {
	placed []placed
	free   bool // some listen path is not of our encoding
}

// placed is a contender with what decides who gets a request.
type placed struct {
	*contender
	route  listenpath.Route
	length int
}

func newContest(size int) *contest {
	return &contest{
		byMatch: make(map[string]*contender, size), byListen: make(map[string]*contender, size), serve: make(map[string]*contender, size),
		hosts: map[string]*hostContest{}, free: map[string][]placed{},
	}
}

// enter takes contenders in the order of age, so the first one wins.
func (c *contest) enter(x *contender) {
	if winner, taken := c.byMatch[x.match]; taken {
		c.lose(x, winner, "route-conflict", "matches the same requests as one of")
		return
	}
	if winner, taken := c.byListen[x.listen]; taken {
		c.lose(x, winner, "listen-path-conflict", "has the same domain and listen path as one of")
		return
	}
	if winner, taken := c.place(x); taken {
		c.lose(x, winner, "listen-path-shadowed", "cannot be told by the gateway from one of")
		return
	}
	c.byMatch[x.match], c.byListen[x.listen] = x, x
	c.serve[x.id] = x
}

func (c *contest) lose(x, winner *contender, id, what string) {
	r := Reason{ID: id, Field: x.field,
		Msg: fmt.Sprintf("The route %s %s, which %s and is served.", what, winner.owner, precedence(winner, x)),
		Fix: "Change the host or the path, or remove one of the two.",
	}
	if id == "listen-path-shadowed" {
		r.Fix = "Give both the same template: one of the listen paths is written plainly, and the gateway prefers the longer text."
	}
	c.conflicts = append(c.conflicts, Conflict{Object: x.owner, Field: x.field, ID: x.id, Winner: winner.owner, WinnerID: winner.id, Reason: r})
}

// conflictsWithin finds the conflicts among the definitions of one object: it is
// served whole, or not at all.
func conflictsWithin(d *Desired) []Reason {
	if len(d.Definitions) < 2 {
		return nil
	}
	c := newContest(len(d.Definitions))
	for i := range d.Definitions {
		c.enter(wantedContender(d, &d.Definitions[i]))
	}
	var reasons []Reason
	for _, conflict := range c.conflicts {
		reasons = append(reasons, conflict.Reason)
	}
	return reasons
}

// precedence says why the winner comes first.
func precedence(winner, x *contender) string {
	switch {
	case winner.owner == x.owner:
		return "stands before it"
	case winner.created != "" && winner.created != x.created:
		return "is older"
	}
	return "comes first by its name"
}

// place finds one of the contenders with whom x would share requests the wrong way,
// or notes x.
func (c *contest) place(x *contender) (winner *contender, taken bool) {
	route, ok := listenpath.ParseKey(x.match)
	if !ok {
		return nil, false
	}
	p := placed{x, route, 0}
	domain, path := cutListen(x.listen)
	p.length = listenpath.Length(path)
	free := !isEncoded(route, domain, path)
	host := c.hosts[route.Host()]
	if host == nil {
		host = &hostContest{}
		c.hosts[route.Host()] = host
	}
	for _, others := range c.rivals(p, free, host) {
		for _, other := range others {
			if misrouted(p, other) {
				return other.contender, true
			}
		}
	}
	host.placed = append(host.placed, p)
	if free {
		host.free = true
		c.free[route.Parent()] = append(c.free[route.Parent()], p)
	}
	return nil, false
}

// rivals gives those with whom p could share requests, where it matters.
func (c *contest) rivals(p placed, free bool, host *hostContest) [][]placed {
	var all [][]placed
	if free || host.free {
		all = append(all, host.placed)
	}
	switch {
	case p.route.HostKind() == listenpath.WildcardHost:
		all = append(all, c.free[p.route.Parent()])
	case free && p.route.HostKind() == listenpath.ExactHost:
		if wild := c.hosts["*."+p.route.Parent()]; wild != nil {
			all = append(all, wild.placed)
		}
	}
	return all
}

// misrouted tells whether the gateway, which takes the longer listen path, gives a
// request to the one that Kubernetes does not mean.
func misrouted(a, b placed) bool {
	beats, overlap := a.route.Beats(b.route)
	switch {
	case !overlap:
		return false
	case beats:
		return a.length <= b.length
	default:
		return b.length <= a.length
	}
}

// cutListen cuts domain and listen path apart; a domain has no slash.
func cutListen(listen string) (domain, path string) {
	i := strings.IndexByte(listen, '/')
	if i < 0 {
		return listen, ""
	}
	return listen[:i], listen[i:]
}

// isEncoded tells whether the listen path is the one of our encoding.
func isEncoded(route listenpath.Route, domain, path string) bool {
	want, err := route.Encode(listenpath.Templated)
	if err != nil || want != path {
		return false
	}
	wantDomain, _, err := listenpath.Domain(route.Host())
	return err == nil && wantDomain == domain
}
