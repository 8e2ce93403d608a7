# METADATA
# title: Grants
# description: |
#   A grant gives some objects rights that others do not have:
#
#     id              names it
#     namespaces      \
#     namespaceLabels  | whose: each that is given must match, one that is
#     labels          /  absent matches everything
#     hosts           for routes of these hosts only
#     classes, paths  which overrides it allows: risk classes, paths of the table
#     guards          ids of guards and checks that it waives
#
#   Beside `guards` or `hosts`, overrides are given only where `classes` or
#   `paths` says so; a grant that names none of the four gives all overrides.
#   `hosts` without `guards` gives the hosts themselves: another namespace's
#   older claim does not count. A grant with a key that is not in this list
#   gives nothing, because a misspelt selector would match everything.
package cuegate.grant

import data.cuegate.match

keys := ["id", "namespaces", "namespaceLabels", "labels", "hosts", "classes", "paths", "guards"]

# Some grant lets this object set the path, which is of the risk class. The first
# rule is the second one for the plainest grant, and spares most objects its work.
overrides(_, class) if {
	some grant in data.settings.grants
	class in grant.classes
	object.remove(grant, ["id", "classes"]) == {}
}

overrides(path, class) if {
	some grant in data.settings.grants
	class in object.get(grant, "classes", [class])
	is_below(path, object.get(grant, "paths", [path]))
	gives_overrides(grant)
	has_all_hosts(grant)
	selects(grant)
}

# Some grant lets this object, on a route of this host, do what the guard forbids.
waives(guard, host) if {
	some grant in data.settings.grants
	guard in grant.guards
	match.host(object.get(grant, "hosts", ["*"]), host)
	selects(grant)
}

# Some grant gives this object the host.
gives_host(host) if {
	some grant in data.settings.grants
	not grant.guards
	match.host(grant.hosts, host)
	selects(grant)
}

selects(grant) if {
	object.remove(grant, keys) == {}
	match.name(object.get(grant, "namespaces", ["*"]), input.object.namespace)
	match.labels(object.get(grant, "namespaceLabels", {}), input.namespace.labels)
	match.labels(object.get(grant, "labels", {}), input.object.labels)
}

gives_overrides(grant) if grant.classes

gives_overrides(grant) if grant.paths

gives_overrides(grant) if {
	not grant.guards
	not grant.hosts
}

has_all_hosts(grant) if not grant.hosts

has_all_hosts(grant) if {
	every route in input.routes {
		match.host(grant.hosts, route.host)
	}
}

is_below(path, prefixes) if path in prefixes

is_below(path, prefixes) if {
	some prefix in prefixes
	startswith(path, concat("", [prefix, "."]))
}
