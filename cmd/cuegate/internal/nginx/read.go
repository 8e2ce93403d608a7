package nginx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is a file of manifests.
type File struct {
	Name string
	Data []byte
}

// ingress is one Ingress as it was read.
type ingress struct {
	node   *yaml.Node // a mapping, which may be changed
	file   string     // name of the file
	source string     // file:line

	apiVersion      string
	namespace, name string
	class           string            // "" where it names none
	annotations     map[string]string // those of ingress-nginx, without the prefix
	tls             []string          // hosts of its certificates
	catchAll        bool              // it has a default backend
	paths           []route
	services        []string // names, each once
}

func (in *ingress) String() string { return "Ingress/" + in.namespace + "/" + in.name }

// route is one path of one host.
type route struct {
	host, path string
	exact      bool
	node       *yaml.Node // of the text of the path; nil where there is none
}

// input is what the files hold.
type input struct {
	ingresses  []*ingress
	configMaps []configMap
	// classes are the names of the IngressClasses of ingress-nginx; byDefault tells whether
	// one of them is that of Ingresses without a class.
	classes   []string
	byDefault bool
}

type configMap struct {
	source, namespace, name string
	labels, data            map[string]string
}

// classController is what an IngressClass of ingress-nginx names.
const classController = "k8s.io/ingress-nginx"

// read reads all documents. Those that are no YAML are left to the caller, who reads them
// as well.
func read(files []File, namespace string) *input {
	in := &input{}
	for _, f := range files {
		dec := yaml.NewDecoder(bytes.NewReader(f.Data))
		for {
			var doc yaml.Node
			err := dec.Decode(&doc)
			if errors.Is(err, io.EOF) || err != nil {
				break
			}
			if len(doc.Content) == 1 {
				in.object(f.Name, doc.Content[0], namespace)
			}
		}
	}
	return in
}

func (in *input) object(file string, n *yaml.Node, namespace string) {
	n = resolved(n)
	kind, version := text(n, "kind"), text(n, "apiVersion")
	source := fmt.Sprintf("%s:%d", file, n.Line)
	switch {
	case strings.HasSuffix(kind, "List"):
		if items := get(n, "items"); items != nil && items.Kind == yaml.SequenceNode {
			for _, item := range items.Content {
				in.object(file, item, namespace)
			}
		}
	case kind == "Ingress" && (strings.HasPrefix(version, "networking.k8s.io/") || strings.HasPrefix(version, "extensions/")):
		in.ingresses = append(in.ingresses, readIngress(file, source, n, namespace))
	case kind == "IngressClass" && text(n, "spec", "controller") == classController:
		in.classes = append(in.classes, text(n, "metadata", "name"))
		in.byDefault = in.byDefault || text(n, "metadata", "annotations", "ingressclass.kubernetes.io/is-default-class") == "true"
	case kind == "ConfigMap" && version == "v1":
		in.configMaps = append(in.configMaps, configMap{source, text(n, "metadata", "namespace"), text(n, "metadata", "name"), texts(n, "metadata", "labels"), texts(n, "data")})
	}
}

func readIngress(file, source string, n *yaml.Node, namespace string) *ingress {
	in := &ingress{node: n, file: file, source: source, apiVersion: text(n, "apiVersion"), name: text(n, "metadata", "name"),
		namespace: text(n, "metadata", "namespace"), annotations: map[string]string{}}
	if in.namespace == "" {
		in.namespace = namespace
	}
	all := texts(n, "metadata", "annotations")
	in.class = all["kubernetes.io/ingress.class"]
	if in.class == "" {
		in.class = text(n, "spec", "ingressClassName")
	}
	for k, v := range all {
		if name, ok := strings.CutPrefix(k, Prefix); ok {
			in.annotations[name] = v
		}
	}
	in.catchAll = get(n, "spec", "defaultBackend") != nil
	if s := text(n, "spec", "defaultBackend", "service", "name"); s != "" {
		in.services = append(in.services, s)
	}
	for _, rule := range items(n, "spec", "rules") {
		for _, p := range items(rule, "http", "paths") {
			in.paths = append(in.paths, route{host: strings.ToLower(text(rule, "host")), path: text(p, "path"), exact: text(p, "pathType") == "Exact", node: get(p, "path")})
			if s := text(p, "backend", "service", "name"); s != "" && !slices.Contains(in.services, s) {
				in.services = append(in.services, s)
			}
		}
	}
	for _, t := range items(n, "spec", "tls") {
		hosts := items(t, "hosts")
		for _, h := range hosts {
			in.tls = append(in.tls, strings.ToLower(h.Value))
		}
		if len(hosts) == 0 {
			in.tls = append(in.tls, in.hosts()...)
		}
	}
	return in
}

// hosts gives those of its rules, each once.
func (in *ingress) hosts() []string {
	var hosts []string
	for _, p := range in.paths {
		if !slices.Contains(hosts, p.host) {
			hosts = append(hosts, p.host)
		}
	}
	return hosts
}

// resolved gives a node without aliases and anchors, so that each part can be changed by
// itself.
func resolved(n *yaml.Node) *yaml.Node {
	left := maxNodes
	return resolve(n, &left)
}

// maxNodes bounds what aliases make of a document; what goes beyond is null.
const maxNodes = 1 << 20

func resolve(n *yaml.Node, left *int) *yaml.Node {
	if *left--; *left < 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	if n.Kind == yaml.AliasNode {
		return resolve(n.Alias, left)
	}
	c := *n
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = resolve(child, left)
	}
	return &c
}

// get follows keys of mappings; nil where one is not there.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, k := range keys {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == k {
				next = n.Content[i+1]
			}
		}
		n = next
	}
	return n
}

// text gives a scalar as it is written, and "" for null and all else.
func text(n *yaml.Node, keys ...string) string {
	if n = get(n, keys...); n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func texts(n *yaml.Node, keys ...string) map[string]string {
	m := map[string]string{}
	if n = get(n, keys...); n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = text(n, n.Content[i].Value)
		}
	}
	return m
}

func items(n *yaml.Node, keys ...string) []*yaml.Node {
	if n = get(n, keys...); n != nil && n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return nil
}

// ours are the annotations of Cuegate that say what a definition is like.
func (in *ingress) ours() []string {
	annotations := get(get(in.node, "metadata"), "annotations")
	if annotations == nil {
		return nil
	}
	var all []string
	for _, name := range keys(annotations) {
		if name == "cuegate.dev/template" || name == "cuegate.dev/override" || strings.Contains(name, "service.tyk.io") {
			all = append(all, name)
		}
	}
	return all
}
