package cuegate.guard

import data.cuegate.grant
import data.cuegate.own

# METADATA
# title: The host belongs to another namespace
# description: |
#   An older Ingress of another namespace, of a class that is ours, names the
#   same host. Inside one namespace hosts may be shared and moved. The path of
#   an ACME challenge is free for the solver of any namespace. A grant gives a
#   namespace a host by `hosts`.
# custom:
#   id: host-claimed
# labels:
#   id: host-claimed
deny contains reason if {
	some route in input.routes
	count(route.claims) > 0
	not is_challenge(route)
	first := min([[claim.since, claim.namespace, claim.name] |
		some claim in route.claims
		claim.older
		own.ours(claim.class)
	])
	not grant.gives_host(route.host)
	not grant.waives("host-claimed", route.host)
	reason := {
		"id": "host-claimed",
		"msg": sprintf("%s already belongs to Ingress %q of namespace %q, which is older.", [host_text(route.host), first[2], first[1]]),
		"field": host_field(route),
		"fix": "Use another host, or ask the platform team for a grant of this one.",
	}
}

is_challenge(route) if {
	startswith(route.path, "/.well-known/acme-challenge/")
	not contains(route.path, "..")
	not contains(route.path, "{")
	route.pathType != "Default"
}

host_text("") := "A rule without a host, which stands for every host,"

host_text(host) := sprintf("Host %q", [host]) if host != ""

host_field(route) := concat("", [substring(route.field, 0, i), ".host"]) if {
	i := indexof(route.field, ".http.")
	i > 0
} else := route.field
