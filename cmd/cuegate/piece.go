package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
)

// piece is one document of a file, with all text around it: the pieces of a file, one
// after the other, are the file.
type piece struct {
	// source is "file:line" of its first line, as its objects have it.
	source string
	text   []byte
}

// splitPieces cuts where engine.ParseManifests does: at lines that begin with "---". No
// piece is empty, unless the file is.
func splitPieces(file string, data []byte) []piece {
	var all []piece
	begin, first := 0, 1 // of the piece: its offset, and its line
	at, line := 0, 1
	for text := range bytes.Lines(data) {
		if at > begin && isSeparator(text) {
			all = append(all, piece{fmt.Sprintf("%s:%d", file, first), data[begin:at]})
			begin, first = at, line
		}
		at += len(text)
		line++
	}
	return append(all, piece{fmt.Sprintf("%s:%d", file, first), data[begin:]})
}

var byteOrderMark = []byte("\ufeff")

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n"))
}

// tree is a document that can be changed. Comments, the order of keys and the style of
// what is not changed stay; blank lines and the width of indentation inside lists may not.
type tree struct {
	// head is the line with the dashes; "" where there is none.
	head    string
	root    *yamlnode.Node // of the kind DocumentNode: comments at the ends are its own
	text    []byte
	isJSON  bool
	newline string
	// indent is by how much it is indented; compact: lists stand below their key.
	indent  int
	compact bool
}

// parse reads a piece. The document has one node, or it is an error.
func (p piece) parse() (*tree, error) {
	t := &tree{text: bytes.TrimPrefix(p.text, byteOrderMark), newline: "\n"}
	if bytes.Contains(t.text, []byte("\r\n")) {
		t.newline = "\r\n"
	}
	if line, rest, _ := bytes.Cut(t.text, []byte("\n")); isSeparator(line) {
		t.head = "---" + t.newline
		if behind := bytes.TrimSpace(line[len("---"):]); len(behind) == 0 || behind[0] == '#' {
			t.head, t.text = string(bytes.TrimSuffix(line, []byte("\r")))+t.newline, rest
		} else {
			t.text = append([]byte("   "), t.text[len("---"):]...)
		}
	}
	t.isJSON = json.Valid(t.text)
	var next yamlnode.Node
	t.root = &yamlnode.Node{}
	dec := yamlnode.NewDecoder(bytes.NewReader(t.text))
	if err := dec.Decode(t.root); err != nil {
		return nil, err
	}
	if len(t.root.Content) != 1 || dec.Decode(&next) != io.EOF {
		return nil, errors.New("there is not one document")
	}
	t.indent, t.compact = layout(t.root)
	if hasAlias(t.root) {
		// What is changed in one place must stay as it is in all others.
		if err := expand(t.root); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func hasAlias(n *yamlnode.Node) bool {
	if n.Kind == yamlnode.AliasNode {
		return true
	}
	for _, c := range n.Content {
		if hasAlias(c) {
			return true
		}
	}
	return false
}

// maxNodes bounds a document whose aliases are written out.
const maxNodes = 1_000_000

// expand writes aliases out, and merges as well.
func expand(n *yamlnode.Node) error {
	left := maxNodes
	var walk func(n *yamlnode.Node) error
	walk = func(n *yamlnode.Node) error {
		if left--; left < 0 {
			return errors.New("the aliases of the document stand for too much")
		}
		for n.Kind == yamlnode.AliasNode {
			c := *n.Alias
			c.HeadComment, c.LineComment, c.FootComment = n.HeadComment, n.LineComment, n.FootComment
			*n = c
		}
		n.Anchor = ""
		children := make([]*yamlnode.Node, len(n.Content))
		for i, c := range n.Content {
			own := *c
			children[i] = &own
			if err := walk(children[i]); err != nil {
				return err
			}
		}
		n.Content = children
		merge(n)
		return nil
	}
	return walk(n)
}

// merge writes a merge ("<<") out. The node's own keys have precedence, then those of the
// first map.
func merge(n *yamlnode.Node) {
	if n.Kind != yamlnode.MappingNode {
		return
	}
	var own, merged []*yamlnode.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.ShortTag() != "!!merge" {
			own = append(own, k, v)
			continue
		}
		maps := []*yamlnode.Node{v}
		if v.Kind == yamlnode.SequenceNode {
			maps = v.Content
		}
		for _, m := range maps {
			merged = append(merged, m.Content...)
		}
	}
	if merged == nil {
		return
	}
	n.Content = own
	for i := 0; i+1 < len(merged); i += 2 {
		if valueOf(n, merged[i].Value) == nil {
			n.Content = append(n.Content, merged[i], merged[i+1])
		}
	}
}

// valueOf gives the value of a key of a mapping, or nil.
func valueOf(n *yamlnode.Node, key string) *yamlnode.Node {
	if n == nil || n.Kind != yamlnode.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// textOf gives the text at keys of a node, or "".
func textOf(n *yamlnode.Node, keys ...string) string {
	for _, k := range keys {
		n = valueOf(n, k)
	}
	if n == nil || n.Kind != yamlnode.ScalarNode || n.ShortTag() == "!!null" {
		return ""
	}
	return n.Value
}

// encode writes the document anew, as it was written.
func (t *tree) encode() ([]byte, error) {
	var b bytes.Buffer
	if t.isJSON {
		if err := writeNode(&b, t.root.Content[0]); err != nil {
			return nil, err
		}
		return append([]byte(t.head), t.withNewlines(indentJSON(b.Bytes(), t.text))...), nil
	}
	text, err := t.encodeYAML(t.root)
	if err != nil {
		return nil, err
	}
	return append([]byte(t.head), text...), nil
}

// encodeYAML writes a node as the document was written. What would be read as something
// else is an error.
func (t *tree) encodeYAML(n *yamlnode.Node) ([]byte, error) {
	var b bytes.Buffer
	enc := yamlnode.NewEncoder(&b)
	enc.SetIndent(t.indent)
	if t.compact {
		enc.CompactSeqIndent()
	}
	if err := enc.Encode(n); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	if n.Kind != yamlnode.DocumentNode {
		n = &yamlnode.Node{Kind: yamlnode.DocumentNode, Content: []*yamlnode.Node{n}}
	}
	var again yamlnode.Node
	if err := yamlnode.Unmarshal(b.Bytes(), &again); err != nil || !sameNodes(n, &again) {
		return nil, errors.New("it cannot be written again as it is")
	}
	return t.withNewlines(b.Bytes()), nil
}

// encodeOther writes another object as the document was written.
func (t *tree) encodeOther(raw []byte) ([]byte, error) {
	if t.isJSON {
		return t.withNewlines(indentJSON(raw, t.text)), nil
	}
	v, err := decodeJSON(raw)
	if err != nil {
		return nil, err
	}
	n, err := newNode(v)
	if err != nil {
		return nil, err
	}
	return t.encodeYAML(n)
}

func (t *tree) withNewlines(text []byte) []byte {
	if t.newline == "\n" {
		return text
	}
	return bytes.ReplaceAll(text, []byte("\n"), []byte(t.newline))
}

// sameNodes tells whether two documents mean the same.
func sameNodes(a, b *yamlnode.Node) bool {
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || a.Value != b.Value || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameNodes(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// layout finds out how a document is indented: by how much, and whether lists stand below
// their key or are indented as well.
func layout(root *yamlnode.Node) (indent int, compact bool) {
	var walk func(n *yamlnode.Node)
	seen := false
	walk = func(n *yamlnode.Node) {
		for i := 0; n.Kind == yamlnode.MappingNode && n.Style&yamlnode.FlowStyle == 0 && i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if len(v.Content) == 0 || v.Style&yamlnode.FlowStyle != 0 || v.Line <= k.Line || k.Line == 0 {
				continue
			}
			switch {
			case v.Kind == yamlnode.SequenceNode && !seen:
				seen, compact = true, v.Column == k.Column
			case v.Kind == yamlnode.MappingNode && indent == 0:
				indent = v.Column - k.Column
			}
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(root)
	if indent < 2 || indent > 9 {
		indent = 2
	}
	return indent, compact
}

// writeNode writes a node of a JSON document as JSON, on one line.
func writeNode(b *bytes.Buffer, n *yamlnode.Node) error {
	switch n.Kind {
	case yamlnode.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeText(b, n.Content[i].Value); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := writeNode(b, n.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yamlnode.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeNode(b, c); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case yamlnode.ScalarNode:
		if n.ShortTag() == "!!str" || n.Style&(yamlnode.DoubleQuotedStyle|yamlnode.SingleQuotedStyle) != 0 {
			return writeText(b, n.Value)
		}
		b.WriteString(n.Value) // as it was written
	default:
		return errors.New("it cannot be written again as JSON")
	}
	return nil
}

func writeText(b *bytes.Buffer, text string) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the newline
	return nil
}

var jsonIndent = regexp.MustCompile(`^\s*[\[{]\r?\n([ \t]+)`)

// indentJSON writes a document as the one before was written: on one line, or indented.
func indentJSON(raw, before []byte) []byte {
	m := jsonIndent.FindSubmatch(before)
	if m != nil {
		var b bytes.Buffer
		if json.Indent(&b, raw, "", string(m[1])) == nil {
			raw = b.Bytes()
		}
	}
	if bytes.HasSuffix(before, []byte("\n")) {
		raw = append(raw, '\n')
	}
	return raw
}

// decodeJSON decodes JSON with numbers as they are written.
func decodeJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if err == nil && dec.More() {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}
