package migrate

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v3"
)

// oldConfig is the configuration of the old controller, a value for each key: the file,
// and over it the environment. Keys are compared without regard to capitals.
type oldConfig struct {
	file string
	// values by key, in lower case, such as "tyk.url".
	values map[string]oldValue
	// order in which they stand in the file.
	order []string
}

// oldValue is a scalar or a list of the file, or a variable of the environment.
type oldValue struct {
	// key as it was written.
	key  string
	at   place
	node *yaml.Node
}

// oldKeys are the keys that the old controller knew. What is below a list, or below CA,
// belongs to it.
var oldKeys = []string{
	"Server.addr", "Server.certFile", "Server.keyFile",
	"Tyk.url", "Tyk.secret", "Tyk.org", "Tyk.templates", "Tyk.isGateway", "Tyk.insecureSkipVerify", "Tyk.isHybrid",
	"Ingress.watchNamespaces",
	"Injector.containers", "Injector.initContainers", "Injector.createRoutes", "Injector.enableMeshTLS", "Injector.meshCertificateID",
}

const environmentPrefix = "TK8S_"

// readOldConfig reads the file, and of the environment (NAME=VALUE) what overrides it.
func readOldConfig(name string, data []byte, environment []string) (*oldConfig, error) {
	c := &oldConfig{file: name, values: map[string]oldValue{}}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(doc.Content) > 0 {
		if doc.Content[0].Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%s: the configuration is no object of YAML", name)
		}
		c.add("", doc.Content[0])
	}
	for _, pair := range environment {
		variable, value, _ := strings.Cut(pair, "=")
		rest, ok := strings.CutPrefix(variable, environmentPrefix)
		if !ok {
			continue
		}
		key := strings.ReplaceAll(rest, "_", ".")
		for _, k := range oldKeys {
			if strings.EqualFold(k, key) {
				key = k
			}
		}
		c.set(oldValue{key, place{file: variable}, &yaml.Node{Kind: yaml.ScalarNode, Value: value}})
	}
	return c, nil
}

// add takes the values of an object; lists are values as a whole.
func (c *oldConfig) add(prefix string, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], meant(n.Content[i+1])
		key := prefix + k.Value
		if v.Kind == yaml.MappingNode {
			c.add(key+".", v)
			continue
		}
		c.set(oldValue{key, place{c.file, k.Line, k.Column}, v})
	}
}

// meant follows an alias of YAML.
func meant(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func (c *oldConfig) set(v oldValue) {
	key := strings.ToLower(v.key)
	if _, ok := c.values[key]; !ok {
		c.order = append(c.order, key)
	}
	c.values[key] = v
}

func (c *oldConfig) get(key string) (oldValue, bool) {
	v, ok := c.values[strings.ToLower(key)]
	return v, ok && !v.isNull()
}

func (v oldValue) isNull() bool {
	return v.node.Kind == yaml.ScalarNode && (v.node.Tag == "!!null" || v.node.Value == "")
}

func (v oldValue) text() string {
	if v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.Value
}

// truth reads true and false; ok is false for anything else.
func (v oldValue) truth() (is, ok bool) {
	is, err := strconv.ParseBool(strings.ToLower(v.text()))
	return is, err == nil
}

// list reads a list of texts; from the environment with commas or blanks between them.
func (v oldValue) list() []string {
	var all []string
	if v.node.Kind == yaml.SequenceNode {
		for _, n := range v.node.Content {
			all = append(all, n.Value)
		}
	} else {
		all = strings.FieldsFunc(v.text(), func(r rune) bool { return r == ',' || r == ' ' })
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// oldContainer is what is read of a container of the sidecar.
type oldContainer struct {
	name, image string
	at          place
	env         []oldEnv
	// rest are the other keys, in order.
	rest []oldValue
}

type oldEnv struct {
	name, value string
	at          place
	// from is set for valueFrom.
	from *yaml.Node
}

func (c *oldConfig) containers(v oldValue) []oldContainer {
	var all []oldContainer
	for _, n := range v.node.Content {
		n = meant(n)
		x := oldContainer{at: place{c.file, n.Line, n.Column}}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, value := n.Content[i], meant(n.Content[i+1])
			switch k.Value {
			case "name":
				x.name = value.Value
			case "image":
				x.image = value.Value
			case "env":
				for _, e := range value.Content {
					x.env = append(x.env, c.env(meant(e)))
				}
			default:
				x.rest = append(x.rest, oldValue{k.Value, place{c.file, k.Line, k.Column}, value})
			}
		}
		all = append(all, x)
	}
	return all
}

func (c *oldConfig) env(n *yaml.Node) oldEnv {
	e := oldEnv{at: place{c.file, n.Line, n.Column}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch value := meant(n.Content[i+1]); n.Content[i].Value {
		case "name":
			e.name = value.Value
		case "value":
			e.value = value.Value
		case "valueFrom":
			e.from = value
		}
	}
	return e
}

// secretRef gives name and key of a Secret that a variable is read from.
func (e oldEnv) secretRef() (name, key string, ok bool) {
	if e.from == nil {
		return "", "", false
	}
	var from struct {
		SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
	}
	if err := e.from.Decode(&from); err != nil || from.SecretKeyRef.Name == "" {
		return "", "", false
	}
	return from.SecretKeyRef.Name, from.SecretKeyRef.Key, true
}
