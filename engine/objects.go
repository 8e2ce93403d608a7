package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/template"
)

// notAuthored is what a server or a controller writes into an object: the schema of a
// bundle is about what authors write.
var notAuthored = []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}

// unlike holds an object that is ours to what the bundle's package schema asks of it.
func (w *walk) unlike(d *draft) ([]Reason, error) {
	t := w.engine.bundle.templates
	if !t.AsksOf(d.object.Kind) {
		return nil, nil
	}
	text, err := d.authored()
	var faults []template.ObjectFault
	if err == nil {
		faults, err = t.CheckObject(d.object.Kind, text)
	}
	if err != nil {
		return nil, w.broken("schema", Reason{ID: "schema-failed", Msg: fmt.Sprintf("The object cannot be held to the schema of the bundle: %s.", err)})
	}
	var reasons []Reason
	for _, f := range faults {
		reasons = append(reasons, objectReason(f))
	}
	w.step("schema", reasons...)
	return reasons, nil
}

func objectReason(f template.ObjectFault) Reason {
	r := Reason{ID: "schema-violated", Field: fieldOf(f.Path)}
	where := f.At
	where.Message = ""
	place := strings.TrimSuffix(where.String(), ": ")
	if place == "" {
		place = "in the folder schema"
	}
	subject := r.Field
	if subject == "" {
		subject = "The object"
	}
	r.Msg = fmt.Sprintf("%s %s, says the schema of the bundle (%s).", subject, shorten(f.Message), place)
	if f.Doc != "" {
		r.Fix = "The schema says of it: " + shorten(f.Doc)
	}
	return r
}

// shorten cuts a text of the bundle, which may quote keys of the object.
func shorten(s string) string {
	const most = 400
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

var plainKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var indexKey = regexp.MustCompile(`^[0-9]+$`)

// fieldOf writes a path in an object: "spec.rules[0].host", "metadata.labels[a/b]".
func fieldOf(path []string) string {
	var b strings.Builder
	for _, key := range path {
		switch {
		case !plainKey.MatchString(key), indexKey.MatchString(key):
			b.WriteString("[" + key + "]")
		case b.Len() > 0:
			b.WriteString("." + key)
		default:
			b.WriteString(key)
		}
	}
	return b.String()
}

// authored is the object as its author wrote it, as far as can be told: without status,
// without what the server adds to metadata, and without what we have injected.
func (d *draft) authored() ([]byte, error) {
	doc, err := decode(d.object.JSON)
	if err != nil {
		return nil, err
	}
	delete(doc, "status")
	meta, _ := doc["metadata"].(map[string]any)
	for _, name := range notAuthored {
		delete(meta, name)
	}
	dropKeys(meta, "annotations", ours)
	if i := d.injected; i != nil {
		pod := objectAt(doc, "spec", "template")
		podMeta := objectAt(pod, "metadata")
		dropKeys(podMeta, "labels", i.Names["labels"])
		dropKeys(podMeta, "annotations", append(slices.Clone(i.Names["annotations"]), ours...))
		spec := objectAt(pod, "spec")
		for _, list := range []string{"containers", "initContainers", "volumes"} {
			dropNamed(spec, list, i.Names[list])
		}
		dropNamed(objectAt(spec, "securityContext"), "sysctls", i.Names["sysctls"])
		dropAliases(spec, i.Names[aliasList])
	}
	return canonical(doc)
}

// objectAt gives the object at a path; nil where there is none.
func objectAt(doc map[string]any, path ...string) map[string]any {
	for _, key := range path {
		doc, _ = doc[key].(map[string]any)
	}
	return doc
}

func dropKeys(doc map[string]any, field string, keys []string) {
	m, _ := doc[field].(map[string]any)
	before := len(m)
	for _, k := range keys {
		delete(m, k)
	}
	if before > 0 && len(m) == 0 {
		delete(doc, field)
	}
}

func dropNamed(doc map[string]any, field string, names []string) {
	list, _ := doc[field].([]any)
	before := len(list)
	list = slices.DeleteFunc(list, func(x any) bool {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		return slices.Contains(names, name)
	})
	if len(list) == before {
		return
	}
	if doc[field] = list; len(list) == 0 {
		delete(doc, field)
	}
}

// dropAliases takes hosts out of host aliases; names are "127.0.0.1/mesh".
func dropAliases(spec map[string]any, names []string) {
	list, _ := spec["hostAliases"].([]any)
	if len(list) == 0 || len(names) == 0 {
		return
	}
	list = slices.DeleteFunc(list, func(x any) bool {
		alias, _ := x.(map[string]any)
		hosts, _ := alias["hostnames"].([]any)
		before := len(hosts)
		hosts = slices.DeleteFunc(hosts, func(host any) bool {
			return slices.Contains(names, fmt.Sprintf("%v/%v", alias["ip"], host))
		})
		if len(hosts) < before {
			alias["hostnames"] = hosts
		}
		return before > 0 && len(hosts) == 0
	})
	if spec["hostAliases"] = list; len(list) == 0 {
		delete(spec, "hostAliases")
	}
}
