package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"cuelang.org/go/cue/token"
	cuejson "cuelang.org/go/encoding/json"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// definitionSchema is tyk.#Definition, loaded once for all tests.
var definitionSchema = sync.OnceValues(func() (cue.Value, *build.Instance) {
	inst := load.Instances([]string{"./tyk"}, &load.Config{Dir: "../../../cue"})[0]
	if inst.Err != nil {
		panic(inst.Err)
	}
	v := cuecontext.New().BuildInstance(inst)
	if err := v.Err(); err != nil {
		panic(err)
	}
	return v.LookupPath(cue.ParsePath("#Definition")), inst
})

// accepts tells why the schema refuses a document, or nil.
func accepts(doc any) error {
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return acceptsJSON(b)
}

func acceptsJSON(b []byte) error {
	expr, err := cuejson.Extract("test.json", b)
	if err != nil {
		return err
	}
	def, _ := definitionSchema()
	return def.Unify(cuecontext.New().BuildExpr(expr)).Validate(cue.Concrete(true))
}

// definitionField is a row of the table of fields.
type definitionField struct{ path, typ string }

func readRows(t *testing.T, file string) [][2]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][2]string
	for _, line := range strings.Split(string(b), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		left, right, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("%s: no tab in %q", file, line)
		}
		rows = append(rows, [2]string{left, right})
	}
	return rows
}

func definitionFields(t *testing.T) []definitionField {
	t.Helper()
	var fields []definitionField
	for _, r := range readRows(t, "classic-fields.tsv") {
		fields = append(fields, definitionField{r[0], r[1]})
	}
	if len(fields) < 700 {
		t.Fatalf("only %d fields in the table", len(fields))
	}
	return fields
}

func definitionEnums(t *testing.T) map[string][]string {
	t.Helper()
	enums := map[string][]string{}
	for _, r := range readRows(t, "classic-enums.tsv") {
		enums[r[0]] = strings.Fields(r[1])
	}
	return enums
}

// at wraps a value in the objects and lists of a path; "*" becomes the key "k".
func at(path string, value any) any {
	keys := strings.Split(path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		name := strings.TrimRight(keys[i], "[]")
		for range strings.Count(keys[i], "[]") {
			value = []any{value}
		}
		if name == "*" {
			name = "k"
		}
		value = map[string]any{name: value}
	}
	return value
}

// misspelt changes the last named key of a path.
func misspelt(path string) string {
	for {
		trimmed := strings.TrimSuffix(strings.TrimSuffix(path, "[]"), ".*")
		if trimmed == path {
			return path + "x"
		}
		path = trimmed
	}
}

func isFree(typ string) bool { return typ == "any" || typ == "bytes" }

// baseType is a type without the gateway's name for it.
func baseType(typ string) string {
	base, _, _ := strings.Cut(typ, " ")
	return base
}

// validSample is a value that the schema must accept at the path.
func validSample(f definitionField, enums map[string][]string) any {
	if values, ok := enums[f.path]; ok {
		return values[0]
	}
	name := f.path[strings.LastIndex(f.path, ".")+1:]
	switch f.typ {
	case "string (ObjectID)":
		return "65f0c0ffee65f0c0ffee65f0"
	case "int64 (ReadableDuration)":
		return "5m0s"
	case "time.Time":
		return "2026-03-04T05:06:07.089+01:00"
	case "any", "bytes":
		return map[string]any{"free": []any{1, "text", nil, 0.5}}
	case "datasource.TypeFieldConfiguration", "object (Dashboard)":
		return map[string]any{"anything": 1}
	}
	switch name {
	case "method", "to_method":
		return "PATCH"
	case "listen_path":
		return "/orders/{id:[0-9]{3}}/"
	case "target_url", "override_target", "url", "token_url", "issuer":
		return "https://upstream.example:8443/base?k=v"
	case "expires", "expiration":
		return "2026-03-04 05:06"
	case "code", "error_code", "error_response_code", "cache_response_codes[]":
		return 404
	}
	switch baseType(f.typ) {
	case "bool":
		return true
	case "int", "int64", "uint16", "uint64":
		return 7
	case "float64":
		return 0.5
	case "array":
		return []any{}
	case "object", "map[string]":
		return map[string]any{}
	}
	return "text"
}

// wrongSamples are values of other types.
func wrongSamples(typ string) []any {
	switch baseType(typ) {
	case "bool":
		return []any{"true", 1}
	case "int", "int64", "uint16", "uint64":
		return []any{"seven", true, 1.5, []any{}}
	case "float64":
		return []any{"0.5", true}
	case "array":
		return []any{"text", map[string]any{}}
	case "object", "map[string]", "datasource.TypeFieldConfiguration":
		return []any{"text", []any{}}
	}
	return []any{true, 7, map[string]any{}}
}

func TestDefinitionTakesEveryFieldOfTheTable(t *testing.T) {
	enums := definitionEnums(t)
	for _, f := range definitionFields(t) {
		if err := accepts(at(f.path, validSample(f, enums))); err != nil {
			t.Errorf("%s: a valid value is refused: %v", f.path, err)
		}
		wrong := at(misspelt(f.path), validSample(f, enums))
		if err := accepts(wrong); err == nil || !strings.Contains(err.Error(), "field not allowed") {
			t.Errorf("%s: the misspelt %s gives %v", f.path, misspelt(f.path), err)
		}
		if isFree(f.typ) {
			continue
		}
		for _, value := range append(wrongSamples(f.typ), nil) {
			if err := accepts(at(f.path, value)); err == nil {
				t.Errorf("%s: takes %#v for %s", f.path, value, f.typ)
			}
		}
	}
}

func TestDefinitionEnums(t *testing.T) {
	known := map[string]bool{}
	for _, f := range definitionFields(t) {
		known[f.path] = true
	}
	for path, values := range definitionEnums(t) {
		if !known[path] {
			t.Errorf("%s: not in the table of fields", path)
		}
		for _, value := range append(values, "") {
			if err := accepts(at(path, value)); err != nil {
				t.Errorf("%s: %q is refused: %v", path, value, err)
			}
		}
		for _, value := range append(values, "bogus") {
			if value = strings.ToUpper(value) + "s"; accepts(at(path, value)) == nil {
				t.Errorf("%s: takes %q", path, value)
			}
		}
		if accepts(at(path, "bogus")) == nil {
			t.Errorf("%s: takes %q", path, "bogus")
		}
	}
}

// What may and what may not stand in several places.
var (
	headerValues    = []any{"", "x", "a\tb", "$tyk_context.request_id", "bücher", "no-cache, max-age=0"}
	badHeaderValues = []any{"a\r\nX-Admin: 1", "a\n", "\r", "\u0000", "\u007f"}
	headerKeys      = []any{map[string]any{}, map[string]any{"X-Y_z": "1"}, map[string]any{"a": "", "B.c": ""}}
	badHeaderKeys   = []any{map[string]any{"": "x"}, map[string]any{"X Y": "x"}, map[string]any{"X:": "x"}, map[string]any{"X\r\nY": "x"}, map[string]any{"é": "x"}}
	addresses       = []any{"", "https://id.example.com/token", "http://10.0.0.1:8080"}
	badAddresses    = []any{"id.example.com", "//id.example.com", "id.example.com/token", "https://", "https://a b", "https://a\n", "localhost:8080"}
)

func TestDefinitionConstraints(t *testing.T) {
	const ep = "version_data.versions.*.extended_paths."
	long := strings.Repeat("a", 200)
	tests := []struct {
		path      string
		good, bad []any
	}{
		{"proxy.target_url",
			[]any{"", "http://tea-svc.shop:80", "http://10.0.0.1:9191/base?k=v#f", "h2c://x", "wss://x/y", "grpc://x:1", "grpcs://x",
				"tls://[::1]:443", "http://x:65535", "http://x:0443/y", "http://[::1:99999]:80", "http://x/a:70000", "http://x?q=:70000", "tyk://self/x", "tcp://db:5432", "https://u:p@x/", "http://bücher.example/ä", "secrets://target"},
			[]any{"127.0.0.1:9191", "//x", "http://", "http:///x", "http://:80", "http:/x", "HTTP://x", "ftp://x", "javascript:alert(1)",
				"http://a b/", "http://a/b c", "http://a/\n", "http://a\t", "http://a/\u00a0", "http://a/\u0000", " http://a", "http://?q",
				"http://x:65536", "http://x:99999/y", "http://x:100000", "http://u:p@x:70000?k", "http://[::1]:065536#f"}},
		{"version_data.versions.*.override_target",
			[]any{"", "http://x"}, []any{"x", "x:80"}},
		{"proxy.target_list[]",
			[]any{"http://x:80", "x:80", "10.0.0.1"}, []any{"", "a b", "a\n"}},
		{"proxy.listen_path",
			[]any{"/", "/f", "/f/", "/foo{p:(?:/|$)}", "/f/{id:[0-9]+}/g", "/f/{id:[0-9]{3}}", "/café", "/v1.0/a+b", "/{p:(?:|/aaaa)}", "/a*(b)|c"},
			[]any{"", "f", "f/", "/f g", "/f\tg", "/f\n", "/f\u0000", "/f\u0085", "/f\u2028", "/f{", "/f}", "/{a{b}", "/f{a}}", " /f", "http://x/"}},
		{"version_data.versions.*.expires",
			[]any{"", "-1", "2026-01-02 15:04"},
			[]any{"tomorrow", "never", "2026-01-02", "2026-13-02 15:04", "2026-01-02 24:00", "2026-01-02T15:04:05Z", "2026-01-02 15:04:05", "2026-01-02 15:04\n"}},
		{"certificates[]", []any{"5e9d9544a1dcd60001d0ed20", "default58b8"}, []any{"", "/etc/tls.pem", "a/b", "a b", "a\n"}},
		{"client_certificates[]", []any{"5e9d9544a1dcd60001d0ed20"}, []any{"", "../x"}},
		{"version_data.versions.*.global_headers.*", headerValues, badHeaderValues},
		{"version_data.versions.*.global_response_headers.*", headerValues, badHeaderValues},
		{ep + "transform_headers[].add_headers.*", headerValues, badHeaderValues},
		{ep + "mock_response[].headers.*", headerValues, badHeaderValues},
		{"uptime_tests.check_list[].headers.*", headerValues, badHeaderValues},
		{"graphql.engine.global_headers[].value", headerValues, badHeaderValues},
		{"version_data.versions.*.global_headers", headerKeys, badHeaderKeys},
		{"version_data.versions.*.global_response_headers", headerKeys, badHeaderKeys},
		{ep + "transform_response_headers[].add_headers", headerKeys, badHeaderKeys},
		{ep + "ignored[].method_actions.*.headers", headerKeys, badHeaderKeys},
		{"graphql.proxy.request_headers", headerKeys, badHeaderKeys},
		{"graphql.supergraph.global_headers", headerKeys, badHeaderKeys},
		{"version_data.versions.*.global_headers_remove[]", []any{"", "X-Y"}, []any{"X Y", "X:"}},
		{"auth_configs.*.auth_header_name", []any{"", "X-Key"}, []any{"X Key", "X-Key\r\n"}},
		{"upstream_auth.oauth.client_credentials.token_url", addresses, badAddresses},
		{"upstream_auth.oauth.password.token_url", addresses, badAddresses},
		{"openid_options.providers[].issuer", addresses, badAddresses},
		{"external_oauth.providers[].introspection.url", addresses, badAddresses},
		{"graphql.supergraph.subgraphs[].url", append([]any{"tyk://self"}, addresses...), badAddresses},
		{"domain",
			[]any{"", "a.example.com", "a.example.com:8080", "{?:[^.]+}.example.com", "{sub:[^.]+}.example.test", "{s:[a-z]{2}}.x", "{S:[A-Z]}.x", "x-1_2.y", "bücher.example"},
			[]any{"A.example.com", "a.Example.com", "http://a.com", "a.com/", "a b.com", "a.com\n", "{x.example.com", "x}.example.com", "É.com"}},
		{"api_id",
			[]any{"", "a", "A1._-", "-a", "_a", "0123456789abcdef0123456789abcdef", long, "x-oasis", "a..b"},
			[]any{".", "..", ".a", "a/b", "a b", "é", "a~b", "a\n", long + "a", "x-oas", "-oas", "a%2fb"}},
		{"id", []any{"", "65f0c0ffee65f0c0ffee65f0"}, []any{"x", "65f0c0ffee65f0c0ffee65f", "65f0c0ffee65f0c0ffee65g0"}},
		{"listen_port", []any{0, 1, 8443, 65535}, []any{-1, 65536}},
		{"jwt_jwks_uris[].cache_timeout", []any{"", "5m", "1h30m", "1.5s", "0s", "5m0s", "250ms", 0, 300},
			[]any{"5", "-5m", "5 m", "5d", "m", -1, 0.5}},
		{"graphql.last_schema_update",
			[]any{"", "2026-01-02T03:04:05Z", "2022-09-15T16:45:42.062+03:00"},
			[]any{"2026-01-02", "2026-01-02 03:04:05", "2026-13-02T03:04:05Z", "2026-01-02T25:04:05Z", "2026-01-02T03:04:05", "now"}},
		{"hmac_allowed_clock_skew", []any{-1, 0, 1000, 0.5}, []any{-2}},
		{"jwt_issued_at_validation_skew", []any{0, json.Number("18446744073709551615")}, []any{-1, json.Number("18446744073709551616")}},
		{"session_lifetime", []any{0, json.Number("9223372036854775807")}, []any{-1, json.Number("9223372036854775808")}},
		{"expire_analytics_after", []any{0, 60}, []any{-1}},
		{"cache_options.cache_timeout", []any{0, 60}, []any{-1}},
		{"cache_options.cache_response_codes[]", []any{0, 100, 200, 599}, []any{-1, 1, 99, 600}},
		{"basic_auth.cache_ttl", []any{0, 60}, []any{-1}},
		{"auth.signature.allowed_clock_skew", []any{0, 60}, []any{-1}},
		{"auth.signature.error_code", []any{0, 401}, []any{42}},
		{"global_rate_limit.rate", []any{0, 0.5, 1e6}, []any{-0.5}},
		{"global_rate_limit.per", []any{0, 60}, []any{-60}},
		{"proxy.service_discovery.cache_timeout", []any{0, 60}, []any{-1}},
		{"proxy.transport.ssl_min_version", []any{0, 771, 65535}, []any{-1, 65536}},
		{"uptime_tests.config.recheck_wait", []any{0, 12}, []any{-1}},
		{"uptime_tests.check_list[].timeout", []any{0, 500000000}, []any{-1}},
		{"version_data.versions.*.global_size_limit", []any{0, 1024}, []any{-1}},
		{ep + "hard_timeouts[].timeout", []any{0, 60}, []any{-1}},
		{ep + "hard_timeouts[].method", []any{"", "GET", "M-SEARCH"}, []any{"get", "GET POST", "GET\n", "G/T"}},
		{ep + "method_transforms[].to_method", []any{"", "POST"}, []any{"Post"}},
		{ep + "size_limits[].size_limit", []any{0, 1}, []any{-1}},
		{ep + "rate_limit[].rate", []any{0, 1.5}, []any{-1}},
		{ep + "circuit_breakers[].threshold_percent", []any{0, 0.5, 1}, []any{-0.1, 1.1, 50}},
		{ep + "circuit_breakers[].samples", []any{0, 5}, []any{-1}},
		{ep + "circuit_breakers[].return_to_service_after", []any{0, 60}, []any{-1}},
		{ep + "mock_response[].code", []any{0, 200, 503}, []any{1, 1000}},
		{ep + "validate_json[].error_response_code", []any{0, 422}, []any{-422}},
		{ep + "advance_cache_config[].timeout", []any{0, 60}, []any{-1}},
	}
	for _, test := range tests {
		for _, value := range test.good {
			if err := accepts(at(test.path, value)); err != nil {
				t.Errorf("%s: %#v is refused: %v", test.path, value, err)
			}
			if v := violations(t, at(test.path, value)); len(v) > 0 {
				t.Errorf("%s: %#v is refused by the compiled schema: %v", test.path, value, v)
			}
		}
		for _, value := range test.bad {
			if accepts(at(test.path, value)) == nil {
				t.Errorf("%s: takes %#v", test.path, value)
			}
			if len(violations(t, at(test.path, value))) == 0 {
				t.Errorf("%s: the compiled schema takes %#v", test.path, value)
			}
		}
	}
}

// compiledDefinition is what the engine validates with.
var compiledDefinition = sync.OnceValue(func() *schema.Schema {
	def, _ := definitionSchema()
	s, err := schema.Compile(def, "an API definition")
	if err != nil {
		panic(err)
	}
	return s
})

func violations(t *testing.T, doc any) []schema.Violation {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return compiledDefinition().Validate(v)
}

func TestViolationsSayWhatIsWanted(t *testing.T) {
	const headers = "version_data.versions.*.global_headers"
	for _, test := range []struct {
		path, want string
		value      any
	}{
		{"jwt_signing_method", `wants one of "hmac", "rsa", "ecdsa"`, "none"},
		{"jwt_signing_method", `wants one of "hmac", "rsa", "ecdsa", not a number`, 5},
		{"graphql.proxy.subscription_type", `wants one of "graphql-ws", "graphql-transport-ws", "sse"`, "x"},
		{"jwt_jwks_uris[].cache_timeout", `is a number that is not allowed here (How long the set is kept`, -5},
		{"jwt_jwks_uris[].cache_timeout", `is a string that is not allowed here (How long the set is kept`, "x"},
		{"jwt_jwks_uris[].cache_timeout", `wants a string or a whole number, not true or false`, true},
		{"session_lifetime", `is a number that is not allowed here (How long a key lives`, -1},
		{"session_lifetime", `wants a whole number, without a fraction or an exponent`, 1.5},
		{"session_lifetime", `wants a whole number, not a string`, "1"},
		{"hmac_allowed_clock_skew", `wants a number, not a string`, "1"},
		{"proxy.target_url", `is a string that is not allowed here (Upstream address`, "http://x:70000"},
		{headers, `is a key that is not allowed here (the name of a header`, map[string]any{"X Y": "1"}},
		{headers, `is a string that is not allowed here (a text without line breaks`, map[string]any{"X-Y": "\n"}},
	} {
		v := violations(t, at(test.path, test.value))
		if len(v) != 1 || !strings.HasPrefix(v[0].Message, test.want) {
			t.Errorf("%s: %#v gives %v, want %s", test.path, test.value, v, test.want)
		}
	}
}

func TestDefinitionTakesWholeDocuments(t *testing.T) {
	for name, doc := range map[string]string{
		"smallest that serves": `{"name":"api a1","api_id":"a1","org_id":"default","use_keyless":true,"active":true,
			"version_data":{"not_versioned":true,"versions":{"Default":{"name":"Default","use_extended_paths":true}}},
			"proxy":{"listen_path":"/a1/","target_url":"http://127.0.0.1:9191/","strip_listen_path":true}}`,
		"object annotation of the old controller": `{"version_data":{"versions":{"Default":{"extended_paths":
			{"hard_timeouts":[{"path":"{all}","method":"GET","timeout":60,"fromDashboard":true}]}}}}}`,
		"empty": `{}`,
	} {
		if err := acceptsJSON([]byte(doc)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, doc := range []string{`null`, `[]`, `"x"`, `{"proxy":{"listen_path":"/a/"},"proxyy":{}}`} {
		if acceptsJSON([]byte(doc)) == nil {
			t.Errorf("takes %s", doc)
		}
	}
}

// schemaPaths collects the fields of the schema in the notation of the table.
func schemaPaths(v cue.Value, path string, found map[string]cue.Kind) {
	kind := v.IncompleteKind()
	if path != "" {
		found[path] = kind
	}
	if kind == cue.ListKind {
		if elem := v.LookupPath(cue.MakePath(cue.AnyIndex)); elem.Exists() {
			schemaPaths(elem, path+"[]", found)
		}
		return
	}
	if kind != cue.StructKind {
		return
	}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	named := false
	for it, _ := v.Fields(cue.Optional(true)); it.Next(); {
		named = true
		schemaPaths(it.Value(), prefix+it.Selector().Unquoted(), found)
	}
	// A struct that is open ("...") has any field too, but is no map.
	for it, _ := v.Fields(cue.Optional(true), cue.Patterns(true)); it.Next(); {
		if it.Selector().ConstraintType() != cue.PatternConstraint {
			continue
		}
		if named {
			found[path+" has fields and a pattern"] = 0
		}
		schemaPaths(it.Value(), prefix+"*", found)
	}
}

func kindOf(typ string) cue.Kind {
	switch base := baseType(typ); {
	case isFree(typ):
		return cue.TopKind
	case typ == "int64 (ReadableDuration)":
		return cue.IntKind | cue.StringKind
	case base == "bool":
		return cue.BoolKind
	case base == "float64":
		return cue.NumberKind
	case base == "array":
		return cue.ListKind
	case base == "object", base == "map[string]", strings.HasPrefix(base, "datasource."):
		return cue.StructKind
	case base == "string", base == "time.Time":
		return cue.StringKind
	case strings.HasPrefix(base, "int"), strings.HasPrefix(base, "uint"):
		return cue.IntKind
	}
	return cue.BottomKind
}

func TestDefinitionAndTableHaveTheSameFields(t *testing.T) {
	def, _ := definitionSchema()
	found := map[string]cue.Kind{}
	schemaPaths(def, "", found)
	for _, f := range definitionFields(t) {
		kind, ok := found[f.path]
		if !ok {
			t.Errorf("%s: in the table, not in the schema", f.path)
		} else if kind != kindOf(f.typ) {
			t.Errorf("%s: %s in the table, %v in the schema", f.path, f.typ, kind)
		}
		delete(found, f.path)
	}
	for path := range found {
		t.Errorf("%s: in the schema, not in the table", path)
	}
}

// The schema is documented throughout, and written in the part of the language
// that the compiler of validators knows.
func TestDefinitionIsDocumentedAndPlain(t *testing.T) {
	_, inst := definitionSchema()
	allowed := map[string]bool{"_": true, "string": true, "bool": true, "int": true, "number": true, "int64": true, "uint16": true, "uint64": true}
	var faults []string
	for _, file := range inst.Files {
		fault := func(n ast.Node, format string, args ...any) {
			faults = append(faults, fmt.Sprintf("%v: ", n.Pos().Position())+fmt.Sprintf(format, args...))
		}
		ast.Walk(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				name, _, err := ast.LabelName(n.Label)
				if err != nil {
					return true // a pattern
				}
				documented := false
				for _, group := range ast.Comments(n) {
					documented = documented || group.Doc && strings.HasSuffix(strings.TrimSpace(group.Text()), ".")
				}
				if !documented {
					fault(n, "%s has no comment that is a sentence", name)
				}
				if !strings.HasPrefix(name, "#") && n.Constraint != token.OPTION {
					fault(n, "%s is not optional", name)
				}
			case *ast.UnaryExpr:
				if n.Op == token.MUL {
					fault(n, "a default")
				}
			case *ast.BasicLit:
				if n.Kind == token.NULL {
					fault(n, "null")
				}
			case *ast.Ident:
				if !allowed[n.Name] && !strings.HasPrefix(n.Name, "#") && !isLabel(file, n) {
					fault(n, "%s is outside the part of the language agreed on", n.Name)
				}
			case *ast.Comprehension, *ast.ImportDecl, *ast.CallExpr, *ast.Interpolation, *ast.LetClause, *ast.SelectorExpr, *ast.IndexExpr:
				fault(n, "%T is outside the part of the language agreed on", n)
			}
			return true
		}, nil)
	}
	sort.Strings(faults)
	for _, f := range faults {
		t.Error(f)
	}
}

// isLabel tells whether an identifier names a field or the package.
func isLabel(file *ast.File, ident *ast.Ident) bool {
	label := false
	ast.Walk(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			label = label || n.Label == ast.Label(ident)
		case *ast.Package:
			label = label || n.Name == ident
		}
		return !label
	}, nil)
	return label
}
