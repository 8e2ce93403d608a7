package cuegate.template

# METADATA
# title: The namespace asks for a template
# description: The label cuegate.dev/template of the namespace names a template.
# custom:
#   id: template-namespace
# labels:
#   id: template-namespace
candidates contains candidate if {
	name := input.namespace.labels["cuegate.dev/template"]
	candidate := {
		"template": name,
		"weight": 300,
		"id": "template-namespace",
		"msg": sprintf("Label cuegate.dev/template of namespace %q asks for template %q.", [input.object.namespace, name]),
		"field": "metadata.namespace",
	}
}
