package engine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkMuxTemplate checks a listen path or a domain as the gateway's router reads
// it: text, and variables {name} or {name:regexp}.
func checkMuxTemplate(s string) error {
	names := map[string]bool{}
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			if depth++; depth == 1 {
				start = i + 1
			}
		case '}':
			if depth--; depth < 0 {
				return errors.New("a } has no {")
			}
			if depth > 0 {
				continue
			}
			name, pattern, hasPattern := strings.Cut(s[start:i], ":")
			if name == "" || hasPattern && pattern == "" {
				return errors.New("a variable in braces has no name or an empty pattern")
			}
			if names[name] {
				return fmt.Errorf("the variable %s stands twice", clip(name))
			}
			names[name] = true
			if err := compiles(pattern); err != nil {
				return err
			}
		}
	}
	if depth != 0 {
		return errors.New("a { has no }")
	}
	return nil
}

// compiles bounds the size: a pattern costs memory in every gateway.
func compiles(pattern string) error {
	if len(pattern) > 16<<10 {
		return errors.New("the regular expression is too long")
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return errors.New("the regular expression does not compile")
	}
	return nil
}

// patternFields are the fields of extended paths that the gateway compiles as
// regular expressions. One that does not compile makes every request panic.
var patternFields = []string{"path", "match_pattern", "match_rx", "cache_key_regex"}

func isPattern(path []string) bool {
	return slices.Contains(path, "extended_paths") && slices.Contains(patternFields, path[len(path)-1])
}

var pathVariable = regexp.MustCompile(`\{[^{}/]*\}`)

// checkPattern checks a path of an endpoint, in which {name} stands for one
// element, or a plain regular expression.
func checkPattern(s string) error {
	return compiles(pathVariable.ReplaceAllString(s, `[^/]*`))
}
