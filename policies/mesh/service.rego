package cuegate.mesh

# METADATA
# title: Ports that lead to sidecars
# description: |
#   Those that injector.tyk.io/ports lists, by name or by number; without it the only
#   TCP port of the Service, or those that are called http, carry appProtocol http or
#   have the number 80.
# scope: document
rewrite := {"ports": sort(chosen_ports)}

chosen_ports contains port.port if {
	some port in input.service.ports
	port.protocol == "TCP"
	some wanted in listed
	wanted in {port.name, sprintf("%d", [port.port])}
}

chosen_ports contains port.port if {
	not input.service.listed
	count(tcp_ports) == 1
	some port in tcp_ports
}

chosen_ports contains port.port if {
	not input.service.listed
	some port in tcp_ports
	speaks_http(port)
}

tcp_ports := [port | some port in input.service.ports; port.protocol == "TCP"]

listed := {trim_space(name) | some name in split(input.service.listed, ",")}

speaks_http(port) if port.name == "http"

speaks_http(port) if startswith(port.name, "http-")

speaks_http(port) if port.appProtocol == "http"

speaks_http(port) if port.port == 80

# METADATA
# title: Unclear ports
# description: Nothing says which ports of the Service shall lead to sidecars.
# custom:
#   id: service-ports-unknown
# labels:
#   id: service-ports-unknown
deny contains reason if {
	asked
	input.service
	not input.service.listed
	count(chosen_ports) == 0
	reason := {
		"id": "service-ports-unknown",
		"msg": "The Service has several TCP ports, or none, and none is called http.",
		"field": "spec.ports",
		"fix": "Annotate it with injector.tyk.io/ports: names or numbers of ports, with commas between them.",
	}
}

# METADATA
# title: Unknown port
# description: The annotation injector.tyk.io/ports lists a port that the Service does not have.
# custom:
#   id: service-ports-unknown
# labels:
#   id: service-ports-unknown
deny contains reason if {
	asked
	some name in listed
	every port in tcp_ports {
		not name in {port.name, sprintf("%d", [port.port])}
	}
	reason := {
		"id": "service-ports-unknown",
		"msg": sprintf("Annotation injector.tyk.io/ports lists %q, and the Service has no TCP port of that name or number.", [name]),
		"field": "metadata.annotations[injector.tyk.io/ports]",
		"fix": "Correct the annotation.",
	}
}

# METADATA
# title: A Service whose callers do not speak TLS
# description: Sidecars that speak TLS with each other let in nobody who calls the Service by its name.
# custom:
#   id: service-needs-plain
# labels:
#   id: service-needs-plain
deny contains reason if {
	asked
	input.service
	data.settings.mesh.tls != "off"
	reason := {
		"id": "service-needs-plain",
		"msg": sprintf("The mesh runs with TLS mode %q, and whoever calls the Service by its name has no certificate of the mesh.", [data.settings.mesh.tls]),
		"field": "metadata.annotations[injector.tyk.io/inject]",
		"fix": "Remove the annotation: callers in the mesh use its host.",
	}
}
