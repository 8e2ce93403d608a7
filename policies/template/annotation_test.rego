package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

test_annotation if {
	facts := testing.with_facts({"templateAnnotations": [{"key": "template.service.tyk.io", "value": "tokenAuth"}]})
	testing.ids(template.candidates) == {"template-annotation", "template-default"} with input as facts
	some candidate in template.candidates with input as facts
	candidate.weight == 400
	candidate.field == "metadata.annotations[template.service.tyk.io]"
}

test_no_annotation if {
	testing.ids(template.candidates) == {"template-default"} with input as testing.facts
}
