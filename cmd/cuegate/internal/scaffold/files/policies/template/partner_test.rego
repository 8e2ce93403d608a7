package cuegate.template_test

import data.cuegate.template

test_partner_namespace if {
	some candidate in template.candidates with input.namespace.labels as {"example.com/tier": "partner"}
	candidate.template == "partner"
}

test_other_namespace if {
	every candidate in template.candidates {
		candidate.template != "partner"
	} with input.namespace.labels as {"example.com/tier": "internal"}
}
