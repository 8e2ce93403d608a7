package policy

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
)

const mutable = `package cuegate.guard

import data.cuegate.grant

# METADATA
# title: No internal hosts
deny contains {
	"id": "internal",
	"msg": sprintf("%s is internal.", [route.host]),
	"field": route.field,
	"weight": 500,
	"of": {"kind": "host", "msg": "host"},
} if {
	some route in input.routes
	endswith(route.host, ".internal")
	not input.namespace.labels["tier"] == "edge" # not "x"
	count(input.routes) > 3
	not granted(route.host)
	every label in input.object.labels {
		label != "public"
	}
}

granted(host) if host in data.settings.hosts

granted(host) if {
	# "{"
	grant.allowed
	x := "a"
	host == x
}

default strict := true

strict := false if input.namespace.known

warn contains {"id": "note", "msg": "Note."}
`

// Each mutant says what it changes, compiles as far as it can be told here, and has the
// lines where they were.
func TestMutants(t *testing.T) {
	all, err := Mutants(Source{Name: "policies", FS: fstest.MapFS{
		"guard/a.rego":      {Data: []byte(mutable)},
		"guard/a_test.rego": {Data: []byte("package cuegate.guard_test\n\ntest_x if true\n")},
		"data.yaml":         {Data: []byte("a: 1\n")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(mutable, "\n")
	var got strings.Builder
	for _, m := range all {
		if _, err := ast.ParseModule("a.rego", string(m.Text)); err != nil {
			t.Errorf("%s: %s: %s", m.At, m.What, err)
		}
		changed := strings.Split(string(m.Text), "\n")
		if len(changed) != len(lines) {
			t.Errorf("%s: %s: %d lines, not %d", m.At, m.What, len(changed), len(lines))
			continue
		}
		fmt.Fprintf(&got, "%d:%d %s\n", m.At.Line, m.At.Column, m.What)
		for i := range lines {
			if lines[i] != changed[i] {
				fmt.Fprintf(&got, "\t%s\n", strings.TrimSpace(changed[i]))
			}
		}
	}
	const want = `7:1 the rule is never true
	false; some route in input.routes
11:12 500 is 0
	"weight": 0,
12:17 "host" is "hostx"
	"of": {"kind": "hostx", "msg": "host"},
15:2 'not' is put before: endswith(route.host, ".internal")
	not endswith(route.host, ".internal")
15:2 a condition is left out: endswith(route.host, ".internal")
	true
15:23 ".internal" is ".internalx"
	endswith(route.host, ".internalx")
16:2 'not' is removed: not input.namespace.labels["tier"] == "edge"
	input.namespace.labels["tier"] == "edge" # not "x"
16:2 a condition is left out: not input.namespace.labels["tier"] == "edge"
	true # not "x"
16:29 "tier" is "tierx"
	not input.namespace.labels["tierx"] == "edge" # not "x"
16:40 "edge" is "edgex"
	not input.namespace.labels["tier"] == "edgex" # not "x"
17:2 a condition is left out: count(input.routes) > 3
	true
17:22 '>' is '<='
	count(input.routes) <= 3
17:24 3 is 4
	count(input.routes) > 4
18:2 'not' is removed: not granted(route.host)
	granted(route.host)
18:2 a condition is left out: not granted(route.host)
	true
19:2 a condition is left out: every label in input.object.labels { label != "public" }
	true
	
	
20:9 '!=' is '=='
	label == "public"
20:12 "public" is "publicx"
	label != "publicx"
24:1 the rule is never true
	granted(host) if {false; host in data.settings.hosts}
24:18 'not' is put before: host in data.settings.hosts
	granted(host) if not host in data.settings.hosts
26:1 the rule is never true
	false; grant.allowed
28:2 'not' is put before: grant.allowed
	not grant.allowed
28:2 a condition is left out: grant.allowed
	true
29:7 "a" is "ax"
	x := "ax"
30:2 a condition is left out: host == x
	true
30:7 '==' is '!='
	host != x
33:19 true is false
	default strict := false
35:1 the rule is never true
	strict := false if {false; input.namespace.known}
35:11 false is true
	strict := true if input.namespace.known
35:20 'not' is put before: input.namespace.known
	strict := false if not input.namespace.known
37:1 the rule is removed
	
`
	if diff := cmp.Diff(want, strings.ReplaceAll(got.String(), "`", "'")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
