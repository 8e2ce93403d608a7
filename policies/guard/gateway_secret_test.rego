package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

header(value) := testing.with_override("k", value, ["version_data.versions.*.global_headers.*"])

test_reference_to_a_secret if {
	every value in [
		`{"X-Leak": "$secret_env.TYK_GW_SECRET"}`,
		"vault://secret/data/tyk.password",
		"env://TYK_GW_SECRET",
		"$kv{env:TOKEN}",
	] {
		testing.ids(guard.deny) == {"gateway-secret"} with input as header(value)
	}
}

test_the_secret_itself_is_not_told if {
	some reason in guard.deny with input as header("$secret_env.TYK_GW_SECRET")
	not contains(reason.msg, "TYK_GW_SECRET")
}

test_other_values if {
	every value in ["true", "", "{", "http://tea-svc.cafe:80", "$tyk_context.request_id"] {
		count(guard.deny) == 0 with input as header(value)
	}
}

test_annotation_that_is_no_override if {
	facts := testing.with_facts({"object": {"annotations": {"note": "$secret_env.X"}}})
	count(guard.deny) == 0 with input as facts
}

test_gateway_secret_waived if {
	grants := [{"id": "g", "guards": ["gateway-secret"], "namespaces": ["cafe"]}]
	count(guard.deny) == 0 with input as header("$secret_env.X") with data.settings.grants as grants
	narrow := [{"id": "g", "guards": ["gateway-secret"], "hosts": ["other.example.com"]}]
	count(guard.deny) == 1 with input as header("$secret_env.X") with data.settings.grants as narrow
}

test_references_are_a_setting if {
	count(guard.deny) == 1 with input as header("aws://x") with data.settings.secretReferences as ["aws://"]
}
