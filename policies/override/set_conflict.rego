package cuegate.override

# METADATA
# title: Two values for one path
# description: Policy sets a path to two different values, so neither is meant.
# custom:
#   id: set-conflict
# labels:
#   id: set-conflict
deny contains reason if {
	count(set) > 1
	some one in set
	some other in set
	one.path == other.path
	one.value < other.value
	reason := {
		"id": "set-conflict",
		"msg": sprintf("Rules %s and %s set %s to different values.", [one.id, other.id, one.path]),
		"fix": "Ask the platform team to mend the rules.",
	}
}
