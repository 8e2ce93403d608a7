package cuegate.mesh_test

import data.cuegate.mesh

test_part if {
	mesh.part == {
		"interception": "none",
		"tls": "off",
		"port": 8080,
		"otherPort": 18080,
		"host": "mesh",
		"group": "cafe/default",
		"callers": ["cafe/default"],
	} with input as workload
}

test_part_of_the_settings if {
	part := mesh.part with input as with_workload({"group": "front"})
		with data.settings.mesh.tls as "mtls"
		with data.settings.mesh.port as 9443
		with data.settings.mesh.host as "mesh.internal"
	part.tls == "mtls"
	part.port == 9443
	part.host == "mesh.internal"
	part.group == "cafe/front"
}

test_decision_holds_the_part if {
	decision := data.cuegate.decision with input as workload
	part := mesh.part with input as workload
	decision.mesh == part
}
