package cuegate.guard

# METADATA
# title: Internal hosts
# description: |
#   Hosts below internal.example.com are served for namespaces that are labelled
#   example.com/tier=internal, and for no others.
# labels:
#   id: internal-host
deny contains {
	"id": "internal-host",
	"msg": sprintf("The host %s is for internal namespaces.", [route.host]),
	"field": route.field,
	"fix": "Take a host below example.com, or ask the platform team for the label example.com/tier: internal.",
} if {
	some route in input.routes
	endswith(route.host, ".internal.example.com")
	object.get(input.namespace.labels, "example.com/tier", "") != "internal"
}
