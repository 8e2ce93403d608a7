package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

two_defaults := {"defaultClasses": [
	{"name": "tyk", "controller": "cuegate.dev/ingress-controller"},
	{"name": "nginx", "controller": "k8s.io/ingress-nginx"},
]}

test_several_default_classes if {
	facts := object.union(testing.with_class({"known": false}), two_defaults)
	not own.mine with input as facts
	own.ignore == {reason | some reason in own.ignore; reason.id == "class-ambiguous"} with input as facts
	some reason in own.ignore with input as facts
	contains(reason.msg, `"nginx", "tyk"`)
}

test_default_classes_do_not_matter_to_an_object_with_a_class if {
	count(own.ignore) == 0 with input as testing.with_facts(two_defaults)
}
