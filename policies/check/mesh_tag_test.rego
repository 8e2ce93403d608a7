package cuegate.check_test

import data.cuegate.check
import data.cuegate.testing

test_mesh_tag_on_an_ingress if {
	some tag in ["mesh", "mesh.shop.front"]
	"mesh-tag" in testing.ids(check.deny) with input as testing.with_definition({"api": {"tags": ["ingress", tag]}})
}

test_other_tags if {
	every tag in ["ingress", "meshed", "edge.mesh"] {
		not "mesh-tag" in testing.ids(check.deny) with input as testing.with_definition({"api": {"tags": [tag]}})
	}
}

test_mesh_tag_of_a_workload if {
	not "mesh-tag" in testing.ids(check.deny) with input as testing.with_definition({"role": "mesh", "api": {"tags": ["mesh"]}})
}
