package cuegate.override_test

import data.cuegate.override
import data.cuegate.testing

limit := {"path": "global_rate_limit.rate", "value": 100, "id": "limit", "msg": "Every API is limited."}

test_nothing_is_set_by_default if {
	override.set == set() with input as testing.facts
}

test_settings_set if {
	override.set == {limit} with input as testing.facts with data.settings.set as [limit]
}
