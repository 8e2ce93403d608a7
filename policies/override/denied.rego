package cuegate.override

import data.cuegate.grant

# `input.overrides[0]` says that there are any: a condition that the rule index
# can see, so that most objects skip the rule.

# METADATA
# title: Denied override
# description: No grant covers a path that the annotation sets.
# custom:
#   id: override-denied
# labels:
#   id: override-denied
deny contains reason if {
	some [key, path] in uncovered
	path != ""
	reason := {
		"id": "override-denied",
		"msg": sprintf("Annotation %s sets %s, which is of risk class %s, and no grant covers it in namespace %q.", [
			key,
			path,
			risk(path),
			input.object.namespace,
		]),
		"field": sprintf("metadata.annotations[%s]", [key]),
		"fix": "Remove the annotation, or ask the platform team for a grant.",
	}
}

# METADATA
# title: Override without a path
# description: The annotation sets something for which the facts name no path, so nobody can judge it.
# custom:
#   id: override-denied
# labels:
#   id: override-denied
deny contains reason if {
	some [key, ""] in uncovered
	reason := {
		"id": "override-denied",
		"msg": sprintf("Annotation %s sets no field of the definition that could be judged.", [key]),
		"field": sprintf("metadata.annotations[%s]", [key]),
		"fix": "Remove the annotation, or name in it the field that is to be set.",
	}
}

uncovered contains [override.key, path] if {
	input.overrides[0]
	some override in input.overrides
	some path in override.paths
	not grant.overrides(path, risk(path))
}

uncovered contains [override.key, ""] if {
	input.overrides[0]
	some override in input.overrides
	override.paths == []
}

# METADATA
# title: Keys of denied overrides
# description: An operator's rule that denies one in its own way adds the key here too.
# scope: document
denied contains key if some [key, _] in uncovered

# METADATA
# title: Keys of allowed overrides
# scope: document
allowed := {override.key |
	some override in input.overrides
	not override.key in denied
}
