package cuegate.guard

import data.cuegate.grant
import data.cuegate.own

# METADATA
# title: The host belongs to another namespace
# description: |
#   An older Ingress of another namespace that Cuegate serves names the same host.
#   Inside one namespace hosts may be shared and moved. The path of an ACME
#   challenge, with its token, is free for the solver of any namespace. A wildcard
#   host is a host of its own, unless settings.wildcardClaims says that the hosts
#   which it covers belong to it. A grant gives a namespace a host by `hosts`.
# custom:
#   id: host-claimed
# labels:
#   id: host-claimed
deny contains reason if {
	some route in input.routes
	count(route.claims) > 0
	not is_challenge(route)
	first := min([[claim.since, claim.namespace, claim.name, claim.host] |
		some claim in route.claims
		claim.older
		own.served(claim)
		covers(claim, route)
	])
	not grant.gives_host(route.host)
	not grant.waives("host-claimed", route.host)
	reason := {
		"id": "host-claimed",
		"msg": sprintf("Host %q already belongs to Ingress %q of namespace %q, which %s.", [first[3], first[2], first[1], precedence(first[0])]),
		"field": host_field(route),
		"fix": "Use another host, or ask the platform team for a grant of this one.",
	}
}

precedence("") := "comes first by its name"

precedence(since) := "is older" if since != ""

covers(claim, route) if claim.host == route.host

covers(_, _) if data.settings.wildcardClaims

is_challenge(route) if {
	regex.match(`^/\.well-known/acme-challenge/[A-Za-z0-9_-]+$`, route.path)
	route.pathType != "Default"
}

host_field(route) := concat("", [substring(route.field, 0, i), ".host"]) if {
	i := indexof(route.field, ".http.")
	i > 0
} else := route.field
