package bundletest

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const someStory = `What it is about.

-- a.yaml --
kind: A
-- deep/b.json --
{}
-- want/explain ing/shop/pay proxy.target_url --
as it is
-- want --
one
two
three
`

// The parts of a story are known with their lines, and written back as they were.
func TestStories(t *testing.T) {
	stories, err := Stories(fstest.MapFS{
		"tests/b/some.txtar":     {Data: []byte(someStory)},
		"tests/a.txtar":          {Data: []byte(strings.ReplaceAll(someStory, "\n", "\r\n"))},
		"tests/note.txt":         {Data: []byte("no story")},
		"policies/no/test.txtar": {Data: []byte("no story")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(stories) != 2 || stories[0].Name() != "tests/a" || stories[1].Name() != "tests/b/some" {
		t.Fatalf("the stories are %v", stories)
	}
	for _, s := range stories {
		if len(s.broken) > 0 || len(s.Manifests) != 2 || len(s.Wants) != 2 {
			t.Fatalf("%s: %+v", s.Path, s)
		}
		explain, want := s.Wants[0], s.Wants[1]
		if object, field, ok := explain.Explain(); explain.Line != 8 || !ok || object != "ing/shop/pay" || field != "proxy.target_url" {
			t.Errorf("%s: %+v", s.Path, explain)
		}
		if want.Line != 10 || want.Text != "one\ntwo\nthree\n" {
			t.Errorf("%s: %+v", s.Path, want)
		}
		if diff := cmp.Diff(someStory, string(s.Updated(nil))); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", s.Path, diff)
		}
		updated := strings.Replace(someStory, "two\n", "2\n", 1)
		if diff := cmp.Diff(updated, string(s.Updated(map[string]string{"want": "one\n2\nthree\n"}))); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", s.Path, diff)
		}
	}
	if none, err := Stories(fstest.MapFS{"policies/a.rego": {}}); err != nil || len(none) > 0 {
		t.Errorf("without a folder tests: %v, %v", none, err)
	}
}

func TestDifference(t *testing.T) {
	var long string
	for i := range 20 {
		long += fmt.Sprintf("line %d\n", i)
	}
	for _, s := range []struct {
		name, want, is string
		line           int
		text           string
	}{
		{"changed", "one\ntwo\nthree\n", "one\n2\nthree\n", 11, "\n one\n-two\n+2\n three"},
		{"added at the end", "one\n", "one\n\ntwo\n", 11, "\n one\n+\n+two"},
		{"all is new", "", "one\n", 9, "\n+one"},
		{"nothing is left", "one\n", "", 10, "\n-one"},
		{"no end", "one", "one\n", 10, "\n  the last line has no end"},
		{"far apart", "a\n" + long + "b\n", "A\n" + long + "B\n", 10, "\n-a\n+A\n line 0\n line 1\n line 2\n... line 28\n line 17\n line 18\n line 19\n-b\n+B"},
	} {
		t.Run(s.name, func(t *testing.T) {
			got := difference("tests/a.txtar", Want{Name: "want", Line: 10, Text: s.want}, s.is)
			want := Failure{"tests/a.txtar", s.line, "want: what the story wants (-) and what is (+)" + s.text, true}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// The XML is read back by a decoder that knows nothing of how it was written.
func TestWriteJUnit(t *testing.T) {
	text := "want: <a> & \"b\" (-)\n-\x1b[31m\xff\n+]]>"
	results := []Result{
		{File: "policies/a_test.rego", Line: 3, Name: "a_test.test_one", Output: "hello\n"},
		{File: "policies/a_test.rego", Line: 9, Name: "a_test.test_two", Failures: []Failure{{File: "policies/a_test.rego", Line: 9, Text: "not true"}, {File: "policies/a_test.rego", Line: 9, Text: "nor this"}}},
		{File: "policies/b_test.rego", Line: 1, Name: "b_test.todo_test_x", Skipped: true},
		{File: "tests/c.txtar", Line: 1, Name: "tests/c", Failures: []Failure{{File: "tests/c.txtar", Line: 7, Text: text}}, Took: 1500 * time.Millisecond},
	}
	var b bytes.Buffer
	if err := WriteJUnit(&b, results); err != nil {
		t.Fatal(err)
	}
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string    `xml:"classname,attr"`
		Name    string    `xml:"name,attr"`
		Line    int       `xml:"line,attr"`
		Time    float64   `xml:"time,attr"`
		Failure *failure  `xml:"failure"`
		Skipped *struct{} `xml:"skipped"`
		Output  string    `xml:"system-out"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     float64    `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	var got struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%s\n%s", err, b.String())
	}
	if got.Tests != 4 || got.Failures != 2 || got.Skipped != 1 {
		t.Errorf("%d tests, %d failures, %d skipped", got.Tests, got.Failures, got.Skipped)
	}
	shown := strings.NewReplacer("\x1b", "\ufffd", "\xff", "\ufffd").Replace(text)
	want := []suite{
		{"policies/a_test.rego", 2, 1, 0, 0, []testcase{
			{Class: "policies/a_test.rego", Name: "a_test.test_one", Line: 3, Output: "hello\n"},
			{Class: "policies/a_test.rego", Name: "a_test.test_two", Line: 9, Failure: &failure{"not true", "policies/a_test.rego:9: not true\npolicies/a_test.rego:9: nor this"}},
		}},
		{"policies/b_test.rego", 1, 0, 1, 0, []testcase{{Class: "policies/b_test.rego", Name: "b_test.todo_test_x", Line: 1, Skipped: &struct{}{}}}},
		{"tests/c.txtar", 1, 1, 0, 1.5, []testcase{{Class: "tests/c", Name: "tests/c", Line: 7, Time: 1.5, Failure: &failure{`want: <a> & "b" (-)`, "tests/c.txtar:7: " + shown}}}},
	}
	if diff := cmp.Diff(want, got.Suites); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSpread(t *testing.T) {
	list := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	for n, want := range map[int][]int{0: list, 3: {0, 3, 6}, 10: list, 11: list, 1: {0}} {
		if diff := cmp.Diff(want, spread(list, n)); diff != "" {
			t.Errorf("%d: (-want +got):\n%s", n, diff)
		}
	}
}
