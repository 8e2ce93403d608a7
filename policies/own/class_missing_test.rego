package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_no_class if {
	some reason in own.ignore with input as testing.with_class({"known": false})
	reason.id == "class-missing"
	contains(reason.fix, "spec.ingressClassName")
	count(own.ignore) == 1 with input as testing.with_class({"known": false})
}

test_class_is_not_missing_where_one_is_named if {
	count(own.ignore) == 0 with input as testing.facts
	count(own.ignore) == 0 with input as testing.with_class({"annotation": "tyk", "known": false})
}
