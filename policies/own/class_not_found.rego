package cuegate.own

# METADATA
# title: No such class
# description: |
#   The annotation or the field names no IngressClass that is known, and no name
#   that is ours without one.
# custom:
#   id: class-not-found
# labels:
#   id: class-not-found
ignore contains reason if {
	input.class.known == false
	not mine
	name := class_name
	reason := {
		"id": "class-not-found",
		"msg": sprintf("There is no IngressClass %q, and the name alone does not belong to Cuegate.", [name]),
		"field": class_field,
		"fix": class_fix,
	}
}
