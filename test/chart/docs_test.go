package chart

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"
)

// Values and --set of docs/install.md are ones that the chart takes, and every value that
// its tables name is there.
func TestDocument(t *testing.T) {
	raw, err := os.ReadFile(root + "docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	var given []string
	for _, m := range regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```").FindAllStringSubmatch(text, -1) {
		given = append(given, m[1])
	}
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		set := map[string]any{}
		for _, m := range regexp.MustCompile(`--set '?(\S+)`).FindAllStringSubmatch(line, -1) {
			if err := strvals.ParseInto(strings.ReplaceAll(m[1], "'", ""), set); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if len(set) > 0 {
			values, err := yaml.Marshal(set)
			if err != nil {
				t.Fatal(err)
			}
			given = append(given, string(values))
		}
	}
	if len(given) < 5 {
		t.Fatalf("only %d examples were found", len(given))
	}
	for _, values := range given {
		if _, err := render(t, values); err != nil {
			t.Errorf("%v\n%s", err, values)
		}
	}

	defaults, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all, named := values(t, string(defaults)), 0
	for line := range strings.Lines(text[:strings.Index(text, "## Without Helm")]) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([a-zA-Z.]+)(?:: null)?`").FindAllStringSubmatch(cells[1], -1) {
			named++
			if !has(all, m[1]) {
				t.Errorf("values.yaml has no %s", m[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d values were found", named)
	}
}

// has tells whether there is something under a path with dots.
func has(all map[string]any, path string) bool {
	first, rest, more := strings.Cut(path, ".")
	value, ok := all[first]
	if !more {
		return ok
	}
	below, _ := value.(map[string]any)
	return has(below, rest)
}
