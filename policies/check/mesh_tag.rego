package cuegate.check

# METADATA
# title: An Ingress for sidecars
# description: |
#   The definition of an Ingress carries a tag of the mesh: a Dashboard would hand it to
#   sidecars, where it could take the requests to somebody's service.
# custom:
#   id: mesh-tag
# labels:
#   id: mesh-tag
deny contains reason if {
	some definition in input.definitions
	definition.role == "ingress"
	some tag in definition.api.tags
	is_mesh_tag(tag)
	not waived("mesh-tag", definition)
	reason := {
		"id": "mesh-tag",
		"msg": sprintf("The API has the tag %q, which is that of sidecars of the mesh.", [tag]),
		"field": definition.field,
		"fix": "Remove the tag.",
	}
}

is_mesh_tag("mesh")

is_mesh_tag(tag) if startswith(tag, "mesh.")
