package cuegate.guard

import data.cuegate.grant

# METADATA
# title: Resource backend
# description: The backend of a route is a resource that is not a Service, which no request can be sent to.
# custom:
#   id: resource-backend
# labels:
#   id: resource-backend
deny contains reason if {
	some route in input.routes
	route.backend.kind == "resource"
	not grant.waives("resource-backend", route.host)
	reason := {
		"id": "resource-backend",
		"msg": sprintf("The backend is the resource %s %q; only Services can be served.", [route.backend.resource, route.backend.name]),
		"field": backend_field(route),
		"fix": "Name a Service as the backend.",
	}
}
