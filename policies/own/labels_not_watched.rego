package cuegate.own

import data.cuegate.match

# METADATA
# title: The object lacks a label
# description: The object lacks a label of settings.watch.labels.
# custom:
#   id: labels-not-watched
# labels:
#   id: labels-not-watched
ignore contains reason if {
	not labels_watched(input.object.labels)
	mine
	reason := {
		"id": "labels-not-watched",
		"msg": sprintf("The object does not carry the labels of the objects that Cuegate watches: %s.", [label_list(data.settings.watch.labels)]),
		"field": "metadata.labels",
		"fix": "Add the labels to the object.",
	}
}

labels_watched(labels) if match.labels(data.settings.watch.labels, labels)
