package cuegate.template

# A workload has two definitions, each with a template of its own. A candidate may
# name the `role` that it is for.

roles := {"inbound", "mesh"}

# METADATA
# title: The default templates of a workload
# description: settings.mesh.templates, for workloads that nothing else gives a template.
# custom:
#   id: template-default
# labels:
#   id: template-default
candidates contains candidate if {
	input.workload
	some role in roles
	candidate := {
		"template": data.settings.mesh.templates[role],
		"weight": 100,
		"id": "template-default",
		"msg": sprintf("The settings name the default template for %s.", [role]),
		"role": role,
	}
}

# METADATA
# title: The object asks for a template of one definition
# custom:
#   id: template-annotation
# labels:
#   id: template-annotation
candidates contains candidate if {
	input.workload
	some role in roles
	key := sprintf("cuegate.dev/%s-template", [role])
	candidate := {
		"template": input.object.annotations[key],
		"weight": 500,
		"id": "template-annotation",
		"msg": sprintf("Annotation %s asks for template %q.", [key, input.object.annotations[key]]),
		"field": sprintf("metadata.annotations[%s]", [key]),
		"role": role,
	}
}

fits(candidate, role) if candidate.role == role

fits(candidate, _) if not candidate.role

first_for[role] := best if {
	input.workload
	some role in roles
	best := max([[candidate.weight, candidate.template] | some candidate in candidates; fits(candidate, role)])
}

winners_for[role] contains candidate if {
	some role, best in first_for
	some candidate in candidates
	fits(candidate, role)
	candidate.weight == best[0]
}

tied_for contains role if {
	some role, best in first_for
	some winner in winners_for[role]
	winner.template != best[1]
}

# METADATA
# title: Chosen templates of a workload
# description: By role; undefined where the candidates choose no known template.
# scope: document
chosen_for[role] := best[1] if {
	some role, best in first_for
	best[1] in input.templates
	not role in tied_for
}

# METADATA
# title: Two templates for one definition
# custom:
#   id: template-tie
# labels:
#   id: template-tie
deny contains reason if {
	some role in tied_for
	asked := {sprintf("%q (rule %s)", [winner.template, winner.id]) | some winner in winners_for[role]}
	reason := object.union(
		{
			"id": "template-tie",
			"msg": sprintf("Different templates for %s are asked for with the same weight: %s.", [role, concat(", ", sort(asked))]),
			"fix": "Leave one of them.",
		},
		fields({winner.field | some winner in winners_for[role]}),
	)
}

# METADATA
# title: No such template for a definition
# custom:
#   id: template-unknown
# labels:
#   id: template-unknown
deny contains reason if {
	some role, best in first_for
	not role in tied_for
	not best[1] in input.templates
	some winner in winners_for[role]
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
