package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// configFile is a configuration file that fits schema.#Config.
type configFile struct {
	name string
	// values by key, as encoding/json decodes them with UseNumber; there is no null.
	values map[string]any
	// root tells lines; nil where they are not known.
	root *yamlnode.Node
}

// oldSections are the keys of the configuration of the controller before this one.
var oldSections = []string{"Server", "Tyk", "Ingress", "Injector", "CA"}

// secretKeys are names under which people would look for a secret.
var secretKeys = regexp.MustCompile(`(?i)^(secret|key|token|password|authorization|api[-_]?key)$`)

func readConfigFile(name string) (*configFile, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseConfigFile(filepath.ToSlash(name), data)
}

// parseConfigFile tells of everything that is wrong, each on a line with its place.
func parseConfigFile(name string, data []byte) (*configFile, error) {
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %s", name, strings.Join(strings.Fields(err.Error()), " "))
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", name, err)
	}
	f := &configFile{name: name, values: map[string]any{}}
	var root yamlnode.Node
	if err := yamlnode.Unmarshal(data, &root); err == nil && len(root.Content) > 0 {
		f.root = root.Content[0]
	}
	if doc == nil {
		return f, nil
	}
	values, ok := doc.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("configuration %s: it is no object of YAML", name)
	}
	f.values = withoutNull(values).(map[string]any)
	for _, section := range oldSections {
		for key := range values {
			if strings.EqualFold(key, section) {
				return nil, fmt.Errorf("%s: %s is a key of tyk-k8s, the controller before this one: convert its file with `cuegate migrate config %s`", f.at(key), key, name)
			}
		}
	}
	return f, f.check()
}

func (f *configFile) check() error {
	faults, err := engine.CheckConfig(cuegate.Builtin(), f.values)
	if err != nil {
		return err
	}
	slices.SortStableFunc(faults, func(a, b engine.ConfigFault) int { return f.line(a.Path) - f.line(b.Path) })
	var all []error
	for _, x := range faults {
		text := x.Message
		if x.Unknown && secretKeys.MatchString(x.Path[len(x.Path)-1]) {
			text += "; the file holds no secret: name a file that does with secretFile, or set CUEGATE_SECRET"
		}
		all = append(all, fmt.Errorf("%s: %s", f.at(x.Path...), printable(text)))
	}
	for _, key := range []string{"gateway", "dashboard"} {
		if f.values[key] != nil && f.values["targets"] != nil {
			all = append(all, fmt.Errorf("%s: %s says where to push to, and so does targets: leave one of them", f.at(key), key))
		}
	}
	if len(all) > 1 {
		return fmt.Errorf("the configuration is wrong:\n%w", errors.Join(all...))
	}
	return errors.Join(all...)
}

// at is the place of a value, "cuegate.yaml:3".
func (f *configFile) at(path ...string) string {
	if n := f.line(path); n > 0 {
		return fmt.Sprintf("%s:%d", f.name, n)
	}
	return f.name
}

// line is that of the key, or of the element of a list, that a path leads to, or of the
// last one on the way that stands in the file; 0 where it is not known.
func (f *configFile) line(path []string) int {
	n, line := f.root, 0
	for _, key := range path {
		if n != nil && n.Kind == yamlnode.AliasNode {
			n = n.Alias
		}
		var next *yamlnode.Node
		switch {
		case n == nil:
		case n.Kind == yamlnode.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == key {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		case n.Kind == yamlnode.SequenceNode:
			if i, err := strconv.Atoi(key); err == nil && i < len(n.Content) {
				next, line = n.Content[i], n.Content[i].Line
			}
		}
		n = next
	}
	return line
}

// withoutNull leaves out the keys of objects that have no value: they say nothing.
func withoutNull(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withoutNull(v[i])
		}
	case map[string]any:
		for key, x := range v {
			if x == nil {
				delete(v, key)
			} else {
				v[key] = withoutNull(x)
			}
		}
	}
	return v
}
