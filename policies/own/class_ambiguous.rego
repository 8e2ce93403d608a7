package cuegate.own

# METADATA
# title: Several default classes
# description: |
#   The object names no class and the cluster has more than one default one, so
#   none of them is meant.
# custom:
#   id: class-ambiguous
# labels:
#   id: class-ambiguous
ignore contains reason if {
	input.defaultClasses[1]
	classless
	names := [sprintf("%q", [class.name]) | some class in input.defaultClasses]
	reason := {
		"id": "class-ambiguous",
		"msg": sprintf("The object names no ingress class, and the cluster has several default ones: %s.", [concat(", ", sort(names))]),
		"field": "spec.ingressClassName",
		"fix": class_fix,
	}
}
