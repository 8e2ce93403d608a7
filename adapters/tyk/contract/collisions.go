package contract

// Two APIs with one domain and listen path. Source: Tyk Gateway v5.11.1, measured.
// No call fails; the gateway changes the listen path of one or both to
// <listen_path>-<api_id>, and only its log tells. To the users it is an outage.

// collisionOfNew: neither was loaded under that path before, so both lose it.
func collisionOfNew(p probe) {
	same := p.path("/same/")
	one, two := p.api("one", same), p.api("two", same)
	moved := same + "-" + one.id()
	p.load(one, two)
	p.wantListenPath(one.id(), moved)
	p.wantListenPath(two.id(), same+"-"+two.id())
	p.expect("", same+"x", nobody)

	// The collision ends and the path stays changed: a definition that is the same as
	// before is not looked at again.
	p.remove(two)
	for range 2 {
		p.reload()
		p.wantListenPath(one.id(), moved)
		p.expect("", same+"x", nobody)
	}
	p.put(one)
	p.reload()
	p.wantListenPath(one.id(), moved)

	// Any change mends it.
	p.put(one.with("config_data", object{"touched": 1}))
	p.reload()
	p.wantListenPath(one.id(), same)
	p.expect("", same+"x", "one /x")

	// One that is new and one that just moved there: neither has a claim.
	moving, third := p.api("moving", p.path("/elsewhere/")), p.api("third", p.path("/there/"))
	p.load(moving)
	p.load(moving.with("proxy.listen_path", p.path("/there/")), third)
	p.wantListenPath(moving.id(), p.path("/there/-")+moving.id())
	p.wantListenPath(third.id(), p.path("/there/-")+third.id())
	p.expect("", p.path("/elsewhere/x"), nobody)
	p.expect("", p.path("/there/x"), nobody)
}

// collisionWithLoaded: who was loaded under the path keeps it, also when something
// else of it changes in the same reload. Whether the other is reached at its new path
// is left open: where the listen path ends with a slash, it is a prefix of that.
func collisionWithLoaded(p probe) {
	same := p.path("/same/")
	one, two, three := p.api("one", same), p.api("two", same), p.api("three", same)
	p.load(one)
	p.load(two)
	p.wantListenPath(one.id(), same)
	p.wantListenPath(two.id(), same+"-"+two.id())
	p.expect("", same+"x", "one /x")

	p.put(one.with("config_data", object{"touched": 1}))
	p.load(three)
	p.wantListenPath(one.id(), same)
	p.wantListenPath(three.id(), same+"-"+three.id())
	p.expect("", same+"x", "one /x")
}

// collisionOfDomains: a listen path may be on several domains, and on none.
func collisionOfDomains(p probe) {
	same := p.path("/same/")
	p.load(
		p.api("one", same).with("domain", p.host("one")),
		p.api("two", same).with("domain", p.host("two")),
		p.api("none", same),
	)
	p.load(p.api("late", same).with("domain", p.host("one")))
	for _, name := range []string{"one", "two", "none"} {
		p.wantListenPath(p.id(name), same)
	}
	p.wantListenPath(p.id("late"), same+"-"+p.id("late"))
	p.expect(p.host("one"), same+"x", "one /x")
	p.expect(p.host("two"), same+"x", "two /x")
	p.expect(p.host("three"), same+"x", "none /x")
}
