package cuegate.override

# METADATA
# title: Partners reach their own service only
# description: In namespaces of partners no annotation may change where requests go.
# labels:
#   id: partner-target
deny contains {
	"id": "partner-target",
	"msg": sprintf("Annotation %s changes the target, which namespaces of partners may not.", [override.key]),
	"field": sprintf("metadata.annotations[%s]", [override.key]),
	"fix": "Remove the annotation; requests go to the Service of the Ingress.",
} if {
	input.namespace.labels["example.com/tier"] == "partner"
	some override in input.overrides
	"proxy.target_url" in override.paths
}
