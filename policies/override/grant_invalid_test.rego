package cuegate.override_test

import data.cuegate.override
import data.cuegate.testing

misspelt := [{"id": "g", "namespace": ["bar"], "classes": ["critical"]}]

test_misspelt_grant_gives_nothing_and_says_so if {
	override.denied == {"object.service.tyk.io/custom-middleware"} with input as middleware with data.settings.grants as misspelt
	some warning in override.warn with input as middleware with data.settings.grants as misspelt
	warning.id == "grant-invalid"
	contains(warning.msg, `Grant "g" has unknown keys, so it gives nothing: namespace.`)
}

test_misspelt_grant_warns_where_a_guard_refuses if {
	facts := testing.with_route({"backend": {"serviceType": "ExternalName"}})
	testing.ids(override.warn) == {"grant-invalid"} with input as facts with data.settings.grants as misspelt
}

test_good_grants_do_not_warn if {
	count(override.warn) == 0 with input as middleware
}

test_nothing_refused_nothing_said if {
	count(override.warn) == 0 with input as testing.facts with data.settings.grants as misspelt
}
