package cuegate.mesh

# METADATA
# title: Interception
# description: What the author asks for, or else settings.mesh.interception.
# scope: document
interception := input.workload.interception if {
	input.workload.interception
} else := data.settings.mesh.interception

# METADATA
# title: Interception that is not allowed
# description: settings.mesh.interceptions lists what authors may ask for.
# custom:
#   id: interception-denied
# labels:
#   id: interception-denied
deny contains reason if {
	asked
	asks := input.workload.interception
	not asks in data.settings.mesh.interceptions
	reason := {
		"id": "interception-denied",
		"msg": sprintf("Annotation injector.tyk.io/interception asks for %q; allowed is %s.", [asks, concat(" or ", data.settings.mesh.interceptions)]),
		"field": "spec.template.metadata.annotations[injector.tyk.io/interception]",
		"fix": "Correct the annotation, or remove it.",
	}
}
