# METADATA
# title: Facts for tests
# description: A whole, valid input that is managed and refused by nothing, and ways to change it.
package cuegate.testing

facts := {
	"object": {
		"apiVersion": "networking.k8s.io/v1",
		"kind": "Ingress",
		"namespace": "cafe",
		"name": "cafe-ingress",
		"labels": {"team": "cafe"},
		"annotations": {},
		"created": "2024-05-01T10:00:00Z",
	},
	"namespace": {
		"name": "cafe",
		"labels": {"kubernetes.io/metadata.name": "cafe"},
		"known": true,
	},
	"class": {
		"name": "tyk",
		"known": true,
		"controller": "cuegate.dev/ingress-controller",
	},
	"defaultClasses": [],
	"templates": ["default", "default-mesh", "tokenAuth"],
	"templateAnnotations": [],
	"overrides": [],
	"routes": [{
		"id": "0123456789abcdef0123456789abcdef",
		"role": "ingress",
		"field": "spec.rules[0].http.paths[0]",
		"host": "cafe.example.com",
		"hostKind": "exact",
		"path": "/tea",
		"pathType": "Prefix",
		"backend": {
			"kind": "service",
			"name": "tea-svc",
			"port": 80,
			"serviceType": "ClusterIP",
			"externalName": "",
			"resource": "",
		},
		"tlsSecrets": [],
		"certificates": [],
		"claims": [],
	}],
}

# The facts of the verdict: the same with a definition.
finished := object.union(facts, {"definitions": [{
	"route": facts.routes[0].id,
	"role": "ingress",
	"field": facts.routes[0].field,
	"template": "default",
	"keyless": true,
	"insecureUpstream": false,
	"targets": [target({})],
	"api": {},
}]})

# A target that the template set, with the changes.
target(changes) := object.union(
	{
		"path": "proxy.target_url",
		"overridden": false,
		"scheme": "http",
		"host": "tea-svc.cafe",
		"port": "80",
		"kind": "service",
		"service": {"name": "tea-svc", "namespace": "cafe"},
	},
	changes,
)

# A claim of another namespace that counts, with the changes.
claim(changes) := object.union(
	{
		"host": "cafe.example.com",
		"namespace": "bar",
		"name": "bar-ingress",
		"since": "2023-01-01T00:00:00Z",
		"older": true,
		"class": {"name": "tyk", "known": true, "controller": "cuegate.dev/ingress-controller"},
		"labels": {},
		"namespaceLabels": {},
	},
	changes,
)

# The facts with changes: objects are merged, everything else is replaced.
with_facts(changes) := object.union(facts, changes)

# The facts with another class; nothing of the old one stays.
with_class(class) := json.patch(facts, [{"op": "replace", "path": "/class", "value": class}])

# The facts with changes to the one route.
with_route(changes) := with_facts({"routes": [object.union(facts.routes[0], changes)]})

# The facts with an annotation that sets the paths.
with_override(key, value, paths) := with_facts({
	"object": {"annotations": {key: value}},
	"overrides": [{"key": key, "paths": paths, "strings": [value]}],
})

# The finished facts with changes to the one definition.
with_definition(changes) := object.union(finished, {"definitions": [object.union(finished.definitions[0], changes)]})

# The ids of a set of reasons, candidates or warnings.
ids(reasons) := {reason.id | some reason in reasons}
