package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
	"github.com/cuegate/cuegate/engine/internal/listenpath"
	"github.com/cuegate/cuegate/engine/internal/schema"
	tmpl "github.com/cuegate/cuegate/engine/internal/template"
)

// permissiveEngine grants every override and waives every guard and check: what
// it still refuses, the engine itself refuses.
var permissiveEngine = sync.OnceValue(func() *engine.Engine {
	operator := fstest.MapFS{"policies/data.yaml": {Data: []byte(`
settings:
  grants:
    - id: everything
      classes: [low, medium, high, critical]
      guards: [external-name, gateway-secret, host-claimed, resource-backend, keyless, upstream-tls, target-loopback, target-link-local,
        target-metadata, target-kubernetes-api, target-other-namespace, target-gateway, target-invalid]
`)}}
	bundle, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), operator)
	if err != nil {
		panic(err)
	}
	return engine.New(bundle, engine.Config{ClusterID: "test", OrgID: "default"})
})

var compiledDefinition = sync.OnceValue(func() *schema.Schema {
	own, err := fs.Sub(cuegate.Builtin(), "cue")
	if err != nil {
		panic(err)
	}
	set, problems := tmpl.Load(own, nil)
	if len(problems) > 0 {
		panic(problems)
	}
	return set.Definition()
})

// nasty are texts that have broken programs of this kind.
var nasty = []string{
	"", " ", "x", `"`, `'`, `\`, "`", "\n", "\r\n", "\t", "\x00", "\xff\xfe", "\xed\xa0\x80", "\u2028", "\ufeff", "\u202e", "💥",
	`"},"proxy":{"listen_path":"/victim/`, `/x","target_url":"http://victim/`, `x"}}`, `{"a":"b"}`, `{`, `}`, `[`, `]`, `[]`, `{}`, `null`, `true`, `"x"`, `a: b`, "- a", "a: &x [*x]", "&a [*a]", "!!binary x",
	`{{.ID}}`, `{{`, `}}`, `{{"a"}}`, `${x}`, `$secret_env.X`, `\(in.id)`, `\#(in.id)`, `"\(in.id)"`, `#"x"#`, `"""`, `// x`, `#Definition`, `_|_`, `*`, `&`, `a|b`,
	`.`, `..`, `a.b`, `a\.b`, `#`, `@`, `@this`, `|`, `?`, `:`, `:0`, `-1`, `0`, `999`, `1000`, `99999999999999999999`, `a.#`, `a.*.b`, `%2e%2e`, `%00`, `%`, `/../`, `//`,
	`1e999999`, `-1e999999`, `1e-999999`, `1E400`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `0.1`, `1.0`, `1e3`, `-0`, `NaN`, `Infinity`, `0x10`, `0777`, `1_000`, `+1`,
	`{"a":1,"a":2}`, `{"api_id":"x","api_id":"y"}`, strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200), strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat(`}`, 100), strings.Repeat("a", 300), strings.Repeat("a.", 40) + "a",
	"http://127.0.0.1/", "http://user:pass@host/", "tyk://self/", "http://[::1]:80/x", "javascript:alert(1)",
}

// checkReasons: whatever is refused or left out, an id and a sentence say so, in
// text that any terminal and any JSON can take.
func checkReasons(t *testing.T, reasons []engine.Reason) {
	t.Helper()
	for _, r := range reasons {
		if r.ID == "" || r.Msg == "" {
			t.Errorf("a reason without id or message: %+v", r)
		}
		if len(r.Msg) > 4000 {
			t.Errorf("a message of %d bytes, of %s", len(r.Msg), r.ID)
		}
	}
}

// checkDecided holds an answer of Decide to its contract, and returns its
// definitions, decoded.
func checkDecided(t *testing.T, o engine.Object, d engine.Desired, x engine.Explanation, err error) []map[string]any {
	t.Helper()
	checkReasons(t, d.Reasons)
	checkReasons(t, d.Warnings)
	if d.Object != o.Ref || x.Object != o.Ref.String() || x.Outcome != d.Outcome || !reflect.DeepEqual(x.Reasons, d.Reasons) {
		t.Errorf("the answer is about %s and %s, %s and %s", d.Object, x.Object, d.Outcome, x.Outcome)
	}
	for _, s := range x.Steps {
		checkReasons(t, []engine.Reason{s.Reason})
	}
	var refused *engine.Refused
	var broken *engine.Broken
	switch d.Outcome {
	case engine.Managed:
		if err != nil || len(d.Reasons) > 0 || len(d.Definitions) == 0 || d.Template == "" {
			t.Errorf("managed with %d definitions by template %q, but %v, %v", len(d.Definitions), d.Template, d.Reasons, err)
		}
	case engine.Ignored:
		if err != nil || len(d.Reasons) == 0 || len(d.Definitions) > 0 {
			t.Errorf("ignored with %d definitions: %v, %v", len(d.Definitions), d.Reasons, err)
		}
	case engine.Held:
		if !errors.As(err, &refused) && !errors.As(err, &broken) || len(d.Reasons) == 0 || len(d.Definitions) > 0 {
			t.Errorf("held with %d definitions: %v, %v", len(d.Definitions), d.Reasons, err)
		}
		// No object can break rules and templates that are right.
		if errors.As(err, &broken) {
			t.Errorf("broken: %v", err)
		}
	default:
		t.Errorf("the outcome is %q", d.Outcome)
	}
	return checkDefinitions(t, o, d.Definitions)
}

func checkDefinitions(t *testing.T, o engine.Object, definitions []engine.Definition) []map[string]any {
	t.Helper()
	var docs []map[string]any
	ids, matches := map[string]bool{}, map[string]bool{}
	for _, def := range definitions {
		if ids[def.ID] || matches[def.Match] {
			t.Errorf("two definitions of one id or match: %s %s", def.ID, def.Match)
		}
		ids[def.ID], matches[def.Match] = true, true
		if !utf8.Valid(def.JSON) {
			t.Errorf("the definition is not UTF-8: %q", def.JSON)
		}
		doc := decodeNumbers(t, def.JSON)
		docs = append(docs, doc)
		if v := compiledDefinition().Validate(doc); len(v) > 0 {
			t.Errorf("the definition does not fit the schema: %v", v)
		}
		proxy, _ := doc["proxy"].(map[string]any)
		domain, _ := doc["domain"].(string)
		if listen, _ := proxy["listen_path"].(string); def.Listen != domain+listen {
			t.Errorf("Listen is %q, the definition says %q and %q", def.Listen, domain, listen)
		}
		checkMark(t, o, def, doc)
	}
	return docs
}

// checkMark: the identity is the engine's, and the hash is that of the content.
func checkMark(t *testing.T, o engine.Object, def engine.Definition, doc map[string]any) {
	t.Helper()
	data, _ := doc["config_data"].(map[string]any)
	want := map[string]any{"cluster": "test", "hash": def.Hash, "match": def.Match, "owner": o.Ref.String()}
	if !reflect.DeepEqual(data["cuegate"], want) {
		t.Errorf("the mark is %v, want %v", data["cuegate"], want)
	}
	if doc["api_id"] != def.ID || doc["org_id"] != "default" || doc["id"] != nil {
		t.Errorf("the identity is %v %v %v", doc["api_id"], doc["org_id"], doc["id"])
	}
	bare := maps.Clone(want)
	delete(bare, "hash")
	inner, outer := maps.Clone(data), maps.Clone(doc)
	inner["cuegate"], outer["config_data"] = bare, inner
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(outer); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	if got := hex.EncodeToString(sum[:]); got != def.Hash {
		t.Errorf("the hash is %s, that of the content is %s", def.Hash, got)
	}
}

func decodeNumbers(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		t.Fatalf("%v in %q", err, raw)
	}
	if dec.More() {
		t.Fatalf("something follows the definition: %q", raw)
	}
	return doc
}

func FuzzParseManifests(f *testing.F) {
	ingress, err := json.Marshal(routed("tea", "tea.example.com", "/tea", "Prefix", overridden))
	if err != nil {
		f.Fatal(err)
	}
	whole := string(ingress)
	for _, text := range nasty {
		f.Add([]byte(text))
		quoted, _ := json.Marshal(text)
		f.Add([]byte(strings.Replace(whole, `"tea.example.com"`, string(quoted), 1)))
		f.Add([]byte(strings.Replace(whole, `"tea-svc"`, `"`+text+`"`, 1)))
		f.Add([]byte(strings.Replace(whole, `"number":80`, `"number":`+text, 1)))
		f.Add([]byte(strings.Replace(whole, `"ingressClassName":"tyk"`, `"ingressClassName":"tyk","tls":`+text, 1)))
	}
	for _, text := range []string{
		whole, whole + "\n---\n" + whole, neighbours, neighbours + "\n---\n" + whole, "---\n---\n", "--- # x\n" + whole, "\ufeff" + whole,
		strings.Replace(whole, "networking.k8s.io/v1", "networking.k8s.io/v1beta1", 1),
		strings.Replace(whole, "networking.k8s.io/v1", "extensions/v1beta1", 1),
		strings.Replace(whole, "networking.k8s.io/v1", "networking.k8s.io/v2", 1),
		strings.Replace(whole, `"Prefix"`, `"prefix"`, 1),
		strings.Replace(whole, `"rules"`, `"Rules"`, 1),
		strings.Replace(whole, `"rules"`, `"rules":[],"rules"`, 1),
		strings.Replace(whole, `"spec"`, `"spec":null,"x"`, 1),
		strings.Replace(whole, `"creationTimestamp":"2026-03-04T05:06:07Z"`, `"creationTimestamp":"now"`, 1),
		`{"apiVersion":"v1","kind":"List","items":[` + whole + `,{},null,3,` + whole + `]}`,
		`{"apiVersion":"v1","kind":"List","items":{}}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"x"},"spec":{"ingressClassName":"tyk","defaultBackend":{"service":{"name":"tea-svc","port":{"name":"http"}}}}}`,
		`{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"x"},"spec":{"ingressClassName":"tyk","defaultBackend":{"resource":{"kind":"Bucket","name":"b"}}}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x"},"type":"kubernetes.io/tls","data":{"tls.crt":"!"}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, rejected := engine.ParseManifests("f.yaml", data)
		for _, r := range rejected {
			checkReasons(t, []engine.Reason{r.Reason})
			if !strings.HasPrefix(r.Source, "f.yaml:") {
				t.Errorf("the source is %q", r.Source)
			}
		}
		checkNothingSilent(t, data, len(objects)+len(rejected))
		around, rejected := engine.NewCluster(append(slices.Clone(objects), neighbourObjects(t)...))
		for _, r := range rejected {
			checkReasons(t, []engine.Reason{r.Reason})
		}
		if len(objects) > 4 {
			objects = objects[:4]
		}
		for _, o := range objects {
			if !json.Valid(o.JSON) || o.Kind == "" || o.Name == "" {
				t.Errorf("object %s: %q", o.Ref, o.JSON)
			}
			d, x, err := builtinEngine().Decide(context.Background(), o, around)
			checkDecided(t, o, d, x, err)
			if d.Outcome != engine.Managed {
				continue
			}
			// Explaining changes nothing.
			again, x, err := builtinEngine().Explain(context.Background(), o, around)
			checkDecided(t, o, again, x, err)
			if !reflect.DeepEqual(again, d) || len(x.Definitions) != len(d.Definitions) {
				t.Errorf("Decide says %+v, Explain %+v", d, again)
			}
		}
	})
}

// checkNothingSilent: a document that holds anything is an object or rejected.
func checkNothingSilent(t *testing.T, data []byte, found int) {
	t.Helper()
	if found > 0 || bytes.Contains(data, []byte("---")) || bytes.Contains(data, []byte("items")) {
		return
	}
	raw, err := yaml.YAMLToJSON(data)
	if err != nil || !bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		t.Errorf("nothing is said of %q: %s, %v", data, raw, err)
	}
}

func FuzzOverrides(f *testing.F) {
	setters := []string{"string", "bool", "num", "object", "array"}
	for i, text := range nasty {
		setter := setters[i%len(setters)]
		f.Add(text, "x")
		f.Add(setter+".service.tyk.io/"+text, "1")
		f.Add(setter+".service.tyk.io/tags."+text, `"x"`)
		f.Add(setter+".service.tyk.io/config-data."+text, `{"a":1}`)
		f.Add(setter+".service.tyk.io/version-data.versions."+text+".name", "x")
		f.Add("string.service.tyk.io/name", text)
		f.Add("string.service.tyk.io/proxy.target-url", text)
		f.Add("num.service.tyk.io/cache-options.cache-timeout", text)
		f.Add("num.service.tyk.io/config-data.n", text)
		f.Add("num.service.tyk.io/global-rate-limit.rate", text)
		f.Add("object.service.tyk.io/config-data", `{"a":`+text+`}`)
		f.Add("array.service.tyk.io/tags", `["`+text+`"]`)
		f.Add("cuegate.dev/override", text)
		f.Add("cuegate.dev/override", "name: "+text)
		quoted, _ := json.Marshal(text)
		f.Add("cuegate.dev/override", `{`+string(quoted)+`: 1}`)
		f.Add("cuegate.dev/override", `{"config_data": {`+string(quoted)+`: `+string(quoted)+`}}`)
	}
	for _, seed := range [][2]string{
		{"bool.service.tyk.io/use-keyless", "true"}, {"bool.service.tyk.io/use-keyless", "False"}, {"cuegate.dev/override", "use_keyless: true"},
		{"string.service.tyk.io/api-id", "x"}, {"string.service.tyk.io/org-id", "x"}, {"string.service.tyk.io/id", "65f0c0ffee65f0c0ffee65f0"},
		{"string.service.tyk.io/config-data.cuegate.owner", "x"}, {"object.service.tyk.io/config-data", `{"cuegate":{"owner":"x"}}`},
		{"object.service.tyk.io/config-data", `{"cuegate":null}`}, {"cuegate.dev/override", `{"config_data":{"cuegate":{}},"config_data.cuegate":{}}`},
		{"string.service.tyk.io/proxy.listen-path", "/victim/"}, {"string.service.tyk.io/domain", "victim.example.com"},
		{"object.service.tyk.io/proxy", `{"listen_path":"/victim/","target_url":"http://x"}`}, {"object.service.tyk.io/proxy", `{}`},
		{"array.service.tyk.io/proxy", `[]`}, {"string.service.tyk.io/proxy", "x"}, {"cuegate.dev/override", `{"": {"proxy": 1}}`},
		{"cuegate.dev/override", "proxy.listen_path: /a\nproxy: {listen_path: /b}"}, {"cuegate.dev/override", "proxy:\n  listen_path: /a\n"},
		{"string.service.tyk.io/tags.999", "x"}, {"string.service.tyk.io/tags.-1", "x"}, {"string.service.tyk.io/tags.0", "x"}, {"string.service.tyk.io/tags.00", "x"},
		{"array.service.tyk.io/custom-middleware.pre", `[{"name":"x","path":"/x"}]`}, {"string.service.tyk.io/custom-middleware.pre.0.name", "x"},
		{"cuegate.dev/override", `{"version_data.versions.a\\.b.name": "x"}`}, {"cuegate.dev/override", `{"config_data.0": 1, "config_data.-1": 2}`},
		{"cuegate.dev/template", "jwt"}, {"template.service.tyk.io", "legacy"}, {"kubernetes.io/ingress.class", "nginx"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		switch key {
		case "cuegate.dev/template", "template.service.tyk.io", "kubernetes.io/ingress.class":
			return // these choose another template, or owner
		}
		around := neighbourhood(t)
		base, _ := decideOne(t, permissiveEngine(), teaIngress(t, "tea", map[string]string{"template.service.tyk.io": "tokenAuth"}), around)
		o := teaIngress(t, "tea", map[string]string{"template.service.tyk.io": "tokenAuth", key: value})
		d, x, err := permissiveEngine().Decide(context.Background(), o, around)
		docs := checkDecided(t, o, d, x, err)
		strict, x, err := builtinEngine().Decide(context.Background(), o, around)
		checkDecided(t, o, strict, x, err)
		if strict.Outcome == engine.Managed && !reflect.DeepEqual(strict.Definitions, d.Definitions) {
			t.Errorf("a grant changes the definition from\n%s\nto\n%s", strict.Definitions[0].JSON, d.Definitions[0].JSON)
		}
		if len(docs) == 0 {
			if strict.Outcome == engine.Managed {
				t.Error("refused only where everything is granted")
			}
			return
		}
		got, want := docs[0], decodeNumbers(t, base.Definitions[0].JSON)
		if d.Template != "tokenAuth" || len(docs) != 1 || got["use_keyless"] != false || got["use_standard_auth"] != true {
			t.Errorf("template %s gives %d definitions with use_keyless %v", d.Template, len(docs), got["use_keyless"])
		}
		for _, path := range [][2]string{{"api_id"}, {"org_id"}, {"slug"}, {"domain"}, {"proxy", "listen_path"}, {"proxy", "target_url"}} {
			if fieldAt(got, path) != fieldAt(want, path) && !mayName(key, value, path) {
				t.Errorf("%v changed from %v to %v", path, fieldAt(want, path), fieldAt(got, path))
			}
		}
		if !isOverride(key) && !bytes.Equal(d.Definitions[0].JSON, base.Definitions[0].JSON) {
			t.Errorf("an annotation of others changes the definition to\n%s", d.Definitions[0].JSON)
		}
	})
}

func fieldAt(doc map[string]any, path [2]string) any {
	if path[1] == "" {
		return doc[path[0]]
	}
	inner, _ := doc[path[0]].(map[string]any)
	return inner[path[1]]
}

func isOverride(key string) bool {
	return strings.HasPrefix(key, "cuegate.dev/") || strings.Contains(key, "service.tyk.io")
}

// mayName tells whether the annotation speaks of a field at all: in its key, or
// in the keys of the object that it holds.
func mayName(key, value string, path [2]string) bool {
	if path[0] == "api_id" || path[0] == "org_id" {
		return false
	}
	if path[1] == "" {
		return named(key, value, path[0])
	}
	return named(key, value, path[0]) && named(key, value, path[1])
}

func named(key, value, field string) bool {
	_, setter, _ := strings.Cut(key, "/")
	if slices.Contains(strings.Split(strings.ReplaceAll(setter, "-", "_"), "."), field) {
		return true
	}
	raw, err := yaml.YAMLToJSON([]byte(value))
	if err != nil {
		return false
	}
	var v any
	return json.Unmarshal(raw, &v) == nil && holdsKey(v, field)
}

func holdsKey(v any, field string) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if slices.Contains(strings.Split(strings.ReplaceAll(k, `\`, ""), "."), field) || holdsKey(x, field) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return holdsKey(x, field) })
	}
	return false
}

// FuzzListenPaths: a host and a path are values: whatever they hold, they change
// the fields that they are for and no other.
func FuzzListenPaths(f *testing.F) {
	for i, text := range nasty {
		f.Add(text, "/tea", "Prefix", "default")
		f.Add("*."+text, "/tea", "Exact", "tokenAuth")
		f.Add("tea.example.com", text, "Prefix", "default")
		f.Add("", "/"+text, "Exact", "legacy")
		f.Add("*.example.com", "/a/"+text+"/b", "ImplementationSpecific", "tokenAuth")
		f.Add("tea.example.com", "/tea", text, "default")
		if i%4 == 0 {
			f.Add("tea.example.com", "/tea", "Prefix", text)
		}
	}
	f.Add("Tea.Example.COM", "/Tea/", "Prefix", "default")
	f.Add("tea.example.com", "", "ImplementationSpecific", "legacy")
	f.Add("tea.example.com", "/"+strings.Repeat("a/", 511), "Prefix", "default")
	f.Add(strings.Repeat("a.", 126)+"a", "/", "Prefix", "default")
	templates := []string{"default", "tokenAuth", "legacy"}
	f.Fuzz(func(t *testing.T, host, path, pathType, template string) {
		if !slices.Contains(templates, template) {
			template = "default"
		}
		around := neighbourhood(t)
		annotations := map[string]string{"template.service.tyk.io": template}
		o := ingressObject(t, routed("tea", host, path, pathType, annotations))
		d, x, err := builtinEngine().Decide(context.Background(), o, around)
		docs := checkDecided(t, o, d, x, err)
		if len(docs) == 0 {
			return
		}
		if len(docs) != 1 || d.Template != template {
			t.Fatalf("%d definitions by template %s", len(docs), d.Template)
		}
		host, path = asJSON(t, host), asJSON(t, path)
		kind := listenpath.PathType(pathType)
		domain, _, err := listenpath.Domain(host)
		if err != nil {
			t.Fatalf("host %q is managed: %v", host, err)
		}
		route, err := listenpath.Parse(host, path, kind)
		if err != nil {
			t.Fatalf("path %q is managed: %v", path, err)
		}
		want, err := route.Encode(listenpath.Templated)
		if err != nil {
			t.Fatalf("path %q is managed: %v", path, err)
		}
		if template == "legacy" {
			if want = path; path == "" {
				want = "/"
			}
		}
		got := docs[0]
		if got["domain"] != domain || fieldAt(got, [2]string{"proxy", "listen_path"}) != want || d.Definitions[0].Match != route.MatchKey() {
			t.Errorf("host %q, path %q are served as %v %v, want %q %q", host, path, got["domain"],
				fieldAt(got, [2]string{"proxy", "listen_path"}), domain, want)
		}
		_, benign := decideOne(t, builtinEngine(), ingressObject(t, routed("tea", "benign.example.com", "/benign", "Exact", annotations)), around)
		if a, b := withoutRoute(t, got), withoutRoute(t, decodeNumbers(t, benign.JSON)); !reflect.DeepEqual(a, b) {
			t.Errorf("another field changed:\n%v\nand with a benign route\n%v", a, b)
		}
	})
}

// asJSON gives a text as JSON carries it: each byte that is no UTF-8 becomes U+FFFD.
func asJSON(t *testing.T, text string) string {
	t.Helper()
	raw, err := json.Marshal(text)
	if err == nil {
		err = json.Unmarshal(raw, &text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withoutRoute takes out what host and path are for, and what identity makes of
// them.
func withoutRoute(t *testing.T, doc map[string]any) map[string]any {
	t.Helper()
	id, _ := doc["api_id"].(string)
	slug, _ := doc["slug"].(string)
	if len(id) != 32 || slug != "cafe-tea-"+id[:12] {
		t.Errorf("id %q, slug %q", id, slug)
	}
	for _, field := range []string{"api_id", "slug", "domain"} {
		delete(doc, field)
	}
	delete(doc["proxy"].(map[string]any), "listen_path")
	mark := doc["config_data"].(map[string]any)["cuegate"].(map[string]any)
	delete(mark, "hash")
	delete(mark, "match")
	return doc
}
