package cuegate.override_test

import data.cuegate.override

test_risk_of_a_listed_path if {
	override.risk("use_keyless") == "high"
	override.risk("domain") == "critical"
}

test_longest_prefix_wins if {
	every path, class in {
		"proxy": "critical",
		"proxy.listen_path": "critical",
		"proxy.target_url": "high",
		"proxy.transport.proxy_url": "critical",
		"proxy.transport.ssl_insecure_skip_verify": "critical",
		"proxy.service_discovery.query_endpoint": "critical",
		"custom_middleware.pre.path": "critical",
		"cache_options.cache_timeout": "low",
		"version_data.versions.*.extended_paths.hard_timeouts.timeout": "medium",
		"version_data.versions.*.extended_paths.virtual.path": "critical",
		"version_data.versions.*.extended_paths.go_plugin": "critical",
		"version_data.versions.*.extended_paths.transform.path": "medium",
		"version_data.versions.*.extended_paths.transform.template_data.template_mode": "critical",
		"auth_configs.*.auth_header_name": "high",
	} {
		override.risk(path) == class
	}
}

test_prefix_is_of_whole_elements if {
	override.risk("domain_x") == "medium"
	override.risk("proxying.listen_path") == "medium"
}

test_default_risk if {
	override.risk("version_data.not_versioned") == "medium"
	override.risk("a_field_of_tomorrow") == "medium"
	override.risk("a_field_of_tomorrow") == "critical" with data.settings.defaultRisk as "critical"
}

test_table_is_a_setting if {
	tightened := object.union(data.settings.risk, {"use_keyless": "critical", "cache_options.enable_cache": "high"})
	override.risk("use_keyless") == "critical" with data.settings.risk as tightened
	override.risk("cache_options.enable_cache") == "high" with data.settings.risk as tightened
	override.risk("cache_options.cache_timeout") == "low" with data.settings.risk as tightened
}

test_every_class_of_the_table_is_one if {
	every path, class in data.settings.risk {
		[path, class in {"low", "medium", "high", "critical"}] == [path, true]
	}
}
