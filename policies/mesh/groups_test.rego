package cuegate.mesh_test

import data.cuegate.mesh
import data.cuegate.testing

test_callers_of_the_settings if {
	mesh.callers == ["cafe/default"] with input as workload
	mesh.callers == ["bar/ops", "cafe/default"] with input as workload with data.settings.mesh.callers as ["default", "bar/ops", "cafe/default"]
	mesh.callers == [] with input as workload with data.settings.mesh.callers as []
}

test_callers_of_the_author if {
	facts := with_workload({"callers": ["cafe/front", "bar/ops"]})
	mesh.callers == ["bar/ops", "cafe/front"] with input as facts with data.settings.mesh.tls as "mtls"
	count(mesh.deny) == 0 with input as facts with data.settings.mesh.tls as "mtls"
}

test_callers_that_nobody_checks if {
	facts := with_workload({"callers": ["cafe/front"]})
	every mode in ["off", "tls"] {
		testing.ids(mesh.deny) == {"callers-unchecked"} with input as facts with data.settings.mesh.tls as mode
	}
	count(mesh.deny) == 0 with input as workload with data.settings.mesh.tls as "off"
}
