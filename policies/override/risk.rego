# METADATA
# title: Overrides
# description: |
#   An override is an annotation that sets paths of the definition. Each path
#   has a risk class: that of the longest prefix of it, element by element, in
#   settings.risk, or settings.defaultRisk. An override is allowed where grants
#   cover every path of it. Each denied one refuses the object, because an API
#   without the override that its author wrote may be an open one.
package cuegate.override

# METADATA
# title: Risk class of a path
# scope: document
risk(path) := class if {
	class := data.settings.risk[path]
} else := best[1] if {
	elements := split(path, ".")
	best := max([[n, class] |
		some n in numbers.range(1, count(elements))
		class := data.settings.risk[concat(".", array.slice(elements, 0, n))]
	])
} else := data.settings.defaultRisk
