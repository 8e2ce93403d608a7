package cuegate_test

import data.cuegate
import data.cuegate.check
import data.cuegate.guard
import data.cuegate.override
import data.cuegate.own
import data.cuegate.template
import data.cuegate.testing

test_manage if {
	cuegate.decision == {
		"outcome": "manage",
		"template": "default",
		"overrides": {"allowed": [], "denied": []},
		"set": [],
		"reasons": [],
		"warnings": [],
	} with input as testing.facts
}

test_manage_with_overrides_and_warnings if {
	facts := object.union(
		testing.with_override("bool.service.tyk.io/use-keyless", "false", ["use_keyless"]),
		{"class": {"annotation": "tyk", "name": "nginx"}},
	)
	decision := cuegate.decision with input as facts
	decision.outcome == "manage"
	decision.overrides == {"allowed": ["bool.service.tyk.io/use-keyless"], "denied": []}
	testing.ids(decision.warnings) == {"class-annotation-wins"}
}

test_ignore if {
	class := {"annotation": "nginx", "name": "tyk", "known": false}
	facts := object.union(testing.with_class(class), {"overrides": [{"key": "k", "paths": ["domain"]}]})
	decision := cuegate.decision with input as facts
	object.keys(decision) == {"outcome", "overrides", "set", "reasons", "warnings"}
	decision.outcome == "ignore"
	decision.overrides == {"allowed": [], "denied": []}
	testing.ids(decision.reasons) == {"class-not-found"}
	testing.ids(decision.warnings) == {"class-annotation-wins"}
}

test_ignore_what_is_not_watched if {
	decision := cuegate.decision with input as testing.facts
		with data.settings.watch.namespaces as ["bar"]
		with data.settings.watch.labels as {"a": "b"}
	decision.outcome == "ignore"
	testing.ids(decision.reasons) == {"namespace-not-watched", "labels-not-watched"}
}

test_refuse_with_all_reasons if {
	route := {"backend": {"serviceType": "ExternalName"}, "claims": [testing.claim({})]}
	facts := object.union(
		testing.with_route(route),
		{
			"overrides": [{"key": "a", "paths": ["domain"]}, {"key": "b", "paths": ["use_keyless"]}],
			"templateAnnotations": [{"key": "template.service.tyk.io", "value": "nope"}],
		},
	)
	decision := cuegate.decision with input as facts
	object.keys(decision) == {"outcome", "overrides", "set", "reasons", "warnings"}
	decision.outcome == "refuse"
	decision.overrides == {"allowed": ["b"], "denied": ["a"]}
	testing.ids(decision.reasons) == {"external-name", "host-claimed", "override-denied", "template-unknown"}
	decision.reasons == sort(decision.reasons)
}

test_values_that_policy_sets if {
	entries := {
		{"path": "use_keyless", "value": false, "id": "no-keyless", "msg": "Namespace cafe authenticates."},
		{"path": "global_rate_limit.rate", "value": 100, "id": "limit", "msg": "Every API is limited."},
	}
	decision := cuegate.decision with input as testing.facts with override.set as entries
	decision.outcome == "manage"
	decision.set == sort(entries)
}

test_rules_of_operators if {
	reason := {"id": "friday", "msg": "Nothing is changed on Fridays."}
	by_guard := cuegate.decision with input as testing.facts with guard.deny as {reason}
	by_template := cuegate.decision with input as testing.facts with template.deny as {reason}
	by_override := cuegate.decision with input as testing.facts with override.deny as {reason}
	every refused in [by_guard, by_template, by_override] {
		refused.outcome == "refuse"
		refused.reasons == [reason]
	}
	warned := cuegate.decision with input as testing.facts with data.cuegate.guard.warn as {reason}
	warned.outcome == "manage"
	warned.warnings == [reason]
	ignored := cuegate.decision with input as testing.facts with own.ignore as {reason}
	ignored.outcome == "ignore"
	ignored.reasons == [reason]
}

undecided(answer) if {
	answer.outcome == "refuse"
	testing.ids(answer.reasons) == {"policy-undecided"}
	object.keys(answer) == {"outcome", "overrides", "set", "reasons", "warnings"}
}

test_undecided_is_refused if {
	undecided(cuegate.decision) with input as {}
	undecided(cuegate.decision) with input as object.remove(testing.facts, ["class"])
	undecided(cuegate.decision) with input as object.remove(testing.facts, ["templates"])
	undecided(cuegate.decision) with input as testing.facts with data.settings as {}
	undecided(cuegate.decision) with input as testing.facts with template.candidates as set()
	undecided(cuegate.decision) with input as testing.facts with data.cuegate.guard as {}
	undecided(cuegate.decision) with input as testing.facts with data.cuegate.override as {}
}

test_verdict if {
	cuegate.verdict == {"reasons": [], "warnings": []} with input as testing.finished
}

test_verdict_with_reasons if {
	facts := testing.with_definition({"insecureUpstream": true, "targets": [testing.target({"overridden": true, "kind": "loopback"})]})
	verdict := cuegate.verdict with input as facts
	testing.ids(verdict.reasons) == {"upstream-tls", "target-loopback"}
	verdict.warnings == []
}

test_verdict_with_rules_of_operators if {
	reason := {"id": "own", "msg": "A rule of ours."}
	verdict := cuegate.verdict with input as testing.finished with check.deny as {reason} with data.cuegate.check.warn as {reason}
	verdict == {"reasons": [reason], "warnings": [reason]}
}

test_verdict_without_definitions_is_refused if {
	verdict := cuegate.verdict with input as testing.facts
	testing.ids(verdict.reasons) == {"policy-undecided"}
	other := cuegate.verdict with input as testing.finished with data.cuegate.check as {}
	testing.ids(other.reasons) == {"policy-undecided"}
}
