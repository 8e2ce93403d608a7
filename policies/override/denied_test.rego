package cuegate.override_test

import data.cuegate.override
import data.cuegate.testing

middleware := testing.with_override("object.service.tyk.io/custom-middleware", "{}", ["custom_middleware.driver"])

# The annotations of the old controller's documentation, each with its paths.
documented := {
	"bool.service.tyk.io/use-keyless": ["use_keyless"],
	"bool.service.tyk.io/cache-options.enable-cache": ["cache_options.enable_cache"],
	"num.service.tyk.io/cache-options.cache-timeout": ["cache_options.cache_timeout"],
	"string.service.tyk.io/proxy.target-url": ["proxy.target_url"],
	"object.service.tyk.io/version-data.versions.Default.extended-paths": [
		"version_data.versions.*.extended_paths.hard_timeouts.path",
		"version_data.versions.*.extended_paths.hard_timeouts.method",
		"version_data.versions.*.extended_paths.hard_timeouts.timeout",
	],
}

test_documented_overrides_are_allowed if {
	facts := testing.with_facts({"overrides": [{"key": key, "paths": paths} | some key, paths in documented]})
	count(override.deny) == 0 with input as facts
	count(override.denied) == 0 with input as facts
	override.allowed == object.keys(documented) with input as facts
}

test_critical_override_is_denied if {
	override.deny == {{
		"id": "override-denied",
		"msg": `Annotation object.service.tyk.io/custom-middleware sets custom_middleware.driver, which is of risk class critical, and no grant covers it in namespace "cafe".`,
		"field": "metadata.annotations[object.service.tyk.io/custom-middleware]",
		"fix": "Remove the annotation, or ask the platform team for a grant.",
	}} with input as middleware
	override.denied == {"object.service.tyk.io/custom-middleware"} with input as middleware
	override.allowed == set() with input as middleware
}

test_one_critical_path_denies_the_whole_override if {
	facts := testing.with_override("k", "{}", ["cache_options.enable_cache", "proxy.listen_path", "auth.name"])
	override.denied == {"k"} with input as facts
	count(override.deny) == 1 with input as facts
}

test_other_overrides_stay_allowed if {
	facts := testing.with_facts({"overrides": [
		{"key": "a", "paths": ["domain"]},
		{"key": "b", "paths": ["use_keyless"]},
	]})
	override.denied == {"a"} with input as facts
	override.allowed == {"b"} with input as facts
}

test_override_without_a_path_is_denied if {
	facts := testing.with_override("k", "{}", [])
	override.denied == {"k"} with input as facts
	testing.ids(override.deny) == {"override-denied"} with input as facts
	count(override.deny) == 1 with input as facts
}

test_grant_for_the_namespace if {
	grants := array.concat(data.settings.grants, [{"id": "code", "namespaces": ["cafe"], "paths": ["custom_middleware"]}])
	override.denied == set() with input as middleware with data.settings.grants as grants
	override.denied == {"k"} with input as testing.with_override("k", "", ["domain"]) with data.settings.grants as grants
	elsewhere := object.union(middleware, {"object": {"namespace": "bar"}})
	count(override.denied) == 1 with input as elsewhere with data.settings.grants as grants
}

test_grants_may_cover_an_override_together if {
	grants := [
		{"id": "low", "classes": ["low"]},
		{"id": "code", "paths": ["custom_middleware"]},
	]
	facts := testing.with_override("k", "{}", ["cache_options.enable_cache", "custom_middleware.driver"])
	override.denied == set() with input as facts with data.settings.grants as grants
}

test_tightening_by_data if {
	keyless := testing.with_override("k", "true", ["use_keyless"])
	override.denied == set() with input as keyless
	override.denied == {"k"} with input as keyless with data.settings.grants as []
	override.denied == {"k"} with input as keyless with data.settings.grants as [{"id": "low", "classes": ["low"]}]
	override.denied == {"k"} with input as keyless
		with data.settings.risk as object.union(data.settings.risk, {"use_keyless": "critical"})
	override.denied == {"k"} with input as keyless
		with data.settings.risk as object.union(data.settings.risk, {"use_keyless": "crtical"})
}

test_no_override if {
	count(override.deny) == 0 with input as testing.facts
	override.allowed == set() with input as testing.facts
}
