package cuegate.mesh_test

import data.cuegate.mesh

test_unknown_port if {
	facts := with_workload({"port": 0, "portProblem": "no container names a TCP port"})
	some reason in mesh.deny with input as facts
	reason.id == "app-port-unknown"
	contains(reason.msg, "no container names a TCP port.")
	count(mesh.deny) == 1 with input as facts
}

test_known_port if count(mesh.deny) == 0 with input as workload
