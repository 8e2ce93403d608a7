// Package problem holds the one shape in which everything that is wrong with a
// bundle is reported, and reads the errors of YAML decoders.
package problem

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a bundle.
type Problem struct {
	// File is the path inside the bundle, with "/"; "" when no file is at fault.
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 means unknown.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what is wrong, in one or more lines.
	Message string `json:"message"`
}

// String gives "file:line:column: message", without the parts that are unknown.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		if p.Line > 0 && p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

var yamlAt = regexp.MustCompile(`line (\d+): `)

// YAMLLine gives the line that an error of a YAML decoder names, or 0.
func YAMLLine(err error) int {
	if m := yamlAt.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// yamlValues match what such errors quote of the document: it may be a secret.
var yamlValues = regexp.MustCompile("`[^`]*`|(?:anchor|alias) '[^']*'")

// YAMLMessage gives the message of such an error without its line and without values,
// on one line.
func YAMLMessage(err error) string {
	msg := yamlAt.ReplaceAllString(err.Error(), "")
	msg = yamlValues.ReplaceAllString(msg, "(not shown)")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:\n  "} {
		msg = strings.TrimPrefix(msg, prefix)
	}
	msg = strings.Join(strings.Fields(msg), " ")
	if msg == "found character that cannot start any token" {
		msg += "; where it is a tab: YAML is indented with spaces"
	}
	return msg
}

// Sort puts problems in the order of a reader: by file, line and column, each
// once.
func Sort(ps []Problem) []Problem {
	slices.SortFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(ps)
}
