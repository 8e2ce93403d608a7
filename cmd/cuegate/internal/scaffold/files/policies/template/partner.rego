package cuegate.template

# METADATA
# title: Namespaces of partners
# description: |
#   A namespace that is labelled example.com/tier=partner gets the template
#   partner, whatever its annotations ask for: 500 is more than their 400.
# labels:
#   id: partner-namespace
candidates contains {
	"template": "partner",
	"weight": 500,
	"id": "partner-namespace",
	"msg": "Namespaces of partners get the template partner.",
	"field": "metadata.namespace",
} if {
	input.namespace.labels["example.com/tier"] == "partner"
}
