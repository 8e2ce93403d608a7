package whatif

import (
	"fmt"
	"strings"
)

// Markdown writes the report as a comment of a code review.
func (r *Report) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("### What changes")
	line("")
	line("%s", r.Summary)
	if len(r.Exposure) > 0 {
		line("\n#### Exposure\n")
		line("| rule | object | where | what |")
		line("|---|---|---|---|")
		for _, f := range r.Exposure {
			line("| %s | %s | %s | %s |", code(f.Rule), code(f.Object), code(f.At), cell(f.Message))
		}
	}
	plain := func(colour int, text string) string { return text }
	for _, x := range r.Objects {
		w := &writer{paint: plain}
		w.object(x)
		line("\n<details><summary>%s</summary>\n", html(x.Object+" "+x.outcome()))
		text := strings.TrimSuffix(w.b.String(), "\n")
		// A fence longer than any inside.
		fence := "```"
		for strings.Contains(text, fence) {
			fence += "`"
		}
		line("%s\n%s%s\n\n</details>", fence, text, fence)
	}
	for _, n := range r.Unread {
		line("\nNot compared: %s", cell(n.String()))
	}
	return b.String()
}

// code writes a text as code in a cell of a table.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "<code>" + cell(text) + "</code>"
}

// cell writes a text into a cell of a table, without a meaning of its own.
func cell(text string) string {
	return strings.NewReplacer("|", "&#124;", "\n", " ", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "~", "&#126;", "@", "&#64;", "#", "&#35;", `\`, "&#92;").Replace(html(text))
}

func html(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\n", " ").Replace(text)
}
