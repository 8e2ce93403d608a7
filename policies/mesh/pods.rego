package cuegate.mesh

import data.cuegate.match

# METADATA
# title: Pods in the network of their node
# description: A sidecar would take ports of the node, and rules of iptables would change it.
# custom:
#   id: host-network
# labels:
#   id: host-network
ignore contains reason if {
	asked
	input.workload.hostNetwork
	reason := {
		"id": "host-network",
		"msg": "The pods use the network of their node, so they can have no sidecar.",
		"field": "spec.template.spec.hostNetwork",
		"fix": sprintf("Remove hostNetwork, or the annotation %s.", [inject]),
	}
}

# METADATA
# title: Another gateway is in the pod
# description: A container that is not ours runs an image of settings.mesh.otherSidecars.
# custom:
#   id: sidecar-present
# labels:
#   id: sidecar-present
ignore contains reason if {
	asked
	some container in input.workload.containers
	match.name(data.settings.mesh.otherSidecars, container.image)
	reason := {
		"id": "sidecar-present",
		"msg": sprintf("Container %q of the pod is a Tyk gateway already (%s), so no other is injected.", [container.name, container.image]),
		"field": "spec.template.spec.containers",
		"fix": sprintf("Remove the container, or the annotation %s.", [inject]),
	}
}
