package cuegate.check_test

import data.cuegate.check
import data.cuegate.testing

aimed(kind) := testing.with_definition({"targets": [
	testing.target({}),
	{"path": "proxy.target_url", "overridden": true, "scheme": "http", "host": "h", "port": "80", "kind": kind},
]})

aimed_at_service(service) := testing.with_definition({"targets": [testing.target({"overridden": true, "service": service})]})

ids_of_kinds := {
	"loopback": "target-loopback",
	"unspecified": "target-loopback",
	"linkLocal": "target-link-local",
	"metadata": "target-metadata",
	"kubernetesAPI": "target-kubernetes-api",
	"service": "target-other-namespace",
	"gateway": "target-gateway",
	"invalid": "target-invalid",
	"a kind of tomorrow": "target-invalid",
}

test_refused_kinds if {
	every kind, id in ids_of_kinds {
		testing.ids(check.deny) == {id} with input as aimed(kind)
	}
}

test_allowed_kinds if {
	every kind in ["private", "public", "name"] {
		count(check.deny) == 0 with input as aimed(kind)
	}
}

test_target_of_the_template if {
	every kind in object.keys(ids_of_kinds) {
		target := testing.target({"kind": kind, "service": {"name": "x", "namespace": "kube-system"}})
		count(check.deny) == 0 with input as testing.with_definition({"targets": [target]})
	}
}

test_service_of_the_namespace if {
	count(check.deny) == 0 with input as aimed_at_service({"name": "tea-svc", "namespace": "cafe"})
}

test_service_of_another_namespace if {
	some reason in check.deny with input as aimed_at_service({"name": "db", "namespace": "bar"})
	reason.id == "target-other-namespace"
	contains(reason.msg, "proxy.target_url")
	reason.field == "spec.rules[0].http.paths[0]"
}

test_bare_name_of_a_service if {
	testing.ids(check.deny) == {"target-other-namespace"} with input as aimed_at_service({"name": "tea-svc", "namespace": ""})
}

test_target_waived if {
	every kind, id in ids_of_kinds {
		count(check.deny) == 0 with input as aimed(kind) with data.settings.grants as [{"id": "g", "guards": [id]}]
		count(check.deny) == 1 with input as aimed(kind)
			with data.settings.grants as [{"id": "g", "guards": [id], "namespaces": ["bar"]}]
	}
}

test_grant_of_overrides_waives_no_target if {
	count(check.deny) == 1 with input as aimed("loopback") with data.settings.grants as [{"id": "g", "paths": ["proxy"]}]
}
