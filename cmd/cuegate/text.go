package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// printable writes what a terminal would obey, and not show, as an escape: names
// and keys come from anywhere.
func printable(text string) string {
	if !strings.ContainsFunc(text, isHidden) {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if isHidden(c) {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

func isHidden(c rune) bool { return c != '\n' && c != '\t' && !unicode.IsPrint(c) }

// count writes "1 problem" and "2 problems".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// isOrAre writes "1 route is" and "2 routes are".
func isOrAre(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return count(n, noun) + " are"
}
