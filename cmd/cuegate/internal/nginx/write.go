package nginx

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"
)

// write fills in the files: a manifest for each file that had Ingresses which are
// migrated, and the bundle.
func (m *Migration) write(drafts []*draft) {
	if len(drafts) == 0 {
		return
	}
	texts := map[string][]byte{}
	taken := map[string]string{} // file to write, by file read
	for _, d := range drafts {
		name, ok := taken[d.in.file]
		if !ok {
			name = freeName(d.in.file, texts)
			taken[d.in.file], texts[name] = name, nil
		}
		if len(texts[name]) > 0 {
			texts[name] = append(texts[name], "---\n"...)
		}
		texts[name] = append(texts[name], d.manifest()...)
		d.result.File, d.result.Template = name, d.templateName()
	}
	texts["bundle/cue.mod/module.cue"] = []byte(module)
	texts["bundle/templates/nginx.cue"] = drafts[0].global.commonTemplate()
	for _, d := range drafts {
		if name := d.templateName(); name != "nginx" {
			texts["bundle/templates/"+name+".cue"] = d.template()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		m.Files.Files = append(m.Files.Files, txtar.File{Name: name, Data: texts[name]})
	}
}

// freeName gives the name below the folder for a file that was read.
func freeName(file string, taken map[string][]byte) string {
	base, ext := path.Base(file), path.Ext(file)
	base = strings.TrimSuffix(base, ext)
	if ext != ".yml" {
		ext = ".yaml"
	}
	name := base + ext
	for n := 2; ; n++ {
		if _, is := taken[name]; !is {
			return name
		}
		name = base + "-" + strconv.Itoa(n) + ext
	}
}

// serverFields are written by the server: a manifest to apply has none of them.
var serverFields = []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"}

// manifest writes the Ingress anew: other annotations, another class, the paths as they
// were planned.
func (d *draft) manifest() []byte {
	n := d.in.node
	remove(n, "status")
	meta := get(n, "metadata")
	for _, f := range serverFields {
		remove(meta, f)
	}
	annotations := get(meta, "annotations")
	if annotations == nil || annotations.Kind != yaml.MappingNode {
		remove(meta, "annotations")
		annotations = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		set(meta, "annotations", annotations)
	}
	annotations.Style &^= yaml.FlowStyle
	for _, k := range keys(annotations) {
		if strings.HasPrefix(k, Prefix) || k == "kubernetes.io/ingress.class" || k == "kubectl.kubernetes.io/last-applied-configuration" {
			remove(annotations, k)
		}
	}
	set(annotations, "cuegate.dev/template", scalar(d.templateName()))
	if len(d.overrides) > 0 {
		set(annotations, "cuegate.dev/override", d.overrideText())
	}
	spec := get(n, "spec")
	set(spec, "ingressClassName", scalar(d.options.Class))
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	// A node that was decoded can be encoded.
	_ = enc.Encode(n)
	_ = enc.Close()
	return b.Bytes()
}

func (d *draft) overrideText() *yaml.Node {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	_ = enc.Encode(d.overrides)
	_ = enc.Close()
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.LiteralStyle, Value: b.String()}
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

func keys(n *yaml.Node) []string {
	var all []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		all = append(all, n.Content[i].Value)
	}
	return all
}

func remove(n *yaml.Node, key string) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
		}
	}
}

// set sets a key of a mapping, at its place where it is there already, else first in a
// spec and last in all others.
func set(n *yaml.Node, key string, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			value.HeadComment, value.LineComment, value.FootComment = n.Content[i+1].HeadComment, n.Content[i+1].LineComment, n.Content[i+1].FootComment
			n.Content[i+1] = value
			return
		}
	}
	if key == "ingressClassName" {
		n.Content = slices.Insert(n.Content, 0, scalar(key), value)
		return
	}
	n.Content = append(n.Content, scalar(key), value)
}
