package cuegate.check

# METADATA
# title: Target of type ExternalName
# description: |
#   An annotation names a Service of type ExternalName, which leads to wherever its
#   author likes. The guard of the same id judges the Services of routes.
# custom:
#   id: external-name
# labels:
#   id: external-name
deny contains refusal("external-name", suspect, "a Service of type ExternalName and leads out of the namespace") if {
	some suspect in suspects
	suspect.target.service.type == "ExternalName"
	not waived("external-name", suspect.definition)
}
