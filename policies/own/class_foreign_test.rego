package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

nginx := {"name": "nginx", "known": true, "controller": "k8s.io/ingress-nginx"}

test_foreign_class if {
	own.ignore == {{
		"id": "class-foreign",
		"msg": `IngressClass "nginx" belongs to controller "k8s.io/ingress-nginx", not to cuegate.dev/ingress-controller.`,
		"field": "spec.ingressClassName",
		"fix": `To have Cuegate serve it, set spec.ingressClassName to an IngressClass of controller "cuegate.dev/ingress-controller", such as "tyk".`,
	}} with input as testing.with_class(nginx)
}

test_foreign_class_by_annotation if {
	class := {"annotation": "nginx", "known": true, "controller": "k8s.io/ingress-nginx"}
	some reason in own.ignore with input as testing.with_class(class)
	reason.id == "class-foreign"
	reason.field == "metadata.annotations[kubernetes.io/ingress.class]"
}

test_foreign_default_class if {
	facts := object.union(
		testing.with_class({"known": false}),
		{"defaultClasses": [{"name": "nginx", "controller": "k8s.io/ingress-nginx"}]},
	)
	some reason in own.ignore with input as facts
	reason.id == "class-foreign"
	contains(reason.msg, `default IngressClass "nginx"`)
}

test_class_of_ours_is_not_foreign if {
	count(own.ignore) == 0 with input as testing.facts
}

test_foreign_class_hears_only_of_the_class if {
	testing.ids(own.ignore) == {"class-foreign"} with input as testing.with_class(nginx)
		with data.settings.watch.namespaces as ["elsewhere"]
		with data.settings.watch.labels as {"a": "b"}
}
