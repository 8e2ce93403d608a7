package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

claimed(changes) := testing.with_route({"claims": [testing.claim(changes)]})

test_host_claimed if {
	guard.deny == {{
		"id": "host-claimed",
		"msg": `Host "cafe.example.com" already belongs to Ingress "bar-ingress" of namespace "bar", which is older.`,
		"field": "spec.rules[0].host",
		"fix": "Use another host, or ask the platform team for a grant of this one.",
	}} with input as claimed({})
}

test_oldest_claim_is_named if {
	claims := [testing.claim({}), testing.claim({"since": "2022-01-01T00:00:00Z", "namespace": "foo"})]
	some reason in guard.deny with input as testing.with_route({"claims": claims})
	contains(reason.msg, `"foo"`)
	count(guard.deny) == 1 with input as testing.with_route({"claims": claims})
}

test_one_reason_for_all_paths_of_a_host if {
	route := object.union(testing.facts.routes[0], {"claims": [testing.claim({})]})
	other := object.union(route, {"field": "spec.rules[0].http.paths[1]", "path": "/coffee"})
	count(guard.deny) == 1 with input as testing.with_facts({"routes": [route, other]})
}

test_wildcard_that_covers_the_host if {
	facts := claimed({"host": "*.example.com"})
	count(guard.deny) == 0 with input as facts
	count(guard.deny) == 1 with input as facts with data.settings.wildcardClaims as true
}

test_claim_that_is_not_watched if {
	count(guard.deny) == 0 with input as claimed({}) with data.settings.watch.namespaces as ["cafe"]
	count(guard.deny) == 1 with input as claimed({}) with data.settings.watch.namespaces as ["cafe", "bar"]
	count(guard.deny) == 0 with input as claimed({}) with data.settings.watch.namespaceLabels as {"tier": "web"}
	count(guard.deny) == 1 with input as claimed({"namespaceLabels": {"tier": "web"}}) with data.settings.watch.namespaceLabels as {"tier": "web"}
	count(guard.deny) == 0 with input as claimed({}) with data.settings.watch.labels as {"team": "cafe"}
}

test_younger_claim if {
	count(guard.deny) == 0 with input as claimed({"older": false})
}

test_claim_of_a_foreign_class if {
	class := {"name": "nginx", "known": true, "controller": "k8s.io/ingress-nginx"}
	count(guard.deny) == 0 with input as testing.with_route({"claims": [object.union(testing.claim({}), {"class": class})]})
}

test_claim_without_a_class_follows_the_default_class if {
	claim := object.union(object.remove(testing.claim({}), ["class"]), {"class": {"known": false}})
	facts := testing.with_route({"claims": [claim]})
	count(guard.deny) == 0 with input as facts
	default_class := {"defaultClasses": [{"name": "tyk", "controller": "cuegate.dev/ingress-controller"}]}
	count(guard.deny) == 1 with input as object.union(facts, default_class)
}

test_claim_by_annotation if {
	claim := object.union(object.remove(testing.claim({}), ["class"]), {"class": {"annotation": "Tyk", "known": false}})
	count(guard.deny) == 1 with input as testing.with_route({"claims": [claim]})
}

test_acme_challenge if {
	every type in ["Exact", "Prefix", "ImplementationSpecific"] {
		route := {"path": "/.well-known/acme-challenge/token", "pathType": type, "claims": [testing.claim({})]}
		count(guard.deny) == 0 with input as testing.with_route(route)
	}
}

test_not_an_acme_challenge if {
	every path in [
		"/",
		"/.well-known",
		"/.well-known/acme-challenge",
		"/.well-known/acme-challenge/",
		"/.well-known/acme-challenge/token/more",
		"/.well-known/acme-challenges/x",
		"/.well-known/acme-challenge/../../login",
		"/.well-known/acme-challenge/{x}",
		"/x/.well-known/acme-challenge/token",
	] {
		count(guard.deny) == 1 with input as testing.with_route({"path": path, "claims": [testing.claim({})]})
	}
}

test_host_granted if {
	every grant in [
		{"id": "g", "namespaces": ["cafe"], "hosts": ["cafe.example.com"]},
		{"id": "g", "hosts": ["*.example.com"]},
		{"id": "g", "guards": ["host-claimed"]},
		{"id": "g", "guards": ["host-claimed"], "hosts": ["*.example.com"]},
	] {
		count(guard.deny) == 0 with input as claimed({}) with data.settings.grants as [grant]
	}
}

test_host_not_granted if {
	every grant in [
		{"id": "g", "namespaces": ["bar"], "hosts": ["cafe.example.com"]},
		{"id": "g", "hosts": ["*.example.net"]},
		{"id": "g", "guards": ["host-claimed"], "hosts": ["other.example.com"]},
		{"id": "g", "guards": ["external-name"], "hosts": ["cafe.example.com"]},
		{"id": "g", "classes": ["critical"]},
		{"id": "g", "host": ["cafe.example.com"]},
	] {
		count(guard.deny) == 1 with input as claimed({}) with data.settings.grants as [grant]
	}
}
