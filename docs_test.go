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

// TestSecurityClaims looks whether each test exists that docs/security.md says holds a
// claim.
func TestSecurityClaims(t *testing.T) {
	tests := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, is := strings.CutSuffix(d.Name(), ".txtar"); is {
			tests[name] = true
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			tests[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	held := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 {
			held = false
			continue
		}
		if strings.TrimSpace(cells[2]) == "held by" {
			held = true
			continue
		}
		if !held || strings.HasPrefix(cells[1], "---") {
			continue
		}
		claims++
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1)
		if len(names) == 0 {
			t.Errorf("no test holds: %s", cells[1])
		}
		for _, m := range names {
			if !tests[m[1]] {
				t.Errorf("there is no test %s, which is to hold: %s", m[1], cells[1])
			}
		}
	}
	if claims < 30 {
		t.Errorf("only %d claims were found", claims)
	}
}
