package cuegate.mesh

# METADATA
# title: Unknown port of the app
# description: The sidecar must know where the app listens, and nothing says so, or too much does.
# custom:
#   id: app-port-unknown
# labels:
#   id: app-port-unknown
deny contains reason if {
	asked
	input.workload.port == 0
	reason := {
		"id": "app-port-unknown",
		"msg": sprintf("The port of the app is not known: %s.", [input.workload.portProblem]),
		"field": "spec.template.spec.containers",
		"fix": "Annotate the pod template with injector.tyk.io/port: a number, or the name of a container's port.",
	}
}
