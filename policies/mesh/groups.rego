package cuegate.mesh

# METADATA
# title: Groups that may call the workload
# description: |
#   Those that its author lists, or else settings.mesh.callers. A name without a
#   namespace is that of a group in the workload's own namespace.
# scope: document
callers := sort(input.workload.callers) if {
	input.workload.callers
} else := sort({whole(name) | some name in data.settings.mesh.callers})

whole(name) := name if contains(name, "/")

whole(name) := concat("/", [input.object.namespace, name]) if not contains(name, "/")

# METADATA
# title: Callers that nobody checks
# description: |
#   The author says who may call, and sidecars show no certificates: everyone could.
# custom:
#   id: callers-unchecked
# labels:
#   id: callers-unchecked
deny contains reason if {
	asked
	input.workload.callers
	data.settings.mesh.tls != "mtls"
	reason := {
		"id": "callers-unchecked",
		"msg": sprintf("Annotation injector.tyk.io/caller-access-groups limits who may call, and the mesh runs with TLS mode %q, in which callers cannot be told apart.", [data.settings.mesh.tls]),
		"field": "spec.template.metadata.annotations[injector.tyk.io/caller-access-groups]",
		"fix": "Remove the annotation, or ask the platform team for settings.mesh.tls: mtls.",
	}
}
