package cuegate.own

# METADATA
# title: No class
# description: The object names no class and the cluster has no default one.
# custom:
#   id: class-missing
# labels:
#   id: class-missing
ignore contains reason if {
	input.defaultClasses == []
	classless
	reason := {
		"id": "class-missing",
		"msg": "The object names no ingress class, and the cluster has no default IngressClass.",
		"field": "spec.ingressClassName",
		"fix": class_fix,
	}
}
