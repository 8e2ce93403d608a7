package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

everything := {
	"templateAnnotations": [{"key": "template.service.tyk.io", "value": "tokenAuth"}],
	"namespace": {"labels": {"cuegate.dev/template": "default-mesh"}},
	"class": {"parameters": {"apiGroup": "cuegate.dev", "kind": "Template", "name": "default"}},
}

test_annotation_is_the_heaviest if {
	template.chosen == "tokenAuth" with input as testing.with_facts(everything)
	count(template.candidates) == 4 with input as testing.with_facts(everything)
}

test_namespace_is_next if {
	template.chosen == "default-mesh" with input as testing.with_facts(object.remove(everything, ["templateAnnotations"]))
}

test_class_is_next if {
	facts := testing.with_facts({"class": everything.class})
	template.chosen == "default" with input as facts
	template.chosen == "default" with input as facts with data.settings.template as "tokenAuth"
}

test_settings_are_last if {
	template.chosen == "default" with input as testing.facts
	template.chosen == "tokenAuth" with input as testing.facts with data.settings.template as "tokenAuth"
}

test_candidate_of_an_operator if {
	own := {"template": "tokenAuth", "weight": 350, "id": "by-team", "msg": "Team cafe uses tokenAuth."}
	facts := testing.with_facts(object.remove(everything, ["templateAnnotations"]))
	template.chosen == "tokenAuth" with input as facts with template.candidates as {own} | {candidate |
		some candidate in template.candidates with input as facts
	}
}
