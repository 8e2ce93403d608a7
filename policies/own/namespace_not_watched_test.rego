package cuegate.own_test

import data.cuegate.own
import data.cuegate.testing

test_every_namespace_is_watched_by_default if {
	count(own.ignore) == 0 with input as testing.facts
}

test_namespace_in_the_list if {
	count(own.ignore) == 0 with input as testing.facts with data.settings.watch.namespaces as ["bar", "cafe"]
	count(own.ignore) == 0 with input as testing.facts with data.settings.watch.namespaces as ["ca*"]
}

test_namespace_not_in_the_list if {
	testing.ids(own.ignore) == {"namespace-not-watched"} with input as testing.facts
		with data.settings.watch.namespaces as ["bar", "caf", "b*"]
}

test_namespace_labels if {
	wanted := {"kubernetes.io/metadata.name": "cafe"}
	count(own.ignore) == 0 with input as testing.facts with data.settings.watch.namespaceLabels as wanted
}

test_namespace_lacks_a_label if {
	wanted := {"kubernetes.io/metadata.name": "cafe", "stage": "prod"}
	some reason in own.ignore with input as testing.facts with data.settings.watch.namespaceLabels as wanted
	reason.id == "namespace-not-watched"
	contains(reason.msg, "stage=prod")
}

test_broken_watch_list_watches_nothing if {
	testing.ids(own.ignore) == {"namespace-not-watched"} with input as testing.facts with data.settings.watch.namespaces as "cafe"
	testing.ids(own.ignore) == {"namespace-not-watched"} with input as testing.facts with data.settings.watch.namespaceLabels as ["a"]
}
