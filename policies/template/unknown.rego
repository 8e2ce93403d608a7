package cuegate.template

# METADATA
# title: No such template
# description: The winning candidate names a template that the bundle does not hold.
# custom:
#   id: template-unknown
# labels:
#   id: template-unknown
deny contains reason if {
	not input.workload
	not chosen
	not tied
	some winner in winners
	reason := object.union(
		{
			"id": "template-unknown",
			"msg": sprintf("%s There is no such template.", [winner.msg]),
			"fix": sprintf("Use one of these: %s.", [concat(", ", suggestions(winner.template))]),
			"rule": winner.id,
		},
		fields({f | f := winner.field}),
	)
}

# The known names that are nearly the name, or else all.
suggestions(name) := near if {
	near := [known | some known in input.templates; is_near(plain(known), plain(name))]
	count(near) > 0
} else := input.templates

plain(name) := replace(replace(replace(lower(name), "-", ""), "_", ""), ".", "")

is_near(known, name) if {
	name != ""
	contains(known, name)
}

is_near(known, name) if {
	known != ""
	contains(name, known)
}

# The same letters in another order: the usual slip of a keyboard.
is_near(known, name) if sort(split(known, "")) == sort(split(name, ""))
