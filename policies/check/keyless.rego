# METADATA
# title: Checks
# description: |
#   What no finished definition may be, whoever wrote it: author, template or
#   policy. A grant that lists the id of a check under `guards` waives it.
package cuegate.check

import data.cuegate.grant
import data.cuegate.match

# METADATA
# title: Keyless API
# description: |
#   The definition needs no credentials, in a namespace that demands them: one
#   of settings.requireAuthentication.namespaces, or one that carries any of its
#   namespaceLabels. The way to a workload from the mesh is left out: its callers are
#   asked for credentials on the way in.
# custom:
#   id: keyless
# labels:
#   id: keyless
deny contains reason if {
	some definition in input.definitions
	definition.keyless
	definition.role != "mesh"
	authentication_required
	not waived("keyless", definition)
	reason := {
		"id": "keyless",
		"msg": sprintf("The API needs no credentials (template %q), and namespace %q demands authentication.", [definition.template, input.object.namespace]),
		"field": definition.field,
		"fix": "Choose a template that authenticates, remove the annotation that switches authentication off, or ask the platform team for a grant.",
	}
}

authentication_required if {
	match.name(data.settings.requireAuthentication.namespaces, input.object.namespace)
}

authentication_required if {
	some key, value in data.settings.requireAuthentication.namespaceLabels
	lower(input.namespace.labels[key]) == lower(value)
}

authentication_required if {
	not input.namespace.known
	data.settings.requireAuthentication.unknownNamespaces
}

# METADATA
# title: Waived check
# description: A grant waives the check for the host of the definition's route.
# scope: document
waived(id, definition) if grant.waives(id, route_host(definition.route))

route_host(id) := route.host if {
	some route in input.routes
	route.id == id
}
