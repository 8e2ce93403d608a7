package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

asking(names) := testing.with_facts({"templateAnnotations": [{"key": sprintf("a%d.example", [i]), "value": name} | some i, name in names]})

test_two_templates if {
	facts := asking(["tokenAuth", "default"])
	not template.chosen with input as facts
	template.deny == {{
		"id": "template-tie",
		"msg": `Different templates are asked for with the same weight: "default" (rule template-annotation), "tokenAuth" (rule template-annotation).`,
		"field": "metadata.annotations[a0.example], metadata.annotations[a1.example]",
		"fix": "Leave one of them.",
	}} with input as facts
}

test_same_template_twice if {
	template.chosen == "tokenAuth" with input as asking(["tokenAuth", "tokenAuth"])
	count(template.deny) == 0 with input as asking(["tokenAuth", "tokenAuth"])
}

test_other_templates_of_less_weight if {
	template.chosen == "tokenAuth" with input as asking(["tokenAuth"])
	count(template.deny) == 0 with input as asking(["tokenAuth"])
}

test_tie_of_rules_without_a_field if {
	candidates := {
		{"template": "default", "weight": 1, "id": "one", "msg": "One."},
		{"template": "tokenAuth", "weight": 1, "id": "two", "msg": "Two."},
	}
	some reason in template.deny with input as testing.facts with template.candidates as candidates
	reason.id == "template-tie"
	contains(reason.msg, `"default" (rule one), "tokenAuth" (rule two)`)
	not reason.field
}
