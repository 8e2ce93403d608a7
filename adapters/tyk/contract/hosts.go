package contract

import (
	"fmt"
	"strings"
)

// hosts: domains are matched as gorilla/mux does it. Source: Tyk Gateway v5.11.1,
// measured, with enable_custom_domains.
func hosts(p probe) {
	cases := []struct {
		// ZONE is a domain that only the case has.
		domain, host string
		match        bool
	}{
		{"one.ZONE", "one.ZONE", true},
		{"one.ZONE", "two.ZONE", false},
		{"one.ZONE", "ZONE", false},
		// Letters are compared as they are, so a client lower-cases the domain.
		{"one.ZONE", "ONE.ZONE", false},
		{"One.ZONE", "one.ZONE", false},
		// The port of the request counts only where the domain has one.
		{"one.ZONE", "one.ZONE:8080", true},
		{"one.ZONE:81", "one.ZONE:81", true},
		{"one.ZONE:81", "one.ZONE", false},
		// A star is a star. A wildcard is a template, of one label.
		{"*.ZONE", "a.ZONE", false},
		{"*.ZONE", "*.ZONE", true},
		{"{sub}.ZONE", "a.ZONE", true},
		{"{sub:[^.]+}.ZONE", "a.ZONE", true},
		{"{sub:[^.]+}.ZONE", "a.b.ZONE", false},
		{"{sub:[^.]+}.ZONE", "ZONE", false},
		// As cuegate writes them.
		{"{?:[^.]+}.ZONE", "a.ZONE", true},
		{"{?:[^.]+}.ZONE", "a.ZONE:8080", true},
		{"{?:[^.]+}.ZONE", "a.b.ZONE", false},
		{"{?:[^.]+}.ZONE", "ZONE", false},
		// It loads and matches nothing.
		{"{x.ZONE", "a.ZONE", false},
	}
	name := func(i int) string { return fmt.Sprintf("case%d", i) }
	in := func(i int, text string) string { return strings.ReplaceAll(text, "ZONE", p.host(name(i))) }
	for i, c := range cases {
		p.post(p.api(name(i), p.path("/"+name(i)+"/")).with("domain", in(i, c.domain)))
	}
	p.reload()
	for i, c := range cases {
		if _, ok := p.loaded(p.id(name(i))); !ok {
			p.Errorf("domain %s is not listed", c.domain)
		}
		want := nobody
		if c.match {
			want = name(i) + " /x"
		}
		p.expect(in(i, c.host), p.path("/"+name(i)+"/x"), want)
	}
}

// ignoredDomains: without enable_custom_domains a domain is no error and has no
// effect. Every host reaches the API, and of two with one listen path, one gets the
// traffic of both.
func ignoredDomains(p probe) {
	if p.gateway.CustomDomains {
		p.Skip("the gateway runs with enable_custom_domains")
	}
	p.load(
		p.api("alone", p.path("/alone/")).with("domain", p.host("one")),
		p.api("one", p.path("/same/")).with("domain", p.host("one")),
		p.api("two", p.path("/same/")).with("domain", p.host("two")),
	)
	p.expect(p.host("one"), p.path("/alone/x"), "alone /x")
	p.expect(p.host("two"), p.path("/alone/x"), "alone /x")
	// Nor is it a collision.
	p.wantListenPath(p.id("one"), p.path("/same/"))
	p.wantListenPath(p.id("two"), p.path("/same/"))
	// Which of the two it is, is arbitrary.
	first, second := p.outcome(p.host("one"), p.path("/same/x")), p.outcome(p.host("two"), p.path("/same/x"))
	if first != second || first != "one /x" && first != "two /x" {
		p.Errorf("hosts one and two: got %s and %s, want the same API", first, second)
	}
}
