package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

controller := "cuegate.dev/ingress-controller"

test_annotation_by_name_in_any_case if {
	every annotation in ["tyk", "Tyk", "TYK"] {
		own.ours({"annotation": annotation, "known": false}) with input as testing.facts
	}
}

test_annotation_of_a_class_of_ours if {
	own.ours({"annotation": "edge", "known": true, "controller": controller}) with input as testing.facts
}

test_annotation_has_precedence if {
	not own.ours({"annotation": "nginx", "name": "tyk", "known": false}) with input as testing.facts
	own.ours({"annotation": "tyk", "name": "nginx", "known": false}) with input as testing.facts
}

test_empty_annotation_is_a_foreign_class if {
	facts := object.union(
		testing.with_class({"annotation": "", "known": false}),
		{"defaultClasses": [{"name": "tyk", "controller": controller}]},
	)
	not own.mine with input as facts
	testing.ids(own.ignore) == {"class-not-found"} with input as facts
}

test_field_of_a_class_of_ours if {
	own.ours({"name": "edge", "known": true, "controller": controller}) with input as testing.facts
}

test_field_by_name_only_where_the_class_is_not_known if {
	own.ours({"name": "tyk", "known": false}) with input as testing.facts
	not own.ours({"name": "TYK", "known": false}) with input as testing.facts
	not own.ours({"name": "tyk", "known": true, "controller": "other.example/c"}) with input as testing.facts
	not own.ours({"name": "tyk", "known": true}) with input as testing.facts
}

test_one_default_class if {
	facts := object.union(
		testing.with_class({"known": false}),
		{"defaultClasses": [{"name": "edge", "controller": controller}]},
	)
	own.mine with input as facts
	count(own.ignore) == 0 with input as facts
	not own.ours({"name": "nginx", "known": false}) with input as facts
}

test_classes_and_controller_are_settings if {
	own.ours({"annotation": "edge", "known": false}) with input as testing.facts with data.settings.classes as ["Edge"]
	not own.ours({"annotation": "tyk", "known": false}) with input as testing.facts with data.settings.classes as []
	not own.mine with input as testing.facts with data.settings.controller as "example.com/other"
}
