package migrate

import (
	"strings"
	"unicode/utf8"
)

// line is a field or a comprehension of CUE, with the comments above it.
type line struct {
	comments []string
	// label of a field; head of a comprehension, such as "if x != \"\"".
	label, head string
	// value of a field; where it is "", the lines of body stand in braces.
	value string
	body  []line
}

// printLines writes lines as `cue fmt` does: values of neighbours that are neither
// structs nor lists stand below each other.
func printLines(b *strings.Builder, lines []line, indent string) {
	width := make([]int, len(lines))
	for i := 0; i < len(lines); {
		j, most := i, 0
		for ; j < len(lines) && lines[j].isAligned() && (j == i || len(lines[j].comments) == 0); j++ {
			most = max(most, utf8.RuneCountInString(lines[j].label))
		}
		for k := i; k < j; k++ {
			width[k] = most
		}
		i = max(j, i+1)
	}
	for i, l := range lines {
		if i > 0 && len(l.comments) > 0 && (lines[i-1].head != "" || l.label == "") {
			b.WriteByte('\n')
		}
		for _, c := range l.comments {
			b.WriteString(strings.TrimRight(indent+"// "+c, " ") + "\n")
		}
		switch {
		case l.label == "" && l.head == "":
			continue // comments alone
		case l.label != "" && l.value != "":
			pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(l.label)))
			b.WriteString(indent + l.label + ": " + pad + strings.ReplaceAll(l.value, "\n", "\n"+indent) + "\n")
			continue
		case l.label != "":
			b.WriteString(indent + l.label + ": {")
		default:
			b.WriteString(indent + l.head + " {")
		}
		if len(l.body) > 0 {
			b.WriteByte('\n')
			printLines(b, l.body, indent+"\t")
			b.WriteString(indent)
		}
		b.WriteString("}\n")
	}
}

func (l line) isAligned() bool {
	return l.label != "" && l.value != "" && !hasBrackets(l.value)
}

// hasBrackets tells whether a list or a struct stands in an expression, outside of its
// texts.
func hasBrackets(value string) bool {
	in := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case in && c == '\\' && i+1 < len(value) && value[i+1] == '(':
			i = skipParentheses(value, i+1)
		case in && c == '\\':
			i++
		case c == '"':
			in = !in
		case !in && (c == '[' || c == '{'):
			return true
		}
	}
	return false
}

// skipParentheses gives the offset of the parenthesis that closes the one at i.
func skipParentheses(value string, i int) int {
	depth, in := 0, false
	for ; i < len(value); i++ {
		switch c := value[i]; {
		case in && c == '\\' && i+1 < len(value) && value[i+1] == '(':
			i = skipParentheses(value, i+1)
		case in && c == '\\':
			i++
		case c == '"':
			in = !in
		case !in && c == '(':
			depth++
		case !in && c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return i
}
