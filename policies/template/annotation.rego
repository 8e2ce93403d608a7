package cuegate.template

# METADATA
# title: The object asks for a template
# description: An annotation of the object names a template.
# custom:
#   id: template-annotation
# labels:
#   id: template-annotation
candidates contains candidate if {
	input.templateAnnotations[0]
	some annotation in input.templateAnnotations
	candidate := {
		"template": annotation.value,
		"weight": 400,
		"id": "template-annotation",
		"msg": sprintf("Annotation %s asks for template %q.", [annotation.key, annotation.value]),
		"field": sprintf("metadata.annotations[%s]", [annotation.key]),
	}
}
