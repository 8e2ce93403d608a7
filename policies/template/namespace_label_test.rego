package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

test_namespace_label if {
	facts := testing.with_facts({"namespace": {"labels": {"cuegate.dev/template": "tokenAuth"}}})
	testing.ids(template.candidates) == {"template-namespace", "template-default"} with input as facts
	template.chosen == "tokenAuth" with input as facts
}

test_unknown_namespace_label_is_refused if {
	facts := testing.with_facts({"namespace": {"labels": {"cuegate.dev/template": "nope"}}})
	not template.chosen with input as facts
	some reason in template.deny with input as facts
	reason.id == "template-unknown"
	reason.rule == "template-namespace"
}
