package cuegate.mesh_test

import data.cuegate.mesh
import data.cuegate.testing

port(name, number, changes) := object.union({"name": name, "port": number, "protocol": "TCP", "appProtocol": ""}, changes)

with_ports(ports) := object.union(service, {"service": {"ports": ports}})

with_listed(listed, ports) := object.union(service, {"service": {"ports": ports, "listed": listed}})

several := [port("web", 8000, {}), port("admin", 8001, {})]

test_only_port if {
	mesh.rewrite == {"ports": [8000]} with input as service
	mesh.rewrite.ports == [8000] with input as with_ports([port("web", 8000, {}), port("dns", 53, {"protocol": "UDP"})])
	decision := data.cuegate.decision with input as service
	decision.outcome == "manage"
	decision.rewrite == {"ports": [8000]}
}

test_ports_that_speak_http if {
	every p in [port("http", 1, {}), port("http-web", 1, {}), port("x", 1, {"appProtocol": "http"}), port("x", 80, {})] {
		mesh.rewrite.ports == [p.port] with input as with_ports(array.concat(several, [p]))
	}
	every p in [port("https", 443, {}), port("httpx", 1, {}), port("http", 1, {"protocol": "UDP"})] {
		testing.ids(mesh.deny) == {"service-ports-unknown"} with input as with_ports(array.concat(several, [p]))
	}
}

test_ports_that_are_listed if {
	mesh.rewrite.ports == [8000, 8001] with input as with_listed(" admin,8000 ", several)
	mesh.rewrite.ports == [8001] with input as with_listed("admin", array.concat(several, [port("http", 80, {})]))
	count(mesh.deny) == 0 with input as with_listed("admin", several)
}

test_listed_port_that_is_not_there if {
	some reason in mesh.deny with input as with_listed("admin,web2", several)
	reason.id == "service-ports-unknown"
	contains(reason.msg, `"web2"`)
	testing.ids(mesh.deny) == {"service-ports-unknown"} with input as with_listed("dns", [port("dns", 53, {"protocol": "UDP"})])
	testing.ids(mesh.deny) == {"service-ports-unknown"} with input as with_listed("", several)
}

test_no_ports if testing.ids(mesh.deny) == {"service-ports-unknown"} with input as with_ports([])

test_callers_without_certificates if {
	every mode in ["tls", "mtls"] {
		testing.ids(mesh.deny) == {"service-needs-plain"} with input as service with data.settings.mesh.tls as mode
	}
	count(mesh.deny) == 0 with input as service
}

test_service_of_an_excluded_namespace if {
	testing.ids(mesh.ignore) == {"namespace-excluded"} with input as object.union(service, {"object": {"namespace": "kube-system"}})
}
