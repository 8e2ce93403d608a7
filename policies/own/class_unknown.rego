package cuegate.own

# METADATA
# title: The name of the class alone decided
# description: |
#   The field names one of settings.classes, and there is no IngressClass of
#   that name which could say whose it is.
# custom:
#   id: class-unknown
# labels:
#   id: class-unknown
warn contains warning if {
	input.class.known == false
	not input.class.annotation
	input.class.name in data.settings.classes
	warning := {
		"id": "class-unknown",
		"msg": sprintf("IngressClass %q was not found; the name alone decided that the object is ours.", [input.class.name]),
		"field": "spec.ingressClassName",
		"fix": sprintf("Create an IngressClass %q with controller %q.", [input.class.name, data.settings.controller]),
	}
}
