package cuegate.grant_test

import data.cuegate.grant
import data.cuegate.testing

test_subject_that_matches if {
	every subject in [
		{},
		{"namespaces": ["cafe"]},
		{"namespaces": ["bar", "ca*"]},
		{"namespaceLabels": {"kubernetes.io/metadata.name": "cafe"}},
		{"labels": {"team": "cafe"}},
		{"namespaces": ["cafe"], "labels": {"team": "cafe"}},
	] {
		grant.selects(object.union({"id": "g"}, subject)) with input as testing.facts
	}
}

test_subject_that_does_not_match if {
	every subject in [
		{"namespaces": ["bar"]},
		{"namespaces": []},
		{"namespaces": null},
		{"namespaces": "cafe"},
		{"namespaceLabels": {"stage": "prod"}},
		{"namespaceLabels": null},
		{"labels": {"team": "bar"}},
		{"namespaces": ["cafe"], "labels": {"team": "bar"}},
		{"namespace": ["cafe"]},
	] {
		not grant.selects(object.union({"id": "g"}, subject)) with input as testing.facts
	}
}

test_override_by_class if {
	grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as [{"classes": ["critical"]}]
	not grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as [{"classes": ["high"]}]
	not grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as [{"classes": []}]
}

test_override_by_path if {
	every path in ["proxy", "proxy.transport", "proxy.transport.proxy_url"] {
		grant.overrides(path, "critical") with input as testing.facts with data.settings.grants as [{"paths": ["proxy"]}]
	}
	not grant.overrides("proxy_x", "critical") with input as testing.facts with data.settings.grants as [{"paths": ["proxy"]}]
	not grant.overrides("proxy", "critical") with input as testing.facts with data.settings.grants as [{"paths": ["proxy.transport"]}]
}

test_class_and_path_both_count if {
	grants := [{"classes": ["high"], "paths": ["proxy"]}]
	grant.overrides("proxy.target_url", "high") with input as testing.facts with data.settings.grants as grants
	not grant.overrides("proxy.listen_path", "critical") with input as testing.facts with data.settings.grants as grants
	not grant.overrides("auth", "high") with input as testing.facts with data.settings.grants as grants
}

test_grant_of_everything if {
	grants := [{"id": "platform", "namespaces": ["cafe"]}]
	grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as grants
}

test_grant_of_something_else_gives_no_override if {
	every given in [{"guards": ["external-name"]}, {"hosts": ["cafe.example.com"]}] {
		not grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as [given]
	}
}

test_override_by_hosts if {
	every_host := [{"hosts": ["*.example.com"], "classes": ["critical"]}]
	grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as every_host
	other_host := [{"hosts": ["other.example.com"], "classes": ["critical"]}]
	not grant.overrides("domain", "critical") with input as testing.facts with data.settings.grants as other_host
}

test_waiver if {
	grants := [{"guards": ["keyless"], "namespaces": ["cafe"]}]
	grant.waives("keyless", "a") with input as testing.facts with data.settings.grants as grants
	not grant.waives("upstream-tls", "a") with input as testing.facts with data.settings.grants as grants
	not grant.waives("keyless", "a") with input as testing.with_facts({"object": {"namespace": "bar"}})
		with data.settings.grants as grants
}

test_waiver_by_host if {
	grants := [{"guards": ["keyless"], "hosts": ["a.example.com"]}]
	grant.waives("keyless", "a.example.com") with input as testing.facts with data.settings.grants as grants
	not grant.waives("keyless", "b.example.com") with input as testing.facts with data.settings.grants as grants
}

test_host if {
	grant.gives_host("a.example.com") with input as testing.facts with data.settings.grants as [{"hosts": ["*.example.com"]}]
	not grant.gives_host("a.example.com") with input as testing.facts with data.settings.grants as [{"id": "g"}]
	not grant.gives_host("a.example.com") with input as testing.facts
		with data.settings.grants as [{"hosts": ["a.example.com"], "guards": ["keyless"]}]
}
