package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_two_classes if {
	class := {"annotation": "tyk", "name": "nginx", "known": false}
	testing.ids(own.warn) == {"class-annotation-wins"} with input as testing.with_class(class)
}

test_same_class_twice if {
	class := {"annotation": "Tyk", "name": "tyk", "known": false}
	count(own.warn) == 0 with input as testing.with_class(class)
}

test_annotation_alone if {
	count(own.warn) == 0 with input as testing.with_class({"annotation": "tyk", "known": false})
}
