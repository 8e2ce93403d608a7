package cuegate.template

import data.cuegate.own

# METADATA
# title: The class asks for a template
# description: |
#   spec.parameters of the IngressClass name a template: of the object's class
#   or, where it has none, of the one default class.
# custom:
#   id: template-class
# labels:
#   id: template-class
candidates contains candidate if {
	class_parameters.apiGroup == "cuegate.dev"
	class_parameters.kind == "Template"
	candidate := {
		"template": class_parameters.name,
		"weight": 200,
		"id": "template-class",
		"msg": sprintf("The parameters of the IngressClass ask for template %q.", [class_parameters.name]),
		"field": "spec.ingressClassName",
	}
}

# METADATA
# title: Parameters of another kind
# description: The parameters of a class of ours are not a template, so they are not used.
# custom:
#   id: class-parameters-unknown
# labels:
#   id: class-parameters-unknown
warn contains warning if {
	parameters := class_parameters
	not is_template(parameters)
	warning := {
		"id": "class-parameters-unknown",
		"msg": sprintf("The parameters of the IngressClass are of kind %q in API group %q; only kind \"Template\" in \"cuegate.dev\" means anything here.", [parameters.kind, parameters.apiGroup]),
		"field": "spec.ingressClassName",
		"fix": "Ask the platform team to mend spec.parameters of the IngressClass.",
	}
}

class_parameters := parameters if {
	parameters := input.class.parameters
	input.class.controller == data.settings.controller
}

class_parameters := class.parameters if {
	input.defaultClasses[0]
	count(input.defaultClasses) == 1
	own.classless
	class := input.defaultClasses[0]
	class.controller == data.settings.controller
}

is_template(parameters) if {
	parameters.apiGroup == "cuegate.dev"
	parameters.kind == "Template"
}
