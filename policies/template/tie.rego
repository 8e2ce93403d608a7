package cuegate.template

# METADATA
# title: Two templates
# description: Candidates of the highest weight name different templates.
# custom:
#   id: template-tie
# labels:
#   id: template-tie
deny contains reason if {
	not input.workload
	tied
	asked := {sprintf("%q (rule %s)", [winner.template, winner.id]) | some winner in winners}
	reason := object.union(
		{
			"id": "template-tie",
			"msg": sprintf("Different templates are asked for with the same weight: %s.", [concat(", ", sort(asked))]),
			"fix": "Leave one of them.",
		},
		fields({winner.field | some winner in winners}),
	)
}

# Candidates of operators may lack a field.
fields(names) := {"field": concat(", ", sort(names))} if count(names) > 0

else := {}
