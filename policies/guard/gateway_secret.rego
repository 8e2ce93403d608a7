package cuegate.guard

import data.cuegate.grant

# METADATA
# title: Secrets of the gateway
# description: |
#   The value of an override holds a reference that the gateway replaces by a
#   secret of its own: of its environment, its configuration, its files or its
#   vault. An author could have it sent to a Service of his own.
# custom:
#   id: gateway-secret
# labels:
#   id: gateway-secret
deny contains reason if {
	input.overrides[0]
	some override in input.overrides
	some text in override.strings
	some reference in data.settings.secretReferences
	contains(text, reference)
	not waived_for_all("gateway-secret")
	reason := {
		"id": "gateway-secret",
		"msg": sprintf("Annotation %s holds %q, with which the gateway reads its own secrets.", [override.key, reference]),
		"field": sprintf("metadata.annotations[%s]", [override.key]),
		"fix": "Remove the reference, or ask the platform team for a template that holds it, or for a grant.",
	}
}

# An annotation concerns every route.
waived_for_all(guard) if {
	every route in input.routes {
		grant.waives(guard, route.host)
	}
}
