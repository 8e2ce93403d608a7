package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cuegate/cuegate/engine/internal/policy"
)

// markKey is the key in config_data of the ownership mark.
const markKey = "cuegate"

// mark is the ownership mark: what has none of ours is never touched.
type mark struct {
	// In the order of their names, as all of the definition is.

	// Certificates are the ids of those that come from Secrets: they are ours to
	// remove again.
	Certificates []string `json:"certificates,omitempty"`
	Cluster      string   `json:"cluster"`
	// Hash is the SHA-256, in hexadecimal, of the canonical definition whose mark
	// has no hash.
	Hash  string `json:"hash,omitempty"`
	Match string `json:"match"`
	Owner string `json:"owner"`
	// Scope is the tag of the sidecars that alone load the definition; "" for Ingresses.
	Scope string `json:"scope,omitempty"`
}

// validate holds the finished definitions to the schema, to what the gateway is
// known to choke on, and to the checks of the policies; then they are marked.
func (w *walk) validate(ctx context.Context, d *draft, sets []policy.Set, all []rendered) error {
	var reasons []Reason
	for i := range all {
		x := &all[i]
		w.identify(x)
		if err := w.checkSchema(d, x); err != nil {
			return err
		}
		reasons = append(reasons, checkServable(d, x)...)
	}
	if len(reasons) > 0 {
		return w.refuse("validate", reasons...)
	}
	if err := w.judge(ctx, d, all); err != nil {
		return err
	}
	for i := range all {
		def, err := w.finish(&all[i])
		if err != nil {
			return w.broken("validate", Reason{ID: "definition-broken", Field: all[i].route.facts.Field, Msg: err.Error()})
		}
		w.desired.Definitions = append(w.desired.Definitions, def)
		w.name(d, def.Certificates)
		w.explain(d, sets, &all[i], def)
	}
	if reasons := conflictsWithin(&w.desired); len(reasons) > 0 {
		return w.refuse("validate", reasons...)
	}
	w.desired.Outcome = Managed
	return nil
}

// identify writes what no template, annotation or policy decides.
func (w *walk) identify(x *rendered) {
	x.doc["api_id"] = x.route.facts.ID
	x.doc["org_id"] = w.engine.config.OrgID
	delete(x.doc, "id")
}

func (w *walk) checkSchema(d *draft, x *rendered) error {
	found := w.engine.bundle.definition.Validate(x.doc)
	if len(found) == 0 {
		return nil
	}
	reasons := make([]Reason, len(found))
	byAuthor := false
	for i, v := range found {
		reasons[i] = Reason{ID: "definition-invalid", Field: x.route.facts.Field,
			Msg: fmt.Sprintf("The template %s gives a definition that cannot be: %s.", x.route.template, v.Error())}
		for _, o := range d.overridesOf(x.route.facts.Role) {
			if covered(v.Path, o.path) {
				byAuthor = true
				reasons[i].Field = o.field()
				reasons[i].Msg = fmt.Sprintf("The annotation gives a definition that cannot be: %s.", v.Error())
			}
		}
	}
	if byAuthor {
		return w.refuse("validate", reasons...)
	}
	return w.broken("validate", reasons...)
}

// judge asks Rego about the finished definitions.
func (w *walk) judge(ctx context.Context, d *draft, all []rendered) error {
	definitions := make([]DefinitionFacts, len(all))
	for i := range all {
		definitions[i] = definitionFacts(all[i].route.template, &all[i], d)
	}
	input, err := d.input.With("definitions", definitions)
	if err != nil {
		return w.broken("check", Reason{ID: "facts-broken", Msg: err.Error()})
	}
	verdict, fired, err := w.engine.bundle.rules.Judge(ctx, input, w.trace)
	w.fired(fired)
	if err := w.policyError(ctx, err); err != nil {
		return err
	}
	w.warn("check", verdict.Warnings...)
	if len(verdict.Reasons) > 0 {
		return w.refuse("check", verdict.Reasons...)
	}
	return nil
}

// finish marks, hashes and writes the definition.
func (w *walk) finish(x *rendered) (Definition, error) {
	m := mark{Cluster: w.engine.config.ClusterID, Owner: w.desired.Object.String(), Match: x.route.match, Scope: x.route.scope, Certificates: fromSecrets(x)}
	data, _ := x.doc["config_data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
		x.doc["config_data"] = data
	}
	data[markKey] = m
	raw, err := canonical(x.doc)
	if err != nil {
		return Definition{}, err
	}
	sum := sha256.Sum256(raw)
	bare := m
	m.Hash = hex.EncodeToString(sum[:])
	data[markKey] = m
	if raw, err = replaceMark(raw, bare, m, x.doc); err != nil {
		return Definition{}, err
	}
	proxy, _ := x.doc["proxy"].(map[string]any)
	listen, _ := proxy["listen_path"].(string)
	domain, _ := x.doc["domain"].(string)
	return Definition{
		ID:     x.route.facts.ID,
		Field:  x.route.facts.Field,
		Match:  x.route.match,
		Listen: listenAs(m.Scope, domain, listen),
		Hash:   m.Hash,
		Scope:  m.Scope,
		JSON:   raw,

		Certificates: m.Certificates,
		Checked:      x.route.checked,
	}, nil
}

// replaceMark gives the canonical doc, which holds the mark next, from raw, which is the
// same but for the mark. That is cheaper than to write it all again.
func replaceMark(raw []byte, last, next mark, doc map[string]any) ([]byte, error) {
	from, err := canonical(map[string]any{markKey: last})
	if err != nil {
		return nil, err
	}
	to, err := canonical(map[string]any{markKey: next})
	if err != nil {
		return nil, err
	}
	from, to = from[1:len(from)-1], to[1:len(to)-1]
	if bytes.Count(raw, from) != 1 {
		return canonical(doc) // something else in it looks like the mark
	}
	return bytes.Replace(raw, from, to, 1), nil
}

// fromSecrets gives the certificates from Secrets that the finished definition names: a
// template or an annotation may have left some out.
func fromSecrets(x *rendered) []string {
	var ids []string
	list, _ := x.doc["certificates"].([]any)
	for _, id := range x.route.facts.Certificates {
		if slices.Contains(list, any(id)) {
			ids = append(ids, id)
		}
	}
	// Those that callers may show are uploaded too, though without their keys.
	for _, id := range slices.Concat(x.route.shown, x.route.checked) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// listenAs gives domain and listen path as a gateway compares them. Definitions of
// sidecars are compared among those that one sidecar loads.
func listenAs(scope, domain, path string) string {
	if scope == "" {
		return domain + path
	}
	return scope + " " + domain + path
}

// name adds certificates to what the object asks for, each once.
func (w *walk) name(d *draft, ids []string) {
	for _, id := range ids {
		for _, found := range []map[string]Certificate{d.certificates, d.publics} {
			c, ok := found[id]
			if ok && !slices.ContainsFunc(w.desired.Certificates, func(x Certificate) bool { return x.ID == id && x.Public == c.Public }) {
				w.desired.Certificates = append(w.desired.Certificates, c)
			}
		}
	}
}

// definitionFacts says of a definition what checks want to know.
func definitionFacts(tmpl string, x *rendered, d *draft) DefinitionFacts {
	return DefinitionFacts{
		Route:            x.route.facts.ID,
		Role:             x.route.facts.Role,
		Field:            x.route.facts.Field,
		Template:         tmpl,
		Keyless:          keyless(x.doc),
		InsecureUpstream: boolAt(x.doc, "proxy", "transport", "ssl_insecure_skip_verify"),
		Targets:          targets(x.doc, d.overridesOf(x.route.facts.Role), d.around),
		API:              x.doc,
	}
}

// keyless tells whether any request is let in without credentials. The gateway
// checks client certificates apart from all other kinds (use_mutual_tls_auth), and
// lets requests to ignored endpoints pass, and OPTIONS where CORS passes them through.
func keyless(doc map[string]any) bool {
	if boolAt(doc, "use_keyless") && !boolAt(doc, "use_mutual_tls_auth") {
		return true
	}
	if boolAt(doc, "CORS", "enable") && boolAt(doc, "CORS", "options_passthrough") {
		return true
	}
	found := false
	versions, _ := at(doc, "version_data", "versions").(map[string]any)
	for _, v := range versions {
		for _, list := range []any{at(v, "extended_paths", "ignored"), at(v, "paths", "ignored")} {
			entries, _ := list.([]any)
			found = found || slices.ContainsFunc(entries, func(e any) bool { return !boolAt(e, "disabled") })
		}
	}
	return found
}

// at follows keys through objects; it gives nil where there is nothing.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func boolAt(v any, keys ...string) bool {
	b, _ := at(v, keys...).(bool)
	return b
}

// isOverridden tells whether an annotation set the value at path.
func isOverridden(path []string, overrides []override) bool {
	return slices.ContainsFunc(overrides, func(o override) bool { return covered(path, o.path) })
}
