package cuegate.mesh_test

import data.cuegate.mesh
import data.cuegate.testing

test_network_of_the_node if {
	testing.ids(mesh.ignore) == {"host-network"} with input as with_workload({"hostNetwork": true})
	count(mesh.ignore) == 0 with input as workload
}

test_another_gateway if {
	every image in ["docker.io/tykio/tyk-gateway:v5.3", "tyk-gateway", "registry.example/x/tyk-gateway-ee@sha256:0"] {
		facts := with_workload({"containers": [workload.workload.containers[0], {"name": "edge", "image": image, "init": false}]})
		some reason in mesh.ignore with input as facts
		reason.id == "sidecar-present"
		contains(reason.msg, `Container "edge"`)
	}
	init := with_workload({"containers": [{"name": "edge", "image": "tyk-gateway", "init": true}]})
	testing.ids(mesh.ignore) == {"sidecar-present"} with input as init
}

test_images_of_the_settings if {
	facts := with_workload({"containers": [{"name": "edge", "image": "envoy:1", "init": false}]})
	count(mesh.ignore) == 0 with input as facts
	testing.ids(mesh.ignore) == {"sidecar-present"} with input as facts with data.settings.mesh.otherSidecars as ["envoy:*"]
	gateway := with_workload({"containers": [{"name": "edge", "image": "tyk-gateway", "init": false}]})
	count(mesh.ignore) == 0 with input as gateway with data.settings.mesh.otherSidecars as []
}
