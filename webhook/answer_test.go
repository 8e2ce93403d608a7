package webhook

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/cuegate/cuegate/engine"
)

func TestWarnings(t *testing.T) {
	many := make([]engine.Reason, 40)
	for i := range many {
		many[i] = engine.Reason{ID: fmt.Sprint("id-", i), Msg: strings.Repeat("long ", 200)}
	}
	stories := []struct {
		name    string
		reasons []engine.Reason
		want    []string // nil: only the bounds are looked at
		count   int
	}{
		{name: "none", want: []string{}},
		{name: "not asked", reasons: []engine.Reason{{ID: "not-asked", Msg: "x"}}, want: []string{}},
		{name: "with a fix", reasons: []engine.Reason{{ID: "a", Msg: "Wrong.", Fix: "Mend it."}}, want: []string{"cuegate: Wrong. Mend it. (a)"}},
		{name: "twice", reasons: []engine.Reason{{ID: "a", Msg: "Wrong."}, {ID: "a", Msg: "Wrong.", Field: "x"}}, want: []string{"cuegate: Wrong. (a)"}},
		{
			name:    "no line breaks, no commands for terminals, no broken letters",
			reasons: []engine.Reason{{ID: "a\n", Msg: "one\r\ntwo\x1b[31m\u202eeno\xff\u00a0."}},
			want:    []string{"cuegate: one  two [31m eno\ufffd . (a )"},
		},
		{
			name:    "cut between letters, and the id stays",
			reasons: []engine.Reason{{ID: "the-id", Msg: strings.Repeat("ä", 300)}},
			want:    []string{"cuegate: " + strings.Repeat("ä", 117) + "… (the-id)"},
		},
		{name: "a long id", reasons: []engine.Reason{{ID: strings.Repeat("i", 500), Msg: strings.Repeat("m", 500)}}, count: 1},
		{name: "many", reasons: many, count: 16},
		{name: "sixteen", reasons: many[:16], count: 16},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			got := warnings(s.reasons)
			if s.want != nil {
				s.count = len(s.want)
				if d := cmp.Diff(strings.Join(s.want, "\n"), strings.Join(got, "\n")); d != "" {
					t.Errorf("other warnings (-want +got):\n%s", d)
				}
			}
			if len(got) != s.count {
				t.Errorf("%d warnings, want %d", len(got), s.count)
			}
			total := 0
			for _, line := range got {
				total += len(line)
				if len(line) > 256 || !utf8.ValidString(line) {
					t.Errorf("%d bytes: %q", len(line), line)
				}
			}
			if total > 4096 {
				t.Errorf("%d bytes of warnings", total)
			}
		})
	}
	if last := warnings(many)[15]; last != "cuegate: and 25 more" {
		t.Errorf("what is left out is told as %q", last)
	}
	if last := warnings(many[:16])[15]; !strings.HasSuffix(last, "(id-15)") {
		t.Errorf("the sixteenth of sixteen is %q", last)
	}
}

// TestDenialIsBounded: however many reasons a policy makes up.
func TestDenialIsBounded(t *testing.T) {
	many := make([]engine.Reason, 1000)
	for i := range many {
		many[i] = engine.Reason{ID: strings.Repeat("i", 1000), Msg: strings.Repeat("é\n", 1000), Field: strings.Repeat("f", 1000)}
	}
	var a answer
	a.deny(review{}, engine.Object{}, many)
	if len(a.Status.Message) > 32<<10 || len(a.Status.Details.Causes) != 16 {
		t.Errorf("%d bytes, %d causes", len(a.Status.Message), len(a.Status.Details.Causes))
	}
	if !strings.HasSuffix(a.Status.Message, "; and 984 more") || strings.ContainsAny(a.Status.Message, "\n") || !utf8.ValidString(a.Status.Message) {
		t.Errorf("the message ends with %q", a.Status.Message[len(a.Status.Message)-100:])
	}
}
