package engine

import (
	"fmt"
	"slices"

	"github.com/cuegate/cuegate/engine/internal/schema"
	"github.com/cuegate/cuegate/engine/internal/template"
)

// checkSettings holds data.settings of the policies to schema.#Settings, and what
// they name (templates, paths of the definition) to what there is.
func checkSettings(t *template.Set, settings any) []schema.Violation {
	if found := t.Settings().Validate(settings); len(found) > 0 {
		return found
	}
	c := settingsCheck{templates: t}
	if name := textAt(settings, "template"); !slices.Contains(t.Names(), name) {
		c.bad([]string{"template"}, "there is no template %q", name)
		c.found[0].Nearest = schema.Nearest(name, t.Names())
	}
	risk, _ := at(settings, "risk").(map[string]any)
	for path := range risk {
		c.shape([]string{"risk", path}, path)
	}
	grants, _ := at(settings, "grants").([]any)
	for i, g := range grants {
		paths, _ := at(g, "paths").([]any)
		for j, path := range paths {
			text, _ := path.(string)
			c.shape([]string{"grants", fmt.Sprint(i), "paths", fmt.Sprint(j)}, text)
		}
	}
	sets, _ := at(settings, "set").([]any)
	for i, s := range sets {
		if msg := checkSet(t.Definition(), textAt(s, "path"), at(s, "value")); msg != "" {
			c.bad([]string{"set", fmt.Sprint(i)}, "%s", msg)
		}
	}
	slices.SortFunc(c.found, func(a, b schema.Violation) int { return slices.Compare(a.Path, b.Path) })
	return c.found
}

type settingsCheck struct {
	templates *template.Set
	found     []schema.Violation
}

func (c *settingsCheck) bad(at []string, format string, args ...any) {
	c.found = append(c.found, schema.Violation{Path: at, Message: fmt.Sprintf(format, args...)})
}

// shape checks a path as the tables of risks and grants write it.
func (c *settingsCheck) shape(at []string, path string) {
	if v := c.templates.Definition().Known(splitPath(path)); v != nil {
		c.bad(at, "%s", v.Error())
	}
}

func textAt(v any, keys ...string) string {
	s, _ := at(v, keys...).(string)
	return s
}

// checkSet says why a policy may not set the value, or nothing.
func checkSet(definition *schema.Schema, path string, value any) string {
	keys := splitPath(path)
	if touchesIdentity(override{path: keys, value: value}) {
		return fmt.Sprintf("%s is part of the identity of the definition", path)
	}
	if v := definition.ValidateAt(keys, value); len(v) > 0 {
		return v[0].Error()
	}
	return ""
}
