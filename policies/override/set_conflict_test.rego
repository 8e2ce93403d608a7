package cuegate.override_test

import data.cuegate.override
import data.cuegate.testing

test_two_values_for_one_path if {
	other := object.union(limit, {"value": 50, "id": "other"})
	override.deny == {{
		"id": "set-conflict",
		"msg": "Rules other and limit set global_rate_limit.rate to different values.",
		"fix": "Ask the platform team to mend the rules.",
	}} with input as testing.facts with override.set as {limit, other}
}

test_values_of_different_types if {
	other := object.union(limit, {"value": "100", "id": "other"})
	testing.ids(override.deny) == {"set-conflict"} with input as testing.facts with override.set as {limit, other}
}

test_same_value_twice if {
	other := object.union(limit, {"id": "other"})
	count(override.deny) == 0 with input as testing.facts with override.set as {limit, other}
}

test_two_paths if {
	other := object.union(limit, {"path": "global_rate_limit.per", "id": "other"})
	count(override.deny) == 0 with input as testing.facts with override.set as {limit, other}
}
