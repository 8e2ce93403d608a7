package nginx

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Good tells whether everything was carried over and the engine takes it.
func (m *Migration) Good() bool {
	for _, r := range m.Ingresses {
		if r.Outcome.worse(Approximated) {
			return false
		}
	}
	for _, s := range m.Settings {
		if s.Outcome.worse(Approximated) {
			return false
		}
	}
	return true
}

// Summary counts, in one line.
func (m *Migration) Summary() string {
	written, left, lost := 0, 0, 0
	for _, r := range m.Ingresses {
		switch {
		case r.Outcome == LeftOut:
			left++
		default:
			written++
		}
		if r.Outcome != LeftOut {
			for _, e := range r.Entries {
				if e.Outcome == Unsupported {
					lost++
				}
			}
		}
	}
	for _, s := range m.Settings {
		if s.Outcome == Unsupported {
			lost++
		}
	}
	return fmt.Sprintf("%d of %d Ingresses migrated, %d left out; %d unsupported", written, written+left, left, lost)
}

// Report gives lines for people: a block for each Ingress, a row for each annotation.
func (m *Migration) Report() []string {
	var lines []string
	for i, r := range m.Ingresses {
		if i > 0 {
			lines = append(lines, "")
		}
		head := r.Object + " (" + r.Source + "): "
		if r.Outcome == LeftOut {
			head += "LEFT OUT"
		} else {
			head += "migrated to " + r.File + ", template " + r.Template
		}
		lines = append(lines, head)
		lines = append(lines, rowsOf(r.Entries)...)
	}
	if len(m.Settings) > 0 {
		lines = append(lines, "", "ConfigMap of the controller")
		lines = append(lines, rowsOf(m.Settings)...)
	}
	if len(m.Hints) > 0 {
		lines = append(lines, "")
		lines = append(lines, m.Hints...)
	}
	return lines
}

// maxValue bounds what is shown of a value, in characters.
const maxValue = 32

func rowsOf(entries []Entry) []string {
	type row struct{ name, value, became, note string }
	var rows []row
	var widths [3]int
	for _, e := range entries {
		r := row{e.Name, shown(e.Value), string(e.Outcome), e.Note}
		if e.Accept != "" {
			r.note += " [--accept " + e.Accept + "]"
		}
		rows = append(rows, r)
		for i, c := range []string{r.name, r.value, r.became} {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("  %-*s  %-*s  %-*s  %s", widths[0], r.name, widths[1], r.value, widths[2], r.became, r.note))
	}
	return lines
}

func shown(value string) string {
	value = strings.Join(strings.Fields(value), " ")
	if runes := []rune(value); len(runes) > maxValue {
		return string(runes[:maxValue-3]) + "..."
	}
	return value
}
