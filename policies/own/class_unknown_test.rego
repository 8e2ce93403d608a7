package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_name_alone_decided if {
	testing.ids(own.warn) == {"class-unknown"} with input as testing.with_class({"name": "tyk", "known": false})
}

test_no_warning_where_the_class_is_known if {
	count(own.warn) == 0 with input as testing.facts
}

test_no_warning_for_the_annotation if {
	count(own.warn) == 0 with input as testing.with_class({"annotation": "tyk", "name": "tyk", "known": false})
}
