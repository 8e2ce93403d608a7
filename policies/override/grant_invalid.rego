package cuegate.override

import data.cuegate.grant as grants
import data.cuegate.guard

# METADATA
# title: Grant with an unknown key
# description: A grant that cannot be read gives nothing; an object that is refused hears of it.
# custom:
#   id: grant-invalid
# labels:
#   id: grant-invalid
warn contains warning if {
	is_refused
	some grant in data.settings.grants
	rest := object.remove(grant, grants.keys)
	rest != {}
	warning := {
		"id": "grant-invalid",
		"msg": sprintf("Grant %q has unknown keys, so it gives nothing: %s.", [
			object.get(grant, "id", ""),
			concat(", ", sort(object.keys(rest))),
		]),
		"fix": "Ask the platform team to mend the grant.",
	}
}

is_refused if deny != set()

is_refused if guard.deny != set()
