package cuegate.guard_test

import data.cuegate.guard

on(host, labels) := {
	"namespace": {"name": "tea", "labels": labels},
	"routes": [{"host": host, "field": "spec.rules[0].http.paths[0]"}],
}

test_internal_host_elsewhere if {
	some labels in [{}, {"example.com/tier": "partner"}]
	some reason in guard.deny with input as on("stock.internal.example.com", labels)
	reason.id == "internal-host"
}

test_internal_host_at_home if {
	every reason in guard.deny {
		reason.id != "internal-host"
	} with input as on("stock.internal.example.com", {"example.com/tier": "internal"})
}

test_other_host if {
	every reason in guard.deny {
		reason.id != "internal-host"
	} with input as on("tea.example.com", {})
}
