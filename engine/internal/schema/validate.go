package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue"
)

// Violation is one way in which a document does not fit.
type Violation struct {
	// Path of the value, by keys and list indexes.
	Path []string
	// Unknown is set when the schema has no such field.
	Unknown bool
	// Message is a clause about the value, e.g. "wants true or false, not a string".
	Message string
	// Nearest is the valid path closest to an unknown one, or "".
	Nearest string
}

func (v Violation) Error() string {
	s := Join(v.Path) + ": " + v.Message
	if v.Nearest != "" {
		s += fmt.Sprintf("; did you mean %s?", v.Nearest)
	}
	return s
}

// Validate checks a document as encoding/json decodes it with UseNumber. It
// returns every violation, in the order of paths.
func (s *Schema) Validate(doc any) []Violation {
	c := collector{unknown: s.unknown()}
	c.visit(s.root, doc)
	return c.found
}

// ValidateAt checks a value that would stand at path. An index of a list may be
// any number.
func (s *Schema) ValidateAt(path []string, value any) []Violation {
	if _, v := s.Shape(path); v != nil {
		return []Violation{*v}
	}
	c := collector{path: slices.Clone(path), unknown: s.unknown()}
	c.visit(s.at(path), value)
	return c.found
}

// IsList tells whether a list stands at path.
func (s *Schema) IsList(path []string) bool {
	n := s.at(path)
	return n != nil && n.shape == list
}

// at follows path; it is nil where the schema has no such path.
func (s *Schema) at(path []string) *node {
	n := s.root
	for _, key := range path {
		switch n.shape {
		case anything:
			return n
		case mapping, list:
			n = n.elem
		case object:
			n = n.fields[key]
		default:
			return nil
		}
		if n == nil {
			return nil
		}
	}
	return n
}

// collector keeps the path as it goes, so that a valid document costs nothing.
type collector struct {
	path  []string
	found []Violation
	// unknown is what is said of an unknown field.
	unknown string
}

func (s *Schema) unknown() string { return "no such field in " + s.what }

func (c *collector) visit(n *node, x any) {
	switch n.shape {
	case anything:
	case scalar:
		if !n.check(x) {
			c.add(Violation{Message: n.explain(x)})
		}
	case list:
		items, ok := x.([]any)
		if !ok {
			c.add(Violation{Message: "wants a list, not " + KindOf(x)})
			return
		}
		for i, item := range items {
			c.path = append(c.path, fmt.Sprint(i))
			c.visit(n.elem, item)
			c.path = c.path[:len(c.path)-1]
		}
	case object, mapping:
		m, ok := x.(map[string]any)
		if !ok {
			c.add(Violation{Message: "wants an object, not " + KindOf(x)})
			return
		}
		c.visitFields(n, m)
	}
}

func (c *collector) visitFields(n *node, m map[string]any) {
	before := len(c.found)
	for k, v := range m {
		if n.key != nil && !n.key.check(k) {
			c.path = append(c.path, k)
			c.add(Violation{Message: n.key.explainKey()})
			c.path = c.path[:len(c.path)-1]
		}
		child := n.elem
		if n.shape == object {
			child = n.fields[k]
		}
		c.path = append(c.path, k)
		if child == nil {
			near := Nearest(k, n.names)
			if near != "" {
				near = Join(append(slices.Clone(c.path[:len(c.path)-1]), near))
			}
			c.add(Violation{Unknown: true, Message: c.unknown, Nearest: near})
		} else {
			c.visit(child, v)
		}
		c.path = c.path[:len(c.path)-1]
	}
	for _, k := range n.required {
		if _, ok := m[k]; !ok {
			c.add(Violation{Message: fmt.Sprintf("the field %s is missing", k)})
		}
	}
	if len(c.found) > before+1 {
		slices.SortFunc(c.found[before:], func(a, b Violation) int { return slices.Compare(a.Path, b.Path) })
	}
}

func (c *collector) add(v Violation) {
	v.Path = slices.Clone(c.path)
	c.found = append(c.found, v)
}

// explain says what a scalar wants. It never repeats the value: it may be a secret.
func (n *node) explain(x any) string {
	got := KindOf(x)
	switch {
	case len(n.values) > 0 && kindOf(x) == cue.StringKind:
		return "wants " + n.oneOf()
	case len(n.values) > 0:
		return fmt.Sprintf("wants %s, not %s", n.oneOf(), got)
	case kindOf(x) == cue.FloatKind && n.kind&cue.NumberKind == cue.IntKind:
		return fmt.Sprintf("wants %s, without a fraction or an exponent", n.want)
	case kindOf(x)&n.kind == 0:
		return fmt.Sprintf("wants %s, not %s", n.want, got)
	case n.doc != "":
		return fmt.Sprintf("is %s that is not allowed here (%s)", got, strings.TrimSuffix(n.doc, "."))
	}
	return fmt.Sprintf("is %s that is not allowed here", got)
}

// explainKey says why a key cannot stand in a map.
func (n *node) explainKey() string {
	if n.doc == "" {
		return "is a key that is not allowed here"
	}
	return fmt.Sprintf("is a key that is not allowed here (%s)", strings.TrimSuffix(n.doc, "."))
}

// oneOf lists the strings that will do.
func (n *node) oneOf() string {
	quoted := make([]string, len(n.values))
	for i, s := range n.values {
		quoted[i] = strconv.Quote(s)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "one of " + strings.Join(quoted, ", ")
}

// KindOf says what a decoded JSON value is, with its article.
func KindOf(x any) string {
	switch x.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return "a number"
}

// Shape follows path and returns it as the field table writes it: "*" for the
// key of a map, nothing for the index of a list. The Violation is not nil when
// the schema has no such path.
func (s *Schema) Shape(path []string) ([]string, *Violation) {
	n := s.root
	shape := make([]string, 0, len(path))
	for i, key := range path {
		switch n.shape {
		case anything:
			return append(shape, "*"), nil
		case mapping:
			shape, n = append(shape, "*"), n.elem
		case list:
			if strings.Trim(key, "0123456789") != "" || len(key) > 3 {
				return nil, &Violation{Path: path[:i+1], Unknown: true, Message: fmt.Sprintf("%s is a list: its elements are numbered from 0 to 999", Join(path[:i]))}
			}
			n = n.elem
		case object:
			child := n.fields[key]
			if child == nil {
				near := Nearest(key, n.names)
				if near != "" {
					near = Join(append(append(slices.Clone(path[:i]), near), path[i+1:]...))
				}
				return nil, &Violation{Path: path[:i+1], Unknown: true, Message: s.unknown(), Nearest: near}
			}
			shape, n = append(shape, key), child
		case scalar:
			return nil, &Violation{Path: path[:i+1], Unknown: true, Message: fmt.Sprintf("%s has no fields: it is %s", Join(path[:i]), n.want)}
		}
	}
	return shape, nil
}

// Known checks a path in the form that Shape gives: the elements of lists have no
// number. It is nil where the schema has the path.
func (s *Schema) Known(shape []string) *Violation {
	n := s.root
	for i, key := range shape {
		for n.shape == list {
			n = n.elem
		}
		switch n.shape {
		case anything:
			return nil
		case mapping:
			n = n.elem
		case scalar:
			return &Violation{Path: shape[:i+1], Unknown: true, Message: fmt.Sprintf("%s has no fields: it is %s", Join(shape[:i]), n.want)}
		case object:
			child := n.fields[key]
			if child == nil {
				v := &Violation{Path: shape[:i+1], Unknown: true, Message: s.unknown()}
				if near := Nearest(key, n.names); near != "" {
					v.Nearest = Join(append(append(slices.Clone(shape[:i]), near), shape[i+1:]...))
				}
				return v
			}
			n = child
		}
	}
	return nil
}

// Join writes a path with "." between keys; a "." inside a key becomes "\.".
func Join(path []string) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = strings.ReplaceAll(p, ".", `\.`)
	}
	return strings.Join(parts, ".")
}

// Open writes the schema as CUE text that lets everything pass: structs are open
// at every level and keep but those fields that hold structs themselves and for
// which keep is true. A template that is rendered against it costs a fraction;
// Validate makes up for it.
func (s *Schema) Open(keep func(name string) bool) string {
	var b strings.Builder
	s.root.open(&b, keep)
	return b.String()
}

func (n *node) open(b *strings.Builder, keep func(string) bool) {
	switch {
	case n.shape == object:
		b.WriteString("{")
		for _, name := range n.names {
			if child := n.fields[name]; child.deep() && keep(name) {
				fmt.Fprintf(b, "%q?: ", name)
				child.open(b, keep)
				b.WriteString(", ")
			}
		}
		b.WriteString("...}")
	case n.shape == mapping && n.elem.deep():
		b.WriteString("{[string]: ")
		n.elem.open(b, keep)
		b.WriteString("}")
	case n.shape == mapping:
		b.WriteString("{...}")
	case n.shape == list && n.elem.deep():
		b.WriteString("[...")
		n.elem.open(b, keep)
		b.WriteString("]")
	default:
		b.WriteString("_")
	}
}

// deep tells whether structs stand anywhere below n.
func (n *node) deep() bool {
	switch n.shape {
	case object, mapping:
		return true
	case list:
		return n.elem.deep()
	}
	return false
}

// Nearest finds the name of a sorted list that is most likely meant, or "".
func Nearest(name string, names []string) string {
	best, bestAt := "", 1+max(2, utf8.RuneCountInString(name)/3)
	for _, n := range names {
		if d := distance(name, n); d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

// distance counts the edits (insert, delete, replace, swap neighbours) from a to
// b. Names beyond 128 bytes are nobody's typing error.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return 1 << 30
	}
	x, y := []rune(a), []rune(b)
	rows := [3][]int{make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(x); i++ {
		rows[2][0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[1][j]+1, rows[2][j-1]+1, rows[1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[0][j-2]+1)
			}
			rows[2][j] = d
		}
		rows[0], rows[1], rows[2] = rows[1], rows[2], rows[0]
	}
	return rows[1][len(y)]
}
