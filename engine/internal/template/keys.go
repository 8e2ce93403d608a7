package template

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
)

// CUE keeps every distinct key that it meets until the process ends. The keys of
// maps that annotations set, such as config_data or headers, are without bound, so
// CUE gets aliases in their place: one for the first such key of a rendering, one
// for the second, and so on, the same ones in every rendering. A bundle that
// could tell an alias from the key gets the keys themselves.

// alias writes the alias of a number. The mark at the end keeps that of 1 from being
// found in that of 10.
func alias(n int) string { return fmt.Sprintf("cuegate~%d~", n) }

var (
	aliased = regexp.MustCompile(`cuegate~(\d+)~`)
	// aliasedField is a key in JSON: a value has no quotes within its quotes, and no
	// colon after them.
	aliasedField = regexp.MustCompile(`"cuegate~(\d+)~":`)
)

// keys are those that have aliases, by number.
type keys []string

// hide replaces the keys in an expression that the bundle does not spell out.
func (s *Set) hide(values ast.Expr) keys {
	var hidden keys
	numbers := map[string]int{}
	ast.Walk(values, func(n ast.Node) bool {
		f, ok := n.(*ast.Field)
		if !ok {
			return true
		}
		key, _, err := ast.LabelName(f.Label)
		if err != nil || s.spelled[key] {
			return true
		}
		number, ok := numbers[key]
		if !ok {
			number = len(hidden)
			numbers[key] = number
			hidden = append(hidden, key)
		}
		f.Label = ast.NewString(alias(number))
		return true
	}, nil)
	return hidden
}

// reveal puts the keys back in place of their aliases, in a text for people.
func (k keys) reveal(text string) string {
	if len(k) == 0 {
		return text
	}
	return aliased.ReplaceAllStringFunc(text, func(found string) string {
		key, ok := k.find(aliased.FindStringSubmatch(found)[1])
		if !ok {
			return found
		}
		return key
	})
}

// revealJSON puts the keys back in place of their aliases, in compact JSON.
func (k keys) revealJSON(data []byte) []byte {
	if len(k) == 0 {
		return data
	}
	return aliasedField.ReplaceAllFunc(data, func(found []byte) []byte {
		key, ok := k.find(string(aliasedField.FindSubmatch(found)[1]))
		if !ok {
			return found
		}
		field, err := json.Marshal(key)
		if err != nil {
			panic(err) // a string always has a form in JSON
		}
		return append(field, ':')
	})
}

func (k keys) find(number string) (key string, ok bool) {
	n, err := strconv.Atoi(number)
	if err != nil || n >= len(k) {
		return "", false
	}
	return k[n], true
}

// tellsKeys tells whether a package could make a difference between a key and
// another that it does not spell out: by its form, by the text of the whole, or by
// asking for a key that it computes.
func tellsKeys(inst *build.Instance) bool {
	found := false
	for _, f := range inst.Files {
		ast.Walk(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForClause:
				found = found || n.Key != nil
			case *ast.Field:
				found = found || !fixed(n.Label) || n.Alias != nil && n.Alias.Label != nil
			case *ast.IndexExpr:
				_, literal := n.Index.(*ast.BasicLit)
				found = found || !literal
			case *ast.ImportSpec:
				found = found || strings.HasPrefix(n.Path.Value, `"encoding/`) || strings.HasPrefix(n.Path.Value, `"`+schemaPackage)
			}
			return !found
		}, nil)
	}
	return found
}

// fixed tells whether a label is a name, or the pattern of all names.
func fixed(label ast.Label) bool {
	switch l := label.(type) {
	case *ast.Ident, *ast.BasicLit:
		return true
	case *ast.ListLit:
		if len(l.Elts) == 1 {
			name, ok := l.Elts[0].(*ast.Ident)
			return ok && name.Name == "string"
		}
	}
	return false
}
