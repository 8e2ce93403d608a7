package cuegate.check_test

import data.cuegate.check
import data.cuegate.testing

demanding := object.union(testing.finished, {"namespace": {"labels": {"cuegate.dev/require-authentication": "true"}}})

test_keyless_passes_where_nothing_is_demanded if {
	count(check.deny) == 0 with input as testing.finished
}

test_namespace_demands_authentication_by_label if {
	some reason in check.deny with input as demanding
	reason.id == "keyless"
	reason.field == "spec.rules[0].http.paths[0]"
	contains(reason.msg, `namespace "cafe"`)
}

test_label_of_another_value if {
	facts := object.union(testing.finished, {"namespace": {"labels": {"cuegate.dev/require-authentication": "false"}}})
	count(check.deny) == 0 with input as facts
}

test_namespace_demands_authentication_by_name if {
	testing.ids(check.deny) == {"keyless"} with input as testing.finished
		with data.settings.requireAuthentication.namespaces as ["ca*"]
	count(check.deny) == 0 with input as testing.finished
		with data.settings.requireAuthentication.namespaces as ["bar"]
}

test_another_label_tightens if {
	labels := object.union(data.settings.requireAuthentication.namespaceLabels, {"kubernetes.io/metadata.name": "cafe"})
	testing.ids(check.deny) == {"keyless"} with input as testing.finished
		with data.settings.requireAuthentication.namespaceLabels as labels
}

test_unknown_namespace if {
	facts := object.union(testing.finished, {"namespace": {"known": false}})
	count(check.deny) == 0 with input as facts
	testing.ids(check.deny) == {"keyless"} with input as facts
		with data.settings.requireAuthentication.unknownNamespaces as true
	count(check.deny) == 0 with input as testing.finished
		with data.settings.requireAuthentication.unknownNamespaces as true
}

test_definition_that_authenticates if {
	facts := object.union(testing.with_definition({"keyless": false}), {"namespace": demanding.namespace})
	count(check.deny) == 0 with input as facts
}

test_keyless_waived if {
	count(check.deny) == 0 with input as demanding with data.settings.grants as [{"id": "g", "guards": ["keyless"]}]
	count(check.deny) == 0 with input as demanding
		with data.settings.grants as [{"id": "g", "guards": ["keyless"], "hosts": ["cafe.example.com"]}]
	count(check.deny) == 1 with input as demanding
		with data.settings.grants as [{"id": "g", "guards": ["keyless"], "hosts": ["other.example.com"]}]
	count(check.deny) == 1 with input as demanding
		with data.settings.grants as [{"id": "g", "guards": ["upstream-tls"]}]
}

test_one_keyless_definition_among_others if {
	safe := object.union(testing.finished.definitions[0], {"keyless": false})
	facts := object.union(demanding, {"definitions": [safe, testing.finished.definitions[0]]})
	testing.ids(check.deny) == {"keyless"} with input as facts
}
