package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
)

// applyPatch does to a node what a patch says. What is added to in a document of YAML is
// written in block style from then on, so that it can be read.
func applyPatch(root *yamlnode.Node, ops []patchOp, isJSON bool) error {
	for _, o := range ops {
		if err := applyOp(root, o, isJSON); err != nil {
			return fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

func applyOp(n *yamlnode.Node, o patchOp, isJSON bool) error {
	keys := o.keys()
	for _, k := range keys[:len(keys)-1] {
		unflow(n, isJSON)
		var next *yamlnode.Node
		if n.Kind == yamlnode.SequenceNode {
			if i, err := indexOf(k, len(n.Content)-1); err == nil {
				next = n.Content[i]
			}
		} else {
			next = valueOf(n, k)
		}
		if next == nil {
			return fmt.Errorf("there is no %q", k)
		}
		n = next
	}
	unflow(n, isJSON)
	last := keys[len(keys)-1]
	var value *yamlnode.Node
	if o.Op != "remove" {
		var err error
		if value, err = newNode(o.Value); err != nil {
			return err
		}
	}
	switch n.Kind {
	case yamlnode.MappingNode:
		return applyToMap(n, o.Op, last, value)
	case yamlnode.SequenceNode:
		return applyToList(n, o.Op, last, value)
	}
	return fmt.Errorf("what holds %q is neither an object nor a list", last)
}

func unflow(n *yamlnode.Node, isJSON bool) {
	if !isJSON {
		n.Style &^= yamlnode.FlowStyle
	}
}

func applyToMap(n *yamlnode.Node, op, key string, value *yamlnode.Node) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != key {
			continue
		}
		if op == "remove" {
			n.Content = slices.Delete(n.Content, i, i+2)
			return nil
		}
		n.Content[i+1] = value
		return nil
	}
	if op != "add" {
		return fmt.Errorf("there is no %q", key)
	}
	k, err := newNode(key)
	n.Content = append(n.Content, k, value)
	return err
}

func applyToList(n *yamlnode.Node, op, key string, value *yamlnode.Node) error {
	if op == "add" && key == "-" {
		n.Content = append(n.Content, value)
		return nil
	}
	last := len(n.Content) - 1
	if op == "add" {
		last++
	}
	i, err := indexOf(key, last)
	if err != nil {
		return err
	}
	switch op {
	case "add":
		n.Content = slices.Insert(n.Content, i, value)
	case "replace":
		n.Content[i] = value
	case "remove":
		n.Content = slices.Delete(n.Content, i, i+1)
	}
	return nil
}

func indexOf(key string, last int) (int, error) {
	i, err := strconv.Atoi(key)
	if err != nil || i < 0 || i > last {
		return 0, fmt.Errorf("there is no element %q", key)
	}
	return i, nil
}

// newNode makes a node of what encoding/json decodes with UseNumber. Of the keys of an
// object those that name it come first.
func newNode(v any) (*yamlnode.Node, error) {
	switch v := v.(type) {
	case map[string]any:
		n := &yamlnode.Node{Kind: yamlnode.MappingNode, Tag: "!!map"}
		for _, k := range slices.SortedFunc(maps.Keys(v), namesFirst) {
			key, err := newNode(k)
			if err != nil {
				return nil, err
			}
			value, err := newNode(v[k])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, key, value)
		}
		return n, nil
	case []any:
		n := &yamlnode.Node{Kind: yamlnode.SequenceNode, Tag: "!!seq"}
		for _, e := range v {
			c, err := newNode(e)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		return n, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(v.String(), ".eE") {
			tag = "!!float"
		}
		return &yamlnode.Node{Kind: yamlnode.ScalarNode, Tag: tag, Value: v.String()}, nil
	case string:
		if plainText.MatchString(v) && !otherThanText[strings.ToLower(v)] {
			return &yamlnode.Node{Kind: yamlnode.ScalarNode, Tag: "!!str", Value: v}, nil
		}
	}
	n := &yamlnode.Node{}
	return n, n.Encode(v) // finds out how to quote it, which takes a while
}

// plainText matches most texts that need no quotes, and otherThanText holds those that are
// something else without, for readers of YAML 1.1.
var (
	plainText     = regexp.MustCompile(`^[A-Za-z/](?:[-A-Za-z0-9_./]|:[A-Za-z0-9/])*$`)
	otherThanText = map[string]bool{"y": true, "n": true, "yes": true, "no": true, "on": true, "off": true, "true": true, "false": true, "null": true}
)

func namesFirst(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) }

func rank(key string) int {
	first := []string{"apiVersion", "kind", "name", "image"}
	if i := slices.Index(first, key); i >= 0 {
		return i
	}
	return len(first)
}
