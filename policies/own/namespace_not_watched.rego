package cuegate.own

import data.cuegate.match

# METADATA
# title: The namespace is not in the watch list
# description: settings.watch.namespaces names other namespaces only; an empty list is all.
# custom:
#   id: namespace-not-watched
# labels:
#   id: namespace-not-watched
ignore contains reason if {
	not namespace_watched(input.object.namespace)
	mine
	reason := {
		"id": "namespace-not-watched",
		"msg": sprintf("Namespace %q is not among the namespaces that Cuegate watches.", [input.object.namespace]),
		"field": "metadata.namespace",
		"fix": "Move the object to a watched namespace, or ask the platform team to watch this one.",
	}
}

# METADATA
# title: The namespace lacks a label
# description: The namespace lacks a label of settings.watch.namespaceLabels.
# custom:
#   id: namespace-not-watched
# labels:
#   id: namespace-not-watched
ignore contains reason if {
	not namespace_labels_watched(input.namespace.labels)
	mine
	reason := {
		"id": "namespace-not-watched",
		"msg": sprintf("Namespace %q does not carry the labels of the namespaces that Cuegate watches: %s.", [
			input.object.namespace,
			label_list(data.settings.watch.namespaceLabels),
		]),
		"field": "metadata.namespace",
		"fix": "Ask the platform team to label the namespace.",
	}
}

namespace_watched(_) if data.settings.watch.namespaces == []

namespace_watched(name) if match.name(data.settings.watch.namespaces, name)

namespace_labels_watched(labels) if match.labels(data.settings.watch.namespaceLabels, labels)

label_list(labels) := concat(", ", sort([sprintf("%s=%s", [key, value]) | some key, value in labels]))
