package cuegate.mesh

# METADATA
# title: The workload's part in the mesh
# scope: document
part := {
	"interception": interception,
	"tls": data.settings.mesh.tls,
	"port": data.settings.mesh.port,
	"host": data.settings.mesh.host,
	"group": concat("/", [input.object.namespace, input.workload.group]),
	"callers": callers,
}
