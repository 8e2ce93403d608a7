package cuegate.mesh

# METADATA
# title: The workload's part in the mesh
# scope: document
part := {
	"interception": interception,
	"tls": data.settings.mesh.tls,
	"port": data.settings.mesh.port,
	"otherPort": data.settings.mesh.otherPort,
	"host": data.settings.mesh.host,
	"group": concat("/", [input.object.namespace, input.workload.group]),
	"callers": callers,
}
