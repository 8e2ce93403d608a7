package cuegate.mesh_test

import data.cuegate.mesh
import data.cuegate.testing

# A workload of the mesh that nothing speaks against.
workload := object.union(object.remove(testing.facts, ["class"]), {
	"object": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "cafe", "name": "tea"},
	"templates": ["inbound", "mesh", "tokenAuth"],
	"routes": [],
	"workload": {
		"inject": "true",
		"injected": false,
		"podLabels": {"app": "tea"},
		"hostNetwork": false,
		"containers": [{"name": "app", "image": "tea:1", "init": false}],
		"route": "/tea",
		"port": 3000,
		"group": "default",
	},
})

# The same with changes to what it is made of.
with_workload(changes) := object.union(workload, {"workload": changes})

# The same without the wish.
unasked := json.patch(workload, [{"op": "remove", "path": "/workload/inject"}])

# A Service whose ports shall lead to sidecars.
service := object.union(object.remove(testing.facts, ["class"]), {
	"object": {"apiVersion": "v1", "kind": "Service", "namespace": "cafe", "name": "tea"},
	"routes": [],
	"service": {"inject": "true", "ports": [{"name": "web", "port": 8000, "protocol": "TCP", "appProtocol": ""}]},
})

decided(facts) := decision if {
	decision := data.cuegate.decision with input as facts
}

test_workload_is_managed if {
	decision := decided(workload)
	decision.outcome == "manage"
	decision.templates == {"inbound": "inbound", "mesh": "mesh"}
	decision.reasons == []
	not decision.template
}

test_every_yes if {
	every wish in ["y", "Yes", "TRUE", "on"] {
		mesh.asked with input as with_workload({"inject": wish})
		count(mesh.ignore | mesh.deny) == 0 with input as with_workload({"inject": wish})
	}
}

test_every_no if {
	every wish in ["n", "No", "FALSE", "off", ""] {
		facts := with_workload({"inject": wish})
		not mesh.asked with input as facts
		testing.ids(mesh.ignore) == {"not-asked"} with input as facts
		decided(facts).outcome == "ignore"
	}
}

test_nobody_asked if {
	some reason in mesh.ignore with input as unasked
	reason.id == "not-asked"
	contains(reason.fix, `injector.tyk.io/inject: "true"`)
	count(mesh.ignore) == 1 with input as unasked
	count(mesh.deny) == 0 with input as unasked
}

test_nobody_asked_of_a_service if {
	facts := json.patch(service, [{"op": "remove", "path": "/service/inject"}])
	some reason in mesh.ignore with input as facts
	reason.id == "not-asked"
	reason.field == "metadata.annotations[injector.tyk.io/inject]"
	count(mesh.ignore) == 1 with input as facts
}

# What does not ask hears of nothing else.
test_reasons_of_those_that_ask_only if {
	facts := object.union(unasked, {
		"object": {"namespace": "kube-system"},
		"namespace": {"labels": {"cuegate.dev/mesh": "disabled"}},
		"workload": {"hostNetwork": true, "port": 0, "portProblem": "there is none", "interception": "ebpf", "callers": ["cafe/front"]},
	})
	testing.ids(mesh.ignore) == {"not-asked"} with input as facts
	count(mesh.deny) == 0 with input as facts
}

test_unclear_wish if {
	facts := with_workload({"inject": "maybe"})
	testing.ids(mesh.deny) == {"inject-unclear"} with input as facts
	count(mesh.ignore) == 0 with input as facts
	decided(facts).outcome == "refuse"
}

# An Ingress is none of the mesh's business, and a workload none of the classes'.
test_ingress_has_no_part if {
	count(mesh.ignore | mesh.deny) == 0 with input as testing.facts
	decided(testing.facts).outcome == "manage"
	not decided(testing.facts).mesh
}

test_namespace_not_watched if {
	some reason in mesh.ignore with input as workload with data.settings.watch.namespaces as ["bar"]
	reason.id == "namespace-not-watched"
	contains(reason.msg, `"cafe" is not among`)
	count(mesh.ignore) == 0 with input as workload with data.settings.watch.namespaces as ["ca*"]
}

test_namespace_lacks_a_label if {
	some reason in mesh.ignore with input as workload with data.settings.watch.namespaceLabels as {"stage": "prod"}
	reason.id == "namespace-not-watched"
	contains(reason.msg, "stage=prod")
	count(mesh.ignore) == 0 with input as workload with data.settings.watch.namespaceLabels as {"kubernetes.io/metadata.name": "cafe"}
}

test_workload_lacks_a_label if {
	some reason in mesh.ignore with input as workload with data.settings.watch.labels as {"mesh": "yes"}
	reason.id == "labels-not-watched"
	contains(reason.msg, "mesh=yes")
	count(mesh.ignore) == 0 with input as workload with data.settings.watch.labels as {"team": "cafe"}
}

test_broken_watch_list_watches_nothing if {
	testing.ids(mesh.ignore) == {"namespace-not-watched"} with input as workload with data.settings.watch.namespaces as "cafe"
	testing.ids(mesh.ignore) == {"labels-not-watched"} with input as workload with data.settings.watch.labels as ["a"]
}

test_excluded_namespace if {
	every name in ["kube-system", "kube-public"] {
		testing.ids(mesh.ignore) == {"namespace-excluded"} with input as object.union(workload, {"object": {"namespace": name}})
	}
	testing.ids(mesh.ignore) == {"namespace-excluded"} with input as workload with data.settings.mesh.excludedNamespaces as ["c*"]
	count(mesh.ignore) == 0 with input as workload with data.settings.mesh.excludedNamespaces as []
}

test_namespace_that_opted_out if {
	facts := object.union(workload, {"namespace": {"labels": {"cuegate.dev/mesh": "disabled"}}})
	testing.ids(mesh.ignore) == {"namespace-opted-out"} with input as facts
	other := object.union(workload, {"namespace": {"labels": {"cuegate.dev/mesh": "enabled"}}})
	count(mesh.ignore) == 0 with input as other
}

# Rules of operators count.
test_rules_of_operators if {
	reason := {"id": "mine", "msg": "Mine."}
	decision := data.cuegate.decision with input as workload with mesh.deny as {reason}
	decision.outcome == "refuse"
	decision.reasons == [reason]
	ignored := data.cuegate.decision with input as workload with mesh.ignore as {reason}
	ignored.outcome == "ignore"
	warned := data.cuegate.decision with input as workload with mesh.warn as {reason}
	warned.outcome == "manage"
	warned.warnings == [reason]
}

# What refuses an Ingress refuses a workload.
test_rules_of_other_packages if {
	reason := {"id": "mine", "msg": "Mine."}
	guarded := data.cuegate.decision with input as workload with data.cuegate.guard.deny as {reason}
	guarded.outcome == "refuse"
	overridden := data.cuegate.decision with input as workload with data.cuegate.override.deny as {reason}
	overridden.outcome == "refuse"
	untemplated := data.cuegate.decision with input as workload with data.cuegate.template.deny as {reason}
	untemplated.outcome == "refuse"
	guarded.reasons == [reason]
}

# What cannot be told is no permission.
test_undecided if {
	settings := json.patch(data.settings, [{"op": "remove", "path": "/mesh/tls"}])
	decision := data.cuegate.decision with input as workload with data.settings as settings
	decision.outcome == "refuse"
	testing.ids(decision.reasons) == {"policy-undecided"}
}
