package nginx

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/migrating.md anew")

const document = "../../../../docs/migrating.md"

// TestDocumentTellsOfEveryRow holds the tables of the document to those of the code, both
// ways.
func TestDocumentTellsOfEveryRow(t *testing.T) {
	data, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, want := range map[string]string{"annotations": annotationTable(), "settings": settingTable()} {
		begin, end := "<!-- "+name+": begin -->\n", "<!-- "+name+": end -->"
		before, rest, ok := strings.Cut(text, begin)
		got, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("the document has no %s", begin)
		}
		if got != want && !*update {
			t.Errorf("the table of %s is not that of the code; write it anew with: go test ./cmd/cuegate/internal/nginx -run Document -update", name)
		}
		text = before + begin + want + end + after
	}
	for _, name := range Acceptable() {
		if !strings.Contains(text, "\n| `"+name+"`") && !strings.Contains(text, "`, `"+name+"` |") {
			t.Errorf("the document does not tell what --accept %s takes", name)
		}
	}
	if *update {
		if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func annotationTable() string {
	var b strings.Builder
	b.WriteString("| annotation | what becomes of it | how, or what to do |\n|---|---|---|\n")
	for _, r := range Table() {
		became := string(r.Outcome)
		if r.Accept != "" {
			became = fmt.Sprintf("left out; %s with `--accept %s`", r.Outcome, r.Accept)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Name, became, cell(r.Note))
	}
	return b.String()
}

func settingTable() string {
	var b strings.Builder
	b.WriteString("| key | what becomes of it | how, or what to do |\n|---|---|---|\n")
	for _, s := range Settings() {
		became := string(s.Outcome)
		if s.Accept != "" {
			became = fmt.Sprintf("every Ingress is left out; %s with `--accept %s`", s.Outcome, s.Accept)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, became, cell(s.Note))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
