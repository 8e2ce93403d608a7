package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

test_unknown_template if {
	template.deny == {{
		"id": "template-unknown",
		"msg": `Annotation a0.example asks for template "nope". There is no such template.`,
		"field": "metadata.annotations[a0.example]",
		"fix": "Use one of these: default, default-mesh, tokenAuth.",
		"rule": "template-annotation",
	}} with input as asking(["nope"])
	not template.chosen with input as asking(["nope"])
}

test_empty_name_is_unknown if {
	testing.ids(template.deny) == {"template-unknown"} with input as asking([""])
}

test_nearest_names if {
	every wanted, names in {
		"token-auth": "tokenAuth",
		"tokenAuht": "tokenAuth",
		"mesh": "default-mesh",
		"defaults": "default",
	} {
		some reason in template.deny with input as asking([wanted])
		reason.fix == sprintf("Use one of these: %s.", [names])
	}
}

test_rule_without_a_field if {
	candidates := {{"template": "nope", "weight": 1, "id": "one", "msg": "One."}}
	some reason in template.deny with input as testing.facts with template.candidates as candidates
	reason.rule == "one"
	not reason.field
}

test_known_template if {
	count(template.deny) == 0 with input as asking(["tokenAuth"])
}
