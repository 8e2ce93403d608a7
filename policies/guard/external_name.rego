# METADATA
# title: Guards
# description: |
#   What no object may do, whatever its template. A grant that lists the id of a
#   guard under `guards` waives it.
package cuegate.guard

import data.cuegate.grant

# METADATA
# title: ExternalName
# description: |
#   The Service of a route is of type ExternalName: a name that anyone who may
#   write Services can point anywhere, past every other rule about targets.
# custom:
#   id: external-name
# labels:
#   id: external-name
deny contains reason if {
	some route in input.routes
	route.backend.serviceType == "ExternalName"
	not grant.waives("external-name", route.host)
	reason := {
		"id": "external-name",
		"msg": sprintf("Service %q is of type ExternalName and leads to %q, outside the namespace.", [route.backend.name, route.backend.externalName]),
		"field": backend_field(route),
		"fix": "Use a Service with a selector or with endpoints of its own, or ask the platform team for a grant.",
	}
}

backend_field(route) := route.field if route.pathType == "Default"

else := concat("", [route.field, ".backend"])
