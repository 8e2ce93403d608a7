package cuegate.own

# METADATA
# title: The class belongs to another controller
# description: |
#   The annotation or the field names an IngressClass that exists and names
#   another controller.
# custom:
#   id: class-foreign
# labels:
#   id: class-foreign
ignore contains reason if {
	input.class.known == true
	not mine
	reason := {
		"id": "class-foreign",
		"msg": sprintf("IngressClass %q belongs to controller %q, not to %s.", [
			class_name,
			object.get(input.class, "controller", ""),
			data.settings.controller,
		]),
		"field": class_field,
		"fix": class_fix,
	}
}

# METADATA
# title: The default class belongs to another controller
# description: |
#   The object names no class, and the one default IngressClass names another
#   controller.
# custom:
#   id: class-foreign
# labels:
#   id: class-foreign
ignore contains reason if {
	input.defaultClasses[0]
	count(input.defaultClasses) == 1
	classless
	not mine
	class := input.defaultClasses[0]
	reason := {
		"id": "class-foreign",
		"msg": sprintf("The object names no class, and the default IngressClass %q belongs to controller %q, not to %s.", [
			class.name,
			class.controller,
			data.settings.controller,
		]),
		"field": "spec.ingressClassName",
		"fix": class_fix,
	}
}
