package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

external := testing.with_route({"backend": {"serviceType": "ExternalName", "externalName": "db.example.net"}})

test_external_name if {
	some reason in guard.deny with input as external
	reason.id == "external-name"
	reason.field == "spec.rules[0].http.paths[0].backend"
	contains(reason.msg, `"tea-svc"`)
	contains(reason.msg, `"db.example.net"`)
}

test_external_name_of_the_default_backend if {
	route := {"pathType": "Default", "field": "spec.defaultBackend", "backend": {"serviceType": "ExternalName"}}
	some reason in guard.deny with input as testing.with_route(route)
	reason.field == "spec.defaultBackend"
}

test_other_types_of_service if {
	every type in ["ClusterIP", "NodePort", "LoadBalancer", ""] {
		count(guard.deny) == 0 with input as testing.with_route({"backend": {"serviceType": type}})
	}
}

test_external_name_waived if {
	grants := [{"id": "g", "namespaces": ["cafe"], "guards": ["external-name"]}]
	count(guard.deny) == 0 with input as external with data.settings.grants as grants
	other := [{"id": "g", "namespaces": ["bar"], "guards": ["external-name"]}]
	count(guard.deny) == 1 with input as external with data.settings.grants as other
}
