package whatif

import (
	"encoding/json"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	"github.com/cuegate/cuegate/engine"
)

// injectedKey is the annotation in which the engine notes what it injected. What it says
// of the bundle differs between any two, and means nothing.
const injectedKey = "injector.tyk.io/status"

// sidecarLabel is on pods that have a sidecar, with the value "true".
const sidecarLabel = "cuegate.dev/sidecar"

// patched gives an object as its patch leaves it; nil where it is neither injected into
// nor cleaned, so that nothing can be said. What is noted of the bundle is left out.
func patched(o engine.Object, d engine.Desired) map[string]any {
	raw := o.JSON
	if d.Patch != nil {
		p, err := jsonpatch.DecodePatch(d.Patch)
		if err != nil {
			return nil
		}
		if raw, err = p.Apply(raw); err != nil {
			return nil
		}
	}
	doc := decode(raw)
	for _, meta := range []any{at(doc, "metadata"), at(doc, "spec", "template", "metadata")} {
		annotations, _ := at(meta, "annotations").(map[string]any)
		text, ok := annotations[injectedKey].(string)
		if !ok {
			continue
		}
		delete(annotations, injectedKey)
		var noted struct {
			Tags []any `json:"tags"`
		}
		if json.Unmarshal([]byte(text), &noted) == nil && noted.Tags != nil {
			// The sidecar loads the definitions that have one of them.
			annotations[injectedKey] = map[string]any{"tags": noted.Tags}
		}
	}
	return doc
}

// isPatchable tells whether the decision says how the object is to be.
func isPatchable(d engine.Desired) bool {
	return d.Outcome != engine.Held || isPending(d)
}

// hasSidecar tells whether the pods of a workload, as patched, have one.
func hasSidecar(doc map[string]any) bool {
	v, _ := at(doc, "spec", "template", "metadata", "labels", sidecarLabel).(string)
	return v == "true"
}

func isPending(d engine.Desired) bool {
	if d.Outcome != engine.Held || len(d.Reasons) == 0 {
		return false
	}
	for _, r := range d.Reasons {
		if r.ID != "mesh-certificate-pending" {
			return false
		}
	}
	return true
}

// at follows keys through objects; it gives nil where there is nothing.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

// place says for people where a definition listens: host and path, or the tag of the
// sidecars that load it and what these listen for.
func place(match, scope string) string {
	role := ""
	if scope != "" {
		// "inbound TAG HOST ^ PATH"
		parts := strings.SplitN(match, " ", 3)
		if len(parts) < 3 {
			return match
		}
		role, match = parts[0]+" ", parts[2]
	}
	host, kind, path := cutMatch(match)
	if host == "" && path == "" {
		return role + "the default backend"
	}
	if host == "" {
		host = "*"
	}
	text := role + host + path
	if kind == "=" {
		text += " (exact)"
	}
	if scope != "" {
		text += " of " + scope
	}
	return text
}

// cutMatch takes the form of engine.Definition.Match apart: "HOST ^ PATH", "HOST = PATH"
// or "default". A host has no white space, a path may.
func cutMatch(match string) (host, kind, path string) {
	if match == "default" {
		return "", "", ""
	}
	host, rest, _ := strings.Cut(match, " ")
	kind, path, _ = strings.Cut(rest, " ")
	return host, kind, path
}
