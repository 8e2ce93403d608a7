//go:build e2e

package box_test

import (
	"testing"

	"github.com/cuegate/cuegate/test/box"
)

// TestSetsLive has pods of a StatefulSet and of a DaemonSet run, and their containers
// look as a kubelet has them look: an init container has ended, unless it is a sidecar.
func TestSetsLive(t *testing.T) {
	api := admin(t, box.Start(t))
	ns := api.namespace("sets")
	apps, core := "/apis/apps/v1/namespaces/"+ns, "/api/v1/namespaces/"+ns
	stateful, daemon := deployment("stateful", 2), deployment("daemon", 0)
	delete(field(daemon, "spec").(object), "replicas")
	for _, set := range []object{stateful, daemon} {
		field(set, "spec", "template", "spec").(object)["initContainers"] = []object{
			{"name": "first", "image": "none"}, {"name": "beside", "image": "none", "restartPolicy": "Always"},
		}
	}
	api.must("POST", apps+"/statefulsets", stateful)
	api.must("POST", apps+"/daemonsets", daemon)

	api.eventually("all are ready", func() bool {
		return field(api.must("GET", apps+"/statefulsets/stateful", nil), "status", "readyReplicas") == 2.0 &&
			field(api.must("GET", apps+"/daemonsets/daemon", nil), "status", "numberReady") == 1.0
	})
	pods := api.items(core + "/pods")
	if len(pods) != 3 {
		t.Errorf("%d pods", len(pods))
	}
	for _, pod := range pods {
		init, _ := field(pod, "status", "initContainerStatuses").([]any)
		all, _ := field(pod, "status", "containerStatuses").([]any)
		if len(init) != 2 || len(all) != 1 {
			t.Fatalf("the containers are %v and %v", init, all)
		}
		if field(init[0], "state", "terminated", "exitCode") != 0.0 || field(init[0], "started") != false {
			t.Errorf("an init container that is done is %v", init[0])
		}
		for _, running := range []any{init[1], all[0]} {
			if field(running, "state", "running") == nil || field(running, "started") != true || field(running, "ready") != true {
				t.Errorf("a container that runs is %v", running)
			}
		}
	}
	api.must("DELETE", apps+"/statefulsets/stateful", nil)
	api.must("DELETE", apps+"/daemonsets/daemon", nil)
	api.eventually("the pods are collected", func() bool { return len(api.items(core+"/pods")) == 0 })
}
