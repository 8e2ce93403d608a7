# METADATA
# title: Selectors
# description: |
#   How settings select by name, by host and by label. A "*" in a name stands
#   for any characters. In a host it stands for one label, as in Kubernetes,
#   and "**" for several; the pattern "*" alone is every host.
package cuegate.match

name(patterns, _) if "*" in patterns

name(patterns, value) if value in patterns

name(patterns, value) if {
	some pattern in patterns
	contains(pattern, "*")
	glob.match(pattern, null, value)
}

host(patterns, _) if "*" in patterns

host(patterns, value) if value in patterns

host(patterns, value) if {
	some pattern in patterns
	contains(pattern, "*")
	glob.match(pattern, ["."], value)
}

# Every label that is wanted is there.
labels(wanted, present) if {
	is_object(wanted)
	every key, value in wanted {
		present[key] == value
	}
}
