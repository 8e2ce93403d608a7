package cuegate.own

# METADATA
# title: Two classes
# description: |
#   The annotation and the field name different classes. Kubernetes gives the
#   annotation precedence.
# custom:
#   id: class-annotation-wins
# labels:
#   id: class-annotation-wins
warn contains warning if {
	annotation := input.class.annotation
	lower(annotation) != lower(input.class.name)
	warning := {
		"id": "class-annotation-wins",
		"msg": sprintf("Annotation kubernetes.io/ingress.class says %q and spec.ingressClassName says %q; the annotation has precedence.", [annotation, input.class.name]),
		"field": "metadata.annotations[kubernetes.io/ingress.class]",
		"fix": "Remove the annotation, and let spec.ingressClassName name the class that is meant.",
	}
}
