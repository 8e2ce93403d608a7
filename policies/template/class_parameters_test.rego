package cuegate.template_test

import data.cuegate.template
import data.cuegate.testing

token_auth := {"apiGroup": "cuegate.dev", "kind": "Template", "name": "tokenAuth"}

config_map := {"apiGroup": "", "kind": "ConfigMap", "name": "tokenAuth"}

with_default(parameters) := object.union(
	testing.with_class({"known": false}),
	{"defaultClasses": [{"name": "tyk", "controller": "cuegate.dev/ingress-controller", "parameters": parameters}]},
)

test_parameters_of_the_class if {
	facts := testing.with_facts({"class": {"parameters": token_auth}})
	template.chosen == "tokenAuth" with input as facts
	count(template.warn) == 0 with input as facts
}

test_parameters_of_the_default_class if {
	template.chosen == "tokenAuth" with input as with_default(token_auth)
}

test_parameters_of_the_default_class_are_not_for_an_object_with_a_class if {
	facts := object.union(with_default(token_auth), {"class": testing.facts.class})
	template.chosen == "default" with input as facts
}

test_unknown_template_of_the_class_is_refused if {
	facts := testing.with_facts({"class": {"parameters": object.union(token_auth, {"name": "nope"})}})
	not template.chosen with input as facts
	testing.ids(template.deny) == {"template-unknown"} with input as facts
}

test_parameters_of_another_kind if {
	facts := testing.with_facts({"class": {"parameters": config_map}})
	template.chosen == "default" with input as facts
	testing.ids(template.warn) == {"class-parameters-unknown"} with input as facts
	testing.ids(template.warn) == {"class-parameters-unknown"} with input as with_default(config_map)
}

test_parameters_of_a_foreign_class_mean_nothing if {
	class := {"annotation": "tyk", "known": true, "controller": "example.com/other", "parameters": token_auth}
	template.chosen == "default" with input as testing.with_class(class)
	count(template.warn) == 0 with input as testing.with_class(object.union(class, {"parameters": config_map}))
}

test_no_parameters if {
	count(template.warn) == 0 with input as testing.facts
}
