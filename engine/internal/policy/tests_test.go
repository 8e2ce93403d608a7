package policy

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate/engine/internal/problem"
	"github.com/cuegate/cuegate/engine/internal/schema"
)

const askedRules = `package cuegate

import data.cuegate.guard

decision := {"deny": guard.denied}

verdict := {"deny": guard.denied}
`

const testedRules = `package cuegate.guard

# METADATA
# title: No internal hosts
denied contains "internal" if endswith(input.host, data.settings.suffix)

denied contains "empty" if input.host == ""
`

const helperRules = `package cuegate.testing

host(name) := {"host": name}
`

func loadTested(t *testing.T, tests string) *Rules {
	t.Helper()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	types := Types{
		Input: map[string]any{"type": "object", "properties": map[string]any{
			"host": map[string]any{"type": "string"}, "of": map[string]any{"$ref": "#/$defs/Of"},
		}, "$defs": map[string]any{"Of": map[string]any{"type": "object", "properties": map[string]any{"kind": map[string]any{"type": "string"}}}}},
		Settings: func(any) []schema.Violation {
			return nil
		},
		Setting: func([]string) *schema.Violation { return nil },
	}
	r, ps := Load(t.Context(), types,
		Source{Name: "policies", Builtin: true, FS: fstest.MapFS{
			"main.rego": file(askedRules), "testing/facts_test.rego": file(helperRules),
			"own/own_test.rego": file("package cuegate.own_test\n\ntest_ours if false\n"),
		}},
		Source{Name: "policies", FS: fstest.MapFS{
			"guard/deny.rego": file(testedRules), "guard/deny_test.rego": file(tests), "data.yaml": file("settings: {suffix: .internal}\n"),
		}},
	)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return r
}

// Tests see the rules, the data and the helpers; ours are not run.
func TestTest(t *testing.T) {
	r := loadTested(t, `package cuegate.guard_test

import data.cuegate.guard
import data.cuegate.testing

test_denied if "internal" in guard.denied with input as testing.host("a.internal")

test_wrong if {
	found := guard.denied with input as testing.host("example.com")
	print("found", found)
	found == {"internal"}
}

test_cases[name] if {
	some name, host in {"good": "a.internal", "bad": "example.com"}
	endswith(host, "internal")
}

test_error if to_number(input.host) == 1 with input as testing.host("x")

todo_test_later if false
`)
	u := NewUses()
	tests, ps := r.Test(t.Context(), nil, u)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	at := func(line int) problem.Problem {
		return problem.Problem{File: "policies/guard/deny_test.rego", Line: line, Column: 1}
	}
	const pkg, file = "cuegate.guard_test.", "policies/guard/deny_test.rego"
	want := []Test{
		{At: at(6), Name: pkg + "test_denied"},
		{At: at(8), Name: pkg + "test_wrong", Failures: []string{file + ":11: this is not true: found == {\"internal\"}\n  found is set()"}, Output: "found set()\n"},
		{At: at(14), Name: pkg + "test_cases", Failures: []string{`the case "bad" fails`, file + ":16: this is not true: endswith(host, \"internal\")\n  host is \"example.com\"\n  name is \"bad\""}},
		{At: at(19), Name: pkg + "test_error", Failures: []string{file + `:19:15: to_number: strconv.ParseFloat: parsing "x": invalid syntax`}},
		{At: at(21), Name: pkg + "todo_test_later", Skipped: true},
	}
	if diff := cmp.Diff(want, tests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rules := r.List(u, false)
	wantRules := []Rule{
		{At: problem.Problem{File: "policies/guard/deny.rego", Line: 5, Column: 1}, Name: "cuegate.guard.denied", Title: "No internal hosts", Used: true},
		{At: problem.Problem{File: "policies/guard/deny.rego", Line: 7, Column: 1}, Name: "cuegate.guard.denied"},
	}
	if diff := cmp.Diff(wantRules, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if all := r.List(u, true); len(all) != 4 {
		t.Errorf("with the built-in ones there are %d rules, not 4: %v", len(all), all)
	}
	some, ps := r.Test(t.Context(), regexp.MustCompile("guard_test.test_d"), nil)
	if len(ps) > 0 || len(some) != 1 || some[0].Name != pkg+"test_denied" {
		t.Errorf("of the name test_d: %v, %v", some, ps)
	}
}

// What decisions cannot use, tests cannot; and no facts that there are not.
func TestTestsThatDoNotCompile(t *testing.T) {
	for _, s := range []struct{ test, want string }{
		{"test_x if time.now_ns() > 0", "time.now_ns does not exist here"},
		{"test_x if http.send({}).status_code == 200", "http.send does not exist here"},
		{"test_x if input.hots == 1", "there is no input.hots"},
		{"test_x if data.cuegate.guard.denied == set() with input.hots as \"a\"", "policies/guard/deny_test.rego:3:51: there is no fact input.hots; did you mean host?"},
		{"test_x if data.cuegate.guard.denied == set() with input.of.kidn as 1", "there is no fact input.of.kidn; did you mean kind?"},
		{"test_x if ", "unexpected eof token"},
	} {
		_, ps := loadTested(t, "package cuegate.guard_test\n\n"+s.test+"\n").Test(t.Context(), nil, nil)
		if len(ps) == 0 || !strings.Contains(ps[0].String(), s.want) {
			t.Errorf("%s: got %v, want %q", s.test, ps, s.want)
		}
	}
}

// A bundle may have helpers of its own, as a copy of ours for the stock opa.
func TestOwnHelpers(t *testing.T) {
	r := loadTested(t, `package cuegate.testing

host(name) := {"host": sprintf("%s.internal", [name])}

test_own if "internal" in data.cuegate.guard.denied with input as host("a")
`)
	tests, ps := r.Test(t.Context(), nil, nil)
	if len(ps) > 0 || len(tests) != 1 || len(tests[0].Failures) > 0 {
		t.Errorf("got %v, %v", tests, ps)
	}
}

// A mutant loads although it leaves variables and rules behind that nothing reads.
func TestMutated(t *testing.T) {
	r := loadTested(t, "package cuegate.guard_test\n\ntest_denied if \"internal\" in data.cuegate.guard.denied with input as {\"host\": \"a.internal\"}\n")
	m, ps := r.Mutated(t.Context(), fstest.MapFS{
		"guard/deny.rego":      {Data: []byte("package cuegate.guard\n\ndenied contains \"internal\" if {\n\tx := input.host\n\tfalse\n}\n\nunread(y) if true\n")},
		"guard/deny_test.rego": {Data: []byte("package cuegate.guard_test\n\ntest_denied if \"internal\" in data.cuegate.guard.denied with input as {\"host\": \"a.internal\"}\n")},
	})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	for rules, passes := range map[*Rules]bool{r: true, m: false} {
		tests, ps := rules.Test(t.Context(), nil, nil)
		if len(ps) > 0 || len(tests) != 1 || (len(tests[0].Failures) == 0) != passes {
			t.Errorf("got %v, %v, want passed=%t", tests, ps, passes)
		}
	}
}
