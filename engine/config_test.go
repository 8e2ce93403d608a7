package engine_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name, doc string
		want      []engine.ConfigFault
	}{
		{"empty", `{}`, nil},
		{"right", `{"clusterID": "east", "orgID": 507, "timeout": "1h30m", "targets": [{"url": "http://gateway:8080", "mode": ""}]}`, nil},
		{"unknown", `{"clusterId": "east", "frobnicate": 1}`, []engine.ConfigFault{
			{Path: []string{"clusterId"}, Unknown: true, Message: "clusterId: no such field in the configuration; did you mean clusterID?"},
			{Path: []string{"frobnicate"}, Unknown: true, Message: "frobnicate: no such field in the configuration"},
		}},
		{"no duration", `{"timeout": "hunter2"}`, []engine.ConfigFault{
			{Path: []string{"timeout"}, Message: "timeout: is a string that is not allowed here (a time such as 90s, 5m or 1h30m)"},
		}},
		{"in a target", `{"targets": [{}, {"mode": "gatway"}]}`, []engine.ConfigFault{
			{Path: []string{"targets", "1", "mode"}, Message: `targets.1.mode: wants one of "gateway", "dashboard"`},
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var doc any
			dec := json.NewDecoder(strings.NewReader(s.doc))
			dec.UseNumber()
			if err := dec.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			got, err := engine.CheckConfig(cuegate.Builtin(), doc)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
