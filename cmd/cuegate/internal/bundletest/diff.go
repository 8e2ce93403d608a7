package bundletest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// difference shows what a story wants and what is, line by line with those around. Its
// place is that of the first line that is not so.
func difference(file string, w Want, is string) Failure {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: what the story wants (-) and what is (+)", w.Name)
	text := diff.Diff("want", []byte(ended(w.Text)), "is", []byte(ended(is)))
	first := 0
	line := 0
	hunks := 0
	for _, l := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		var a, n, c, m int
		if _, err := fmt.Sscanf(string(l), "@@ -%d,%d +%d,%d @@", &a, &n, &c, &m); err == nil {
			line = w.Line + a - 1
			if hunks++; hunks > 1 {
				fmt.Fprintf(&b, "\n... line %d", line)
			}
			continue
		}
		if line == 0 {
			continue // before the first hunk
		}
		if first == 0 && (l[0] == '-' || l[0] == '+') {
			first = line
		}
		if l[0] != '+' {
			line++
		}
		fmt.Fprintf(&b, "\n%s", bytes.TrimRight(l, " "))
	}
	if text == nil { // they differ in the last newline only
		b.WriteString("\n  the last line has no end")
		first = w.Line + strings.Count(w.Text, "\n")
	}
	return Failure{file, first, b.String(), true}
}

// ended ends the last line.
func ended(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}
