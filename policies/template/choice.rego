# METADATA
# title: Template
# description: |
#   Rules propose candidates {template, weight, id, msg}; the heaviest wins.
#
#     400  annotation of the object
#     300  label cuegate.dev/template of the namespace
#     200  parameters of the IngressClass
#     100  settings.template
#
#   Different templates at the highest weight are a tie, and a tie or an unknown
#   name refuses the object. No other candidate takes the place of the winner.
package cuegate.template

# The highest weight, and one template of that weight.
first := max([[candidate.weight, candidate.template] | some candidate in candidates])

tied if {
	some candidate in candidates
	candidate.template != first[1]
	candidate.weight == first[0]
}

# METADATA
# title: Chosen template
# description: Undefined where the candidates choose no known template.
# scope: document
chosen := first[1] if {
	first[1] in input.templates
	not tied
}

winners contains candidate if {
	some candidate in candidates
	candidate.weight == first[0]
}
