# METADATA
# title: Cuegate
# description: |
#   Composes what the packages below say into the two answers the engine asks
#   for. No rule stands here: own says whose an Ingress is, mesh whether a workload
#   is part of the mesh, template which template an object gets, override which
#   annotations may be applied, guard what no object may do, check what no finished
#   definition may be.
package cuegate

import data.cuegate.check
import data.cuegate.guard
import data.cuegate.mesh
import data.cuegate.override
import data.cuegate.own
import data.cuegate.template

# METADATA
# title: Decision
# description: |
#   What becomes of one object. Ownership comes first: the reasons of an object
#   that is not ours are the only ones it hears. A set of reasons that is
#   undefined is no permission: the last branch refuses.
# scope: document
# custom:
#   id: policy-undecided
decision := {
	"outcome": "manage",
	"template": template.chosen,
	"overrides": overrides,
	"set": sort(override.set),
	"reasons": [],
	"warnings": sort(warnings),
} if {
	own.mine
	own.ignore == set()
	template.deny == set()
	override.deny == set()
	guard.deny == set()
} else := {
	"outcome": "ignore",
	"overrides": {"allowed": [], "denied": []},
	"set": [],
	"reasons": sort(own.ignore),
	"warnings": sort(own.warn),
} if {
	own.ignore != set()
} else := {
	"outcome": "manage",
	"templates": template.chosen_for,
	"mesh": mesh.part,
	"overrides": overrides,
	"set": sort(override.set),
	"reasons": [],
	"warnings": sort(warnings | {warning | some warning in mesh.warn}),
} if {
	mesh.asked
	mesh.ignore == set()
	mesh.deny == set()
	count(template.chosen_for) == 2
	template.deny == set()
	override.deny == set()
	guard.deny == set()
} else := {
	"outcome": "manage",
	"rewrite": mesh.rewrite,
	"overrides": overrides,
	"set": [],
	"reasons": [],
	"warnings": [],
} if {
	mesh.asked
	input.service
	mesh.ignore == set()
	mesh.deny == set()
	guard.deny == set()
} else := {
	"outcome": "ignore",
	"overrides": {"allowed": [], "denied": []},
	"set": [],
	"reasons": sort(mesh.ignore),
	"warnings": [],
} if {
	mesh.ignore != set()
} else := {
	"outcome": "refuse",
	"overrides": overrides,
	"set": [],
	"reasons": sort(refusals | mesh.deny),
	"warnings": sort(warnings),
} if {
	not input.class
	refusals | mesh.deny != set()
} else := {
	"outcome": "refuse",
	"overrides": overrides,
	"set": [],
	"reasons": sort(refusals),
	"warnings": sort(warnings),
} if {
	own.mine
	refusals != set()
} else := {
	"outcome": "refuse",
	"overrides": {"allowed": [], "denied": []},
	"set": [],
	"reasons": [{
		"id": "policy-undecided",
		"msg": "The rules came to no decision about this object, so it is refused.",
		"fix": "Ask the platform team to check the policies and settings of the bundle.",
	}],
	"warnings": [],
}

# METADATA
# title: Verdict
# description: What speaks against the finished definitions of an object.
# scope: document
# custom:
#   id: policy-undecided
verdict := {
	"reasons": sort(check.deny),
	"warnings": [warning | some warning in check.warn],
} if {
	is_array(input.definitions)
} else := {
	"reasons": [{
		"id": "policy-undecided",
		"msg": "The rules came to no verdict about the definitions of this object, so it is refused.",
		"fix": "Ask the platform team to check the policies and settings of the bundle.",
	}],
	"warnings": [],
}

refusals := (template.deny | override.deny) | guard.deny

# No rule of ours warns in override, guard and check; rules of operators may.
warnings := ((own.warn | template.warn) | {warning | some warning in override.warn}) | {warning | some warning in guard.warn}

overrides := {"allowed": [], "denied": []} if {
	input.overrides == []
} else := {
	"allowed": sort(override.allowed),
	"denied": sort(override.denied),
}
