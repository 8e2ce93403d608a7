# METADATA
# title: The mesh
# description: |
#   A workload becomes part of the mesh when its author asks for it, and only where
#   the watch lists and the platform team let it. The rules of override, guard,
#   template and check hold for workloads as they do for Ingresses.
package cuegate.mesh

import data.cuegate.match
import data.cuegate.own

# METADATA
# title: The author asks for a sidecar
# scope: document
asked if lower(wish) in {"y", "yes", "true", "on"}

wish := input.workload.inject

wish := input.service.inject

# METADATA
# title: Nobody asked
# description: The annotation injector.tyk.io/inject is absent, or says no.
# custom:
#   id: not-asked
# labels:
#   id: not-asked
ignore contains reason if {
	input.workload
	not wish
	reason := {
		"id": "not-asked",
		"msg": "The workload does not ask for a sidecar.",
		"field": inject_field,
		"fix": sprintf("To make it part of the mesh, annotate its pod template with %s: \"true\".", [inject]),
	}
}

ignore contains reason if {
	input.service
	not wish
	reason := {
		"id": "not-asked",
		"msg": "The Service does not ask for its ports to lead to sidecars.",
		"field": inject_field,
	}
}

ignore contains reason if {
	lower(wish) in {"n", "no", "false", "off", ""}
	reason := {
		"id": "not-asked",
		"msg": sprintf("Annotation %s says no.", [inject]),
		"field": inject_field,
	}
}

# METADATA
# title: Unclear wish
# description: The value of injector.tyk.io/inject is neither a yes nor a no.
# custom:
#   id: inject-unclear
# labels:
#   id: inject-unclear
deny contains reason if {
	value := lower(wish)
	not value in {"y", "yes", "true", "on", "n", "no", "false", "off", ""}
	reason := {
		"id": "inject-unclear",
		"msg": sprintf("Annotation %s is neither a yes nor a no.", [inject]),
		"field": inject_field,
		"fix": "Write \"true\" or \"false\".",
	}
}

# METADATA
# title: The namespace is not in the watch list
# description: settings.watch.namespaces names other namespaces only.
# custom:
#   id: namespace-not-watched
# labels:
#   id: namespace-not-watched
ignore contains reason if {
	asked
	not own.namespace_watched(input.object.namespace)
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
	asked
	not own.namespace_labels_watched(input.namespace.labels)
	reason := {
		"id": "namespace-not-watched",
		"msg": sprintf("Namespace %q does not carry the labels of the namespaces that Cuegate watches: %s.", [
			input.object.namespace,
			own.label_list(data.settings.watch.namespaceLabels),
		]),
		"field": "metadata.namespace",
		"fix": "Ask the platform team to label the namespace.",
	}
}

# METADATA
# title: The object lacks a label
# description: The object lacks a label of settings.watch.labels.
# custom:
#   id: labels-not-watched
# labels:
#   id: labels-not-watched
ignore contains reason if {
	asked
	not own.labels_watched(input.object.labels)
	reason := {
		"id": "labels-not-watched",
		"msg": sprintf("The object does not carry the labels of the objects that Cuegate watches: %s.", [own.label_list(data.settings.watch.labels)]),
		"field": "metadata.labels",
		"fix": "Add the labels to the object.",
	}
}

# METADATA
# title: A namespace without sidecars
# description: settings.mesh.excludedNamespaces names the namespace.
# custom:
#   id: namespace-excluded
# labels:
#   id: namespace-excluded
ignore contains reason if {
	asked
	match.name(data.settings.mesh.excludedNamespaces, input.object.namespace)
	reason := {
		"id": "namespace-excluded",
		"msg": sprintf("Namespace %q has no part in the mesh.", [input.object.namespace]),
		"field": "metadata.namespace",
		"fix": "Move the object to another namespace.",
	}
}

# METADATA
# title: A namespace that wants no sidecars
# description: The namespace carries the label cuegate.dev/mesh with the value disabled.
# custom:
#   id: namespace-opted-out
# labels:
#   id: namespace-opted-out
ignore contains reason if {
	asked
	input.namespace.labels["cuegate.dev/mesh"] == "disabled"
	reason := {
		"id": "namespace-opted-out",
		"msg": sprintf("Label cuegate.dev/mesh of namespace %q says that it has no part in the mesh.", [input.object.namespace]),
		"field": "metadata.namespace",
		"fix": "Ask whoever owns the namespace to remove the label.",
	}
}

inject := "injector.tyk.io/inject"

inject_field := sprintf("metadata.annotations[%s]", [inject]) if {
	input.service
} else := sprintf("spec.template.metadata.annotations[%s]", [inject])
