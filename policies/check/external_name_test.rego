package cuegate.check_test

import data.cuegate.check
import data.cuegate.testing

external_target := {
	"overridden": true,
	"service": {"name": "ext", "namespace": "cafe", "type": "ExternalName"},
}

aimed_outside := testing.with_definition({"targets": [testing.target(external_target)]})

test_target_of_type_external_name if {
	testing.ids(check.deny) == {"external-name"} with input as aimed_outside
	some reason in check.deny with input as aimed_outside
	contains(reason.msg, "ExternalName")
	reason.field == "spec.rules[0].http.paths[0]"
}

test_target_of_other_types if {
	every type in ["ClusterIP", "NodePort", "LoadBalancer", ""] {
		target := object.union(external_target, {"service": {"type": type}})
		count(check.deny) == 0 with input as testing.with_definition({"targets": [testing.target(target)]})
	}
}

test_external_name_of_the_template if {
	target := object.union(external_target, {"overridden": false})
	count(check.deny) == 0 with input as testing.with_definition({"targets": [testing.target(target)]})
}

test_external_name_of_another_namespace if {
	target := object.union(external_target, {"service": {"namespace": "bar"}})
	testing.ids(check.deny) == {"external-name", "target-other-namespace"} with input as testing.with_definition({"targets": [testing.target(target)]})
}

test_target_of_type_external_name_waived if {
	count(check.deny) == 0 with input as aimed_outside with data.settings.grants as [{"id": "g", "guards": ["external-name"]}]
	count(check.deny) == 1 with input as aimed_outside
		with data.settings.grants as [{"id": "g", "guards": ["external-name"], "namespaces": ["bar"]}]
}
