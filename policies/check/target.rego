package cuegate.check

# Where an annotation may send requests: to Services of the object's own
# namespace, and to addresses and names that are none of the kinds below. Each of
# these is refused under an id of its own. What template or policy set is not
# judged here.
suspects contains suspect if {
	some definition in input.definitions
	some target in definition.targets
	target.overridden
	not target.kind in {"private", "public", "name"}
	suspect := {"definition": definition, "target": target}
}

# METADATA
# title: Loopback
# description: The target is the gateway's own machine.
# custom:
#   id: target-loopback
# labels:
#   id: target-loopback
deny contains refusal("target-loopback", suspect, "the machine of the gateway itself") if {
	some suspect in suspects
	suspect.target.kind in {"loopback", "unspecified"}
	not waived("target-loopback", suspect.definition)
}

# METADATA
# title: Link-local address
# description: The target is an address of the gateway's own link.
# custom:
#   id: target-link-local
# labels:
#   id: target-link-local
deny contains refusal("target-link-local", suspect, "a link-local address") if {
	some suspect in suspects
	suspect.target.kind == "linkLocal"
	not waived("target-link-local", suspect.definition)
}

# METADATA
# title: Instance metadata
# description: The target is the metadata service of a cloud, which hands out the machine's credentials.
# custom:
#   id: target-metadata
# labels:
#   id: target-metadata
deny contains refusal("target-metadata", suspect, "the instance metadata of the cloud") if {
	some suspect in suspects
	suspect.target.kind == "metadata"
	not waived("target-metadata", suspect.definition)
}

# METADATA
# title: Kubernetes API
# description: The target is the API server of the cluster.
# custom:
#   id: target-kubernetes-api
# labels:
#   id: target-kubernetes-api
deny contains refusal("target-kubernetes-api", suspect, "the Kubernetes API server") if {
	some suspect in suspects
	suspect.target.kind == "kubernetesAPI"
	not waived("target-kubernetes-api", suspect.definition)
}

# METADATA
# title: Service of another namespace
# description: The target is a Service of another namespace, by name or address, or a bare name, which resolves in the gateway's namespace.
# custom:
#   id: target-other-namespace
# labels:
#   id: target-other-namespace
deny contains refusal("target-other-namespace", suspect, "a Service that is not of this namespace") if {
	some suspect in suspects
	suspect.target.kind == "service"
	not is_own(suspect.target)
	not waived("target-other-namespace", suspect.definition)
}

# METADATA
# title: API of the gateway
# description: The target is another API of the same gateway, past that API's own entrance.
# custom:
#   id: target-gateway
# labels:
#   id: target-gateway
deny contains refusal("target-gateway", suspect, "another API of the gateway") if {
	some suspect in suspects
	suspect.target.kind == "gateway"
	not waived("target-gateway", suspect.definition)
}

# METADATA
# title: Unreadable target
# description: No fixed host can be read from the target, or its kind is not one that rules know.
# custom:
#   id: target-invalid
# labels:
#   id: target-invalid
deny contains refusal("target-invalid", suspect, "an address without a readable, fixed host") if {
	some suspect in suspects
	not suspect.target.kind in known_kinds
	not waived("target-invalid", suspect.definition)
}

known_kinds := {"loopback", "unspecified", "linkLocal", "metadata", "kubernetesAPI", "service", "gateway"}

is_own(target) if target.service.namespace == input.object.namespace

refusal(id, suspect, what) := {
	"id": id,
	"msg": sprintf("An annotation sets %s to %q, which is %s.", [suspect.target.path, suspect.target.host, what]),
	"field": suspect.definition.field,
	"fix": "Use a Service of this namespace or a host outside the cluster, or ask the platform team for a grant.",
}
