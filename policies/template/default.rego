package cuegate.template

# METADATA
# title: The default template
# description: settings.template, for objects that nothing else gives a template.
# custom:
#   id: template-default
# labels:
#   id: template-default
candidates contains candidate if {
	not input.workload
	not input.service
	candidate := {
		"template": data.settings.template,
		"weight": 100,
		"id": "template-default",
		"msg": "The settings name the default template.",
	}
}
