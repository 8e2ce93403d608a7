package cuegate.check_test

import data.cuegate.check
import data.cuegate.testing

insecure := testing.with_definition({"insecureUpstream": true})

test_insecure_upstream if {
	testing.ids(check.deny) == {"upstream-tls"} with input as insecure
}

test_verified_upstream if {
	count(check.deny) == 0 with input as testing.finished
}

test_insecure_upstream_waived if {
	grants := [{"id": "g", "namespaceLabels": {"kubernetes.io/metadata.name": "cafe"}, "guards": ["upstream-tls"]}]
	count(check.deny) == 0 with input as insecure with data.settings.grants as grants
	count(check.deny) == 1 with input as insecure with data.settings.grants as [{"id": "g", "labels": {"a": "b"}, "guards": ["upstream-tls"]}]
}
