package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_object_has_the_labels if {
	count(own.ignore) == 0 with input as testing.facts with data.settings.watch.labels as {"team": "cafe"}
}

test_object_lacks_a_label if {
	testing.ids(own.ignore) == {"labels-not-watched"} with input as testing.facts
		with data.settings.watch.labels as {"team": "bar"}
	testing.ids(own.ignore) == {"labels-not-watched"} with input as testing.facts
		with data.settings.watch.labels as {"team": "cafe", "stage": "prod"}
}
