package cuegate.check

# METADATA
# title: Upstream without verified TLS
# description: The gateway does not verify the certificate of the upstream, whoever set it so.
# custom:
#   id: upstream-tls
# labels:
#   id: upstream-tls
deny contains reason if {
	some definition in input.definitions
	definition.insecureUpstream
	not waived("upstream-tls", definition)
	reason := {
		"id": "upstream-tls",
		"msg": "The API does not verify the TLS certificate of its upstream (proxy.transport.ssl_insecure_skip_verify).",
		"field": definition.field,
		"fix": "Remove the setting and give the upstream a certificate that the gateway trusts, or ask the platform team for a grant.",
	}
}
