package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAnnotationsAreDocumented holds docs/annotations.md to the annotations that the schema
// and the program know, both ways, and the reasons that it names to docs/reasons.md.
func TestAnnotationsAreDocumented(t *testing.T) {
	known := map[string]bool{}
	for _, source := range []struct {
		files string
		key   *regexp.Regexp
		begin string
	}{
		{"../../cue/schema/*.cue", regexp.MustCompile(`"([a-z.]+\.(?:io|dev)(?:/[a-z-]+)?)"\?:`), ""},
		{"../../cue/schema/annotations.cue", regexp.MustCompile(`"\^([a-z]+\\\.service\\\.tyk\\\.io/)"`), ""},
		{"../../engine/*.go", regexp.MustCompile(`\b\w+(?:Annotation|Key)\s*=\s*"([a-z.]+\.(?:io|dev)/[a-z.-]+|template\.service\.tyk\.io)"`), ""},
		{"../../engine/*.go", regexp.MustCompile(`injectorDomain \+ "([a-z-]+)"`), "injector.tyk.io/"},
		{"../../adapters/k8s/*.go", regexp.MustCompile(`\b\w+Key\s*=\s*"([a-z.]+\.(?:io|dev)/[a-z.-]+)"`), ""},
	} {
		files, err := filepath.Glob(source.files)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range source.key.FindAllStringSubmatch(string(text), -1) {
				key := source.begin + strings.ReplaceAll(m[1], `\`, "")
				if strings.HasSuffix(key, "/") {
					key += "PATH"
				}
				known[key] = true
			}
		}
	}
	delete(known, "cuegate.dev/sidecar") // a label
	if len(known) < 25 {
		t.Errorf("only %d annotations were found in the sources", len(known))
	}

	text, err := os.ReadFile("../../docs/annotations.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("../../docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		documented[code.FindStringSubmatch(cells[1])[1]] = true
		if len(cells) < 7 {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[5], -1) {
			if !strings.Contains(string(reasons), "`"+m[1]+"`") {
				t.Errorf("docs/annotations.md names the reason %s, of which docs/reasons.md does not tell", m[1])
			}
		}
	}
	for key := range known {
		if !documented[key] {
			t.Errorf("docs/annotations.md does not tell of %s", key)
		}
	}
	for key := range documented {
		if !known[key] {
			t.Errorf("docs/annotations.md tells of %s, which nothing knows", key)
		}
	}
}
