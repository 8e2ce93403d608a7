package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

# A workload in a namespace of the labels, with the annotations.
workload(annotations, labels) := object.union(object.remove(testing.facts, ["class"]), {
	"object": {"kind": "Deployment", "annotations": annotations},
	"namespace": {"labels": labels},
	"templates": ["inbound", "jwt", "mesh", "tokenAuth"],
	"templateAnnotations": [{"key": key, "value": annotations[key]} | some key in ["cuegate.dev/template", "template.service.tyk.io"]; annotations[key]],
	"workload": {"inject": "true"},
})

namespace_jwt := {"cuegate.dev/template": "jwt"}

test_templates_of_the_settings if {
	facts := workload({}, {})
	template.chosen_for == {"inbound": "inbound", "mesh": "mesh"} with input as facts
	template.chosen_for == {"inbound": "tokenAuth", "mesh": "mesh"} with input as facts with data.settings.mesh.templates.inbound as "tokenAuth"
	count(template.deny) == 0 with input as facts
}

# The default of Ingresses is none of workloads', and the other way round.
test_defaults_of_ingresses if {
	template.chosen_for == {"inbound": "inbound", "mesh": "mesh"} with input as workload({}, {}) with data.settings.template as "tokenAuth"
	count(template.chosen_for) == 0 with input as testing.facts
	template.chosen == "default" with input as testing.facts with data.settings.mesh.templates.inbound as "tokenAuth"
}

test_namespace_gives_both if {
	template.chosen_for == {"inbound": "jwt", "mesh": "jwt"} with input as workload({}, namespace_jwt)
}

test_annotation_gives_both if {
	every key in ["cuegate.dev/template", "template.service.tyk.io"] {
		template.chosen_for == {"inbound": "tokenAuth", "mesh": "tokenAuth"} with input as workload({key: "tokenAuth"}, namespace_jwt)
	}
}

test_annotation_of_one if {
	inbound := workload({"cuegate.dev/inbound-template": "tokenAuth"}, {})
	template.chosen_for == {"inbound": "tokenAuth", "mesh": "mesh"} with input as inbound
	mesh := workload({"cuegate.dev/mesh-template": "tokenAuth", "cuegate.dev/template": "jwt"}, {})
	template.chosen_for == {"inbound": "jwt", "mesh": "tokenAuth"} with input as mesh
}

test_two_templates_for_both if {
	facts := workload({"cuegate.dev/template": "jwt", "template.service.tyk.io": "tokenAuth"}, {})
	count(template.chosen_for) == 0 with input as facts
	testing.ids(template.deny) == {"template-tie"} with input as facts
	{reason.msg | some reason in template.deny} == {
		`Different templates for inbound are asked for with the same weight: "jwt" (rule template-annotation), "tokenAuth" (rule template-annotation).`,
		`Different templates for mesh are asked for with the same weight: "jwt" (rule template-annotation), "tokenAuth" (rule template-annotation).`,
	} with input as facts
	every reason in template.deny {
		reason.field == "metadata.annotations[cuegate.dev/template], metadata.annotations[template.service.tyk.io]"
	} with input as facts
}

test_tie_where_one_has_its_own if {
	facts := workload({"cuegate.dev/template": "jwt", "template.service.tyk.io": "tokenAuth", "cuegate.dev/inbound-template": "inbound"}, {})
	template.chosen_for == {"inbound": "inbound"} with input as facts
	count(template.deny) == 1 with input as facts
}

test_same_template_twice_for_both if {
	facts := workload({"cuegate.dev/template": "jwt", "template.service.tyk.io": "jwt"}, {})
	template.chosen_for == {"inbound": "jwt", "mesh": "jwt"} with input as facts
	count(template.deny) == 0 with input as facts
}

test_unknown_template_of_one if {
	facts := workload({"cuegate.dev/inbound-template": "tokenauth"}, namespace_jwt)
	template.chosen_for == {"mesh": "jwt"} with input as facts
	template.deny == {{
		"id": "template-unknown",
		"msg": `Annotation cuegate.dev/inbound-template asks for template "tokenauth". There is no such template.`,
		"field": "metadata.annotations[cuegate.dev/inbound-template]",
		"fix": "Use one of these: tokenAuth.",
		"rule": "template-annotation",
	}} with input as facts
}

test_unknown_template_of_both_is_said_once if {
	count(template.deny) == 1 with input as workload({}, {"cuegate.dev/template": "nope"})
}

test_unknown_template_of_the_settings if {
	facts := workload({}, {})
	testing.ids(template.deny) == {"template-unknown"} with input as facts with data.settings.mesh.templates.mesh as "nope"
	template.chosen_for == {"inbound": "inbound"} with input as facts with data.settings.mesh.templates.mesh as "nope"
}

# A candidate of an operator may be for one definition, or for both.
test_candidates_of_operators if {
	facts := workload({}, {})
	builtin := template.candidates with input as facts
	one := {"template": "jwt", "weight": 350, "id": "mine", "msg": "Mine.", "role": "mesh"}
	template.chosen_for == {"inbound": "inbound", "mesh": "jwt"} with input as facts with template.candidates as builtin | {one}
	both := object.remove(one, ["role"])
	template.chosen_for == {"inbound": "jwt", "mesh": "jwt"} with input as facts with template.candidates as builtin | {both}
}
