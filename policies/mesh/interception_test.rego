package cuegate.mesh_test

import data.cuegate.mesh
import data.cuegate.testing

test_interception_of_the_settings if {
	mesh.interception == "none" with input as workload
	mesh.interception == "iptables" with input as workload with data.settings.mesh.interception as "iptables"
}

test_interception_of_the_author if {
	facts := with_workload({"interception": "iptables"})
	mesh.interception == "iptables" with input as facts
	count(mesh.deny) == 0 with input as facts
}

test_interception_that_is_not_allowed if {
	facts := with_workload({"interception": "iptables"})
	some reason in mesh.deny with input as facts with data.settings.mesh.interceptions as ["none"]
	reason.id == "interception-denied"
	contains(reason.msg, `"iptables"; allowed is none.`)
	testing.ids(mesh.deny) == {"interception-denied"} with input as with_workload({"interception": "ebpf"})
}

# What the platform team has chosen for all needs no permission.
test_interception_of_the_settings_is_allowed if {
	count(mesh.deny) == 0 with input as workload with data.settings.mesh.interception as "iptables" with data.settings.mesh.interceptions as []
}
