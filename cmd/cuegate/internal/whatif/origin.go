package whatif

import (
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// origins say who wrote the fields of one definition, by path.
type origins struct {
	template string
	values   []engine.ValueTrace
}

// of gives the origin of the value at a path: of the first one below it where it is a
// list or an object, and of what it is part of where it is an element with a name.
func (o origins) of(path string) string {
	for path != "" {
		for _, v := range o.values {
			if v.Path == path || strings.HasPrefix(v.Path, path+".") {
				return o.text(v)
			}
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return ""
}

func (o origins) text(v engine.ValueTrace) string {
	switch v.From {
	case "annotation", "policy", "engine":
		return v.From + " " + v.Where
	case "default":
		return "default of template " + o.template + ", " + v.Where
	case "fact":
		return "template " + o.template + " from the route, " + v.Where
	}
	if v.Where == o.template {
		return "template " + o.template
	}
	return "template " + o.template + ", " + v.Where
}

// originsOf gives those of all definitions of an object by their ids.
func originsOf(d engine.Desired, x engine.Explanation) map[string]origins {
	all := map[string]origins{}
	for _, t := range x.Definitions {
		o := origins{values: t.Values}
		for i := range d.Definitions {
			if d.Definitions[i].ID == t.ID {
				o.template = templateOf(d, i)
			}
		}
		all[t.ID] = o
	}
	return all
}

// templateOf gives the template of a definition. Of a workload, the way in comes first,
// and its template as well.
func templateOf(d engine.Desired, i int) string {
	if d.Definitions[i].Scope == "" {
		return d.Template
	}
	inbound, mesh, several := strings.Cut(d.Template, ", ")
	if several && i > 0 {
		return mesh
	}
	return inbound
}
