package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_unknown_class if {
	some reason in own.ignore with input as testing.with_class({"name": "ngnix", "known": false})
	reason.id == "class-not-found"
	reason.field == "spec.ingressClassName"
	contains(reason.msg, `"ngnix"`)
	contains(reason.fix, `"tyk"`)
}

test_unknown_class_by_annotation if {
	some reason in own.ignore with input as testing.with_class({"annotation": "traefik", "name": "tyk", "known": false})
	reason.id == "class-not-found"
	contains(reason.msg, `"traefik"`)
	reason.field == "metadata.annotations[kubernetes.io/ingress.class]"
}

test_unknown_class_of_our_name_is_ours if {
	count(own.ignore) == 0 with input as testing.with_class({"name": "tyk", "known": false})
}

test_fix_without_names if {
	some reason in own.ignore with input as testing.with_class({"name": "tyk", "known": false}) with data.settings.classes as []
	reason.fix == `To have Cuegate serve it, set spec.ingressClassName to an IngressClass of controller "cuegate.dev/ingress-controller".`
}
