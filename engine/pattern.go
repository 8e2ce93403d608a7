package engine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxPattern bounds the size of a regular expression: it costs memory in every
// gateway.
const maxPattern = 16 << 10

// muxVariable is one variable of a template, with the text before it.
type muxVariable struct{ before, name, pattern string }

// ourPatterns are those that listenpath writes for nearly all routes. With text
// around them they always compile, which takes a while to find out.
var ourPatterns = []string{`(?:/|$)`, `$(?:/|$)`, `(?:|/)`, `[^.]+`}

// checkMuxTemplate checks a listen path or a domain as the gateway's router reads
// it (gorilla/mux v1.8.1): text, and variables {name} or {name:regexp}. It gives
// the names of the variables.
func checkMuxTemplate(s string) ([]string, error) {
	variables, rest, err := muxVariables(s)
	if err != nil {
		return nil, err
	}
	var names []string
	whole, ours := "^", utf8.ValidString(s)
	for _, v := range variables {
		if slices.Contains(names, v.name) {
			return nil, fmt.Errorf("the variable %s stands twice", clip(v.name))
		}
		names = append(names, v.name)
		if !slices.Contains(ourPatterns, v.pattern) {
			ours = false
			if _, err := compiles(v.pattern); err != nil {
				return nil, err
			}
		}
		whole += regexp.QuoteMeta(v.before) + "(" + v.pattern + ")"
	}
	whole += regexp.QuoteMeta(rest)
	if ours && len(whole) <= maxPattern {
		return names, nil
	}
	re, err := compiles(whole)
	if err != nil {
		return nil, err
	}
	if re.NumSubexp() != len(variables) {
		return nil, errors.New("a regular expression has a group that captures, on which the gateway panics; write (?:...) for (...)")
	}
	return names, nil
}

// muxVariables takes a template apart; rest is the text after the last variable.
func muxVariables(s string) (variables []muxVariable, rest string, err error) {
	depth, open, end := 0, 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			if depth++; depth == 1 {
				open = i
			}
		case '}':
			if depth--; depth < 0 {
				return nil, "", errors.New("a } has no {")
			}
			if depth > 0 {
				continue
			}
			name, pattern, hasPattern := strings.Cut(s[open+1:i], ":")
			if name == "" || hasPattern && pattern == "" {
				return nil, "", errors.New("a variable in braces has no name or an empty pattern")
			}
			variables = append(variables, muxVariable{s[end:open], name, pattern})
			end = i + 1
		}
	}
	if depth != 0 {
		return nil, "", errors.New("a { has no }")
	}
	return variables, s[end:], nil
}

func compiles(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, errors.New("the regular expression is too long")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, errors.New("the regular expression does not compile")
	}
	return re, nil
}

// patternFields are the fields of extended paths that the gateway compiles as
// regular expressions. One that does not compile makes every request panic.
var patternFields = []string{"path", "match_pattern", "match_rx", "cache_key_regex"}

func isPattern(path []string) bool {
	if len(path) < 5 || path[0] != "version_data" {
		return false
	}
	if path[3] == "paths" || path[3] == "extended_paths" && path[4] == "cache" {
		return true // lists of paths
	}
	return path[3] == "extended_paths" && slices.Contains(patternFields, path[len(path)-1])
}

var pathVariable = regexp.MustCompile(`\{[^{}/]*\}`)

// checkPattern checks a path of an endpoint, in which {name} stands for one
// element, or a plain regular expression.
func checkPattern(s string) error {
	_, err := compiles(pathVariable.ReplaceAllString(s, `[^/]*`))
	return err
}
