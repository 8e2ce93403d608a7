package cuegate_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReasonsAreDocumented looks for the ids of reasons in Go and Rego, and holds
// docs/reasons.md to them, both ways.
func TestReasonsAreDocumented(t *testing.T) {
	used := map[string]bool{}
	for _, source := range []struct {
		dir, ext string
		id       *regexp.Regexp
	}{
		{"engine", ".go", regexp.MustCompile(`(?:\bc\.lose\(x, winner,|\bID(?::|, r\.Msg =)|\br\.refuse\(|\bid, what :?=|r\.ID, r\.Msg =)\s*"([a-z]+(?:-[a-z]+)*)"`)},
		{"cmd", ".go", regexp.MustCompile(`\bID:\s*"([a-z]+(?:-[a-z]+)*)"`)},
		{"adapters/k8s", ".go", regexp.MustCompile(`(?:\bid[A-Z]\w*\s*=|\bheld\(ref,)\s*"([a-z]+(?:-[a-z]+)*)"`)},
		{"policies", ".rego", regexp.MustCompile(`(?m)(?:^# {3}id: ([a-z-]+)$)`)},
	} {
		err := filepath.WalkDir(source.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != source.ext || strings.Contains(path, "_test.") || strings.Contains(path, "policies/testing") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range source.id.FindAllStringSubmatch(string(text), -1) {
				used[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]] = true
			}
		}
	}
	if len(used) < 50 {
		t.Errorf("only %d ids were found in the sources", len(used))
	}
	for id := range used {
		// Names of rules that give no reason.
		if !documented[id] && id != "set" && id != "default" {
			t.Errorf("docs/reasons.md does not tell of %q", id)
		}
	}
	for id := range documented {
		if !used[id] {
			t.Errorf("docs/reasons.md tells of %q, which nothing gives", id)
		}
	}
}
