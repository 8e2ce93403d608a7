package engine_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// validator reads a JSON Schema, and gives a function that tells what it has against a
// document, or nil.
func validator(t *testing.T, schema []byte) func(document []byte) error {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(schema, &root); err != nil {
		t.Fatal(err)
	}
	return func(document []byte) error {
		var doc any
		if err := json.Unmarshal(document, &doc); err != nil {
			t.Fatal(err)
		}
		return schemaCheck{t, root}.value("", root, doc)
	}
}

// schemaCheck validates as JSON Schema 2020-12 says, with the keywords that our schemas
// use; any other fails the test.
type schemaCheck struct {
	t    *testing.T
	root map[string]any
}

func (c schemaCheck) value(at string, schema, doc any) error {
	if allowed, ok := schema.(bool); ok {
		if !allowed {
			return fmt.Errorf("%s: nothing is allowed here", at)
		}
		return nil
	}
	s := schema.(map[string]any)
	for keyword, arg := range s {
		if err := c.keyword(at, s, keyword, arg, doc); err != nil {
			return err
		}
	}
	return nil
}

func (c schemaCheck) keyword(at string, s map[string]any, keyword string, arg, doc any) error {
	object, isObject := doc.(map[string]any)
	list, isList := doc.([]any)
	text, isText := doc.(string)
	number, isNumber := doc.(float64)
	wrong := func() error { return fmt.Errorf("%s: %v is against %s %v", at, doc, keyword, arg) }
	must := func(ok bool) error {
		if !ok {
			return wrong()
		}
		return nil
	}
	switch keyword {
	case "$defs", "$schema", "title", "description", "then", "patternProperties", "prefixItems":
		return nil // with what they belong to
	case "$ref":
		name := strings.TrimPrefix(arg.(string), "#/$defs/")
		return c.value(at, c.root["$defs"].(map[string]any)[name], doc)
	case "type":
		return must(map[string]bool{
			"object": isObject, "array": isList, "string": isText, "number": isNumber, "integer": isNumber && number == math.Trunc(number),
			"boolean": doc == true || doc == false, "null": doc == nil,
		}[arg.(string)])
	case "const":
		return must(reflect.DeepEqual(arg, doc))
	case "enum":
		return must(slices.ContainsFunc(arg.([]any), func(x any) bool { return reflect.DeepEqual(x, doc) }))
	case "not":
		return must(c.value(at, arg, doc) != nil)
	case "allOf":
		for _, x := range arg.([]any) {
			if err := c.value(at, x, doc); err != nil {
				return err
			}
		}
		return nil
	case "anyOf", "oneOf":
		return must(slices.ContainsFunc(arg.([]any), func(x any) bool { return c.value(at, x, doc) == nil }))
	case "if":
		if c.value(at, arg, doc) == nil {
			return c.value(at, s["then"], doc)
		}
		return nil
	case "pattern":
		return must(!isText || regexp.MustCompile(arg.(string)).MatchString(text))
	case "minLength":
		return must(!isText || utf8.RuneCountInString(text) >= int(arg.(float64)))
	case "maxLength":
		return must(!isText || utf8.RuneCountInString(text) <= int(arg.(float64)))
	case "minimum":
		return must(!isNumber || number >= arg.(float64))
	case "maximum":
		return must(!isNumber || number <= arg.(float64))
	case "exclusiveMinimum":
		return must(!isNumber || number > arg.(float64))
	case "exclusiveMaximum":
		return must(!isNumber || number < arg.(float64))
	case "format":
		return nil // an annotation, says the standard
	case "minItems":
		return must(!isList || len(list) >= int(arg.(float64)))
	case "maxItems":
		return must(!isList || len(list) <= int(arg.(float64)))
	case "items":
		prefix, _ := s["prefixItems"].([]any)
		for i, x := range list {
			schema := arg
			if i < len(prefix) {
				schema = prefix[i]
			}
			if err := c.value(fmt.Sprintf("%s[%d]", at, i), schema, x); err != nil {
				return err
			}
		}
		return nil
	case "required":
		for _, name := range arg.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return fmt.Errorf("%s: there is no %s", at, name)
			}
		}
		return nil
	case "propertyNames":
		for name := range object {
			if err := c.value(at+"."+name, arg, name); err != nil {
				return err
			}
		}
		return nil
	case "minProperties":
		return must(!isObject || len(object) >= int(arg.(float64)))
	case "properties", "additionalProperties":
		return c.properties(at, s, keyword, object)
	}
	c.t.Fatalf("%s: the keyword %s is not known", at, keyword)
	return nil
}

func (c schemaCheck) properties(at string, s map[string]any, keyword string, object map[string]any) error {
	named, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	for name, x := range object {
		schema, known := named[name]
		if known && keyword == "properties" {
			if err := c.value(at+"."+name, schema, x); err != nil {
				return err
			}
		}
		for pattern, schema := range patterns {
			if !regexp.MustCompile(pattern).MatchString(name) {
				continue
			}
			known = true
			if err := c.value(at+"."+name, schema, x); err != nil {
				return err
			}
		}
		if !known && keyword == "additionalProperties" {
			if err := c.value(at+"."+name, s["additionalProperties"], x); err != nil {
				return err
			}
		}
	}
	return nil
}

func exportedSchema(t *testing.T, operator fs.FS, name string) []byte {
	t.Helper()
	text, err := engine.JSONSchema(cuegate.Builtin(), operator, name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return text
}

func TestJSONSchema(t *testing.T) {
	const ingress = `{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "tea"`
	const deployment = `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "tea"`
	const pods = `"spec": {"selector": {"matchLabels": {"app": "tea"}}, "template": {"metadata": {"annotations": {"injector.tyk.io/inject": "yes"}}, "spec": {"containers": [{"name": "tea", "image": "tea:1"}]}}}}`
	const rules = `"spec": {"rules": [{"host": "tea.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "tea", "port": {"name": "http"}}}}]}}]}}`
	for schema, documents := range map[string]struct{ right, wrong []string }{
		"ingress": {
			right: []string{
				ingress + `}, ` + rules,
				ingress + `, "annotations": {"any.one/else": "x", "bool.service.tyk.io/use-keyless": "False", "num.service.tyk.io/cache-options.cache-timeout": "5", "cuegate.dev/template": "jwt"}}, ` + rules,
				ingress + `}, "spec": {"defaultBackend": {"resource": {"kind": "Bucket", "name": "x"}}}}`,
				ingress + `}, "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}, "status": {}}`,
				ingress + `}, "spec": {"rules": [{"http": {"paths": [{"pathType": "ImplementationSpecific", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}}`,
			},
			wrong: []string{
				strings.Replace(ingress, "networking.k8s.io/v1", "extensions/v1beta1", 1) + `}, ` + rules,
				ingress + `}, ` + strings.Replace(rules, "pathType", "pathTyp", 1),
				ingress + `}, ` + strings.Replace(rules, "Prefix", "prefix", 1),
				ingress + `}, "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": "80"}}}}}`,
				ingress + `, "annotations": {"bool.service.tyk.io/use-keyless": "maybe"}}, ` + rules,
				ingress + `, "annotations": {"bool.service.tyk.io/use-keyless": true}}, ` + rules,
				ingress + `, "annotations": {"boool.service.tyk.io/use-keyless": "true"}}, ` + rules,
				ingress + `, "annotations": {"cuegate.dev/templat": "jwt"}}, ` + rules,
			},
		},
		"deployment": {
			right: []string{deployment + `}, ` + pods},
			wrong: []string{
				deployment + `}, ` + strings.Replace(pods, `"yes"`, `"perhaps"`, 1),
				deployment + `}, ` + strings.Replace(pods, `"containers"`, `"container"`, 1),
			},
		},
		"definition": {
			right: []string{`{}`, `{"name": "tea", "use_keyless": true, "proxy": {"listen_path": "/tea"}}`},
			wrong: []string{`{"use_keyles": true}`, `{"use_keyless": "true"}`, `{"proxy": {"listen_pth": "/"}}`},
		},
		"settings": {
			right: []string{`{}`, `{"settings": {"template": "jwt", "mesh": {"tls": "mtls"}, "grants": [{"id": "a", "hosts": ["x"]}]}, "mine": 1}`},
			wrong: []string{`{"settings": {"templte": "jwt"}}`, `{"settings": {"mesh": {"tls": "on"}}}`, `{"settings": {"grants": [{"hosts": ["x"]}]}}`},
		},
	} {
		refuses := validator(t, exportedSchema(t, nil, schema))
		for _, d := range documents.right {
			if err := refuses([]byte(d)); err != nil {
				t.Errorf("%s: %s: %v", schema, d, err)
			}
		}
		for _, d := range documents.wrong {
			if refuses([]byte(d)) == nil {
				t.Errorf("%s: is not refused: %s", schema, d)
			}
		}
	}
}

// An editor must not mark what cue vet lets pass.
func TestJSONSchemaRefusesNothingThatIsRight(t *testing.T) {
	kinds := map[string]string{"Ingress": "ingress", "IngressClass": "ingressclass", "Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset"}
	refuses := map[string]func([]byte) error{}
	for kind, name := range kinds {
		refuses[kind] = validator(t, exportedSchema(t, nil, name))
	}
	checked := map[string]int{}
	for _, pattern := range []string{"../examples/*/*.yaml", "../examples/*/*/*.yaml", "testdata/workloads/*.*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects, _ := engine.ParseManifests(file, text)
			for _, o := range objects {
				against, ok := refuses[o.Kind]
				if !ok {
					continue
				}
				// Of a key with nothing behind it an editor may say what belongs there.
				if _, text := refusals(t, "#"+o.Kind, string(o.JSON)); text != "" || strings.Contains(string(o.JSON), ":null") {
					continue
				}
				checked[o.Kind]++
				if err := against(o.JSON); err != nil {
					t.Errorf("%s: %s: %v", o.Source, o.Ref, err)
				}
			}
		}
	}
	for _, kind := range []string{"Ingress", "Deployment"} {
		if checked[kind] < 5 {
			t.Errorf("only %d of kind %s were right", checked[kind], kind)
		}
	}
}

// The schema of an object is that of the bundle, where it has one.
func TestJSONSchemaOfABundle(t *testing.T) {
	operator := fstest.MapFS{"schema/objects.cue": {Data: []byte(ownSchema)}}
	refuses := validator(t, exportedSchema(t, operator, "ingress"))
	document := func(labels string) []byte {
		text, err := yaml.YAMLToJSON([]byte("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: tea, labels: {" + labels + "}, annotations: {any.of/them: b}}\nspec: {defaultBackend: {service: {name: tea, port: {number: 80}}}}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if err := refuses(document("team: tea, other: x")); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"other: x", "team: T"} {
		if refuses(document(wrong)) == nil {
			t.Errorf("%s is not refused", wrong)
		}
	}
	operator["schema/objects.cue"] = &fstest.MapFile{Data: []byte("package schema\n#Ingress: {a: b}\n")}
	if _, err := engine.JSONSchema(cuegate.Builtin(), operator, "ingress"); err == nil || !strings.Contains(err.Error(), "schema/objects.cue:2:15") {
		t.Errorf("a broken bundle: %v", err)
	}
}

// Editors read patterns as JavaScript does, which has no (?i) and no \z.
func TestExportedPatternsArePortable(t *testing.T) {
	foreign := regexp.MustCompile(`\(\?[^:=!]|\\[AzQE]|\[\[:`)
	for _, s := range engine.SchemaNames() {
		var doc any
		if err := json.Unmarshal(exportedSchema(t, nil, s[0]), &doc); err != nil {
			t.Fatal(err)
		}
		for _, text := range patternsOf(doc) {
			if foreign.MatchString(text) {
				t.Errorf("%s: %s", s[0], text)
			}
			if _, err := regexp.Compile(text); err != nil {
				t.Errorf("%s: %v", s[0], err)
			}
		}
	}
}

func patternsOf(v any) []string {
	var all []string
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			all = append(all, patternsOf(x)...)
		}
	case map[string]any:
		for key, x := range v {
			if text, ok := x.(string); ok && key == "pattern" {
				all = append(all, text)
			}
			if key == "patternProperties" {
				for text := range x.(map[string]any) {
					all = append(all, text)
				}
			}
			all = append(all, patternsOf(x)...)
		}
	}
	return all
}

func TestOpenAPI(t *testing.T) {
	text, err := engine.OpenAPI(cuegate.Builtin(), nil, "ingress", "definition")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI    string
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	for _, name := range []string{"ingress", "definition", "ingress.IngressSpec", "ingress.IngressPath"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	// Every reference leads somewhere.
	refs := regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(string(text), -1)
	if len(refs) < 20 {
		t.Errorf("only %d references", len(refs))
	}
	for _, m := range refs {
		if name, ok := strings.CutPrefix(m[1], "#/components/schemas/"); !ok || doc.Components.Schemas[name] == nil {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
	if _, err := engine.OpenAPI(cuegate.Builtin(), nil, "ingres"); err == nil || !strings.Contains(err.Error(), `no schema "ingres"`) {
		t.Errorf("an unknown schema: %v", err)
	}
}
