package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

bucket := testing.with_route({"backend": {
	"kind": "resource",
	"name": "static",
	"port": 0,
	"serviceType": "",
	"resource": "example.com/Bucket",
}})

test_resource_backend if {
	some reason in guard.deny with input as bucket
	reason.id == "resource-backend"
	contains(reason.msg, `example.com/Bucket "static"`)
}

test_resource_backend_waived if {
	count(guard.deny) == 0 with input as bucket with data.settings.grants as [{"id": "g", "guards": ["resource-backend"]}]
}

test_service_backend if {
	count(guard.deny) == 0 with input as testing.facts
}
