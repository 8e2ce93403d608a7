package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// keyFlags are the flags of run that are keys of the file, by key.
func keyFlags() map[string]*pflag.Flag {
	all := map[string]*pflag.Flag{}
	newRun().Flags().VisitAll(func(f *pflag.Flag) {
		if isKey(f.Name) {
			all[keyOf(f.Name)] = f
		}
	})
	return all
}

// schemaKeys are the keys of schema.#Config.
func schemaKeys(t *testing.T) []string {
	t.Helper()
	text, err := engine.JSONSchema(cuegate.Builtin(), nil, "config")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Properties map[string]any }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(doc.Properties))
}

// The schema has a key for every flag of run, and no other but targets.
func TestConfigKeysAreFlags(t *testing.T) {
	want := slices.Sorted(maps.Keys(keyFlags()))
	want = append(want, "targets")
	slices.Sort(want)
	if diff := cmp.Diff(want, schemaKeys(t)); diff != "" {
		t.Errorf("flags of run and keys of cue/schema/config.cue (-flags +schema):\n%s", diff)
	}
}

// What the schema says of a key is what its flag takes: a value of its type comes through,
// and one of another type does not. The same value comes through by its variable.
func TestConfigValues(t *testing.T) {
	for key, f := range keyFlags() {
		value, variable, wrong := `"text"`, "text", `7.5`
		switch kind := f.Value.Type(); kind {
		case "string":
		case "bool":
			value, variable, wrong = fmt.Sprint(f.DefValue != "true"), fmt.Sprint(f.DefValue != "true"), `"true"`
		case "duration":
			value, variable, wrong = `"1h30m0s"`, "1h30m0s", `90`
		case "float32":
			value, variable, wrong = `7.5`, "7.5", `"7.5"`
		case "stringArray", "stringSlice":
			value, variable, wrong = `["a","b"]`, "a,b", `"a"`
		case "": // a level of the log
			value, variable = `"WARN"`, "warn"
		default:
			t.Fatalf("%s: no sample for a flag of type %s", key, kind)
		}
		if _, err := parseConfigFile("wrong.yaml", []byte(key+": "+wrong+"\n")); err == nil || !strings.HasPrefix(err.Error(), "wrong.yaml:1: "+key+": wants ") {
			t.Errorf("%s: %s gives %v, and no error about its type", key, wrong, err)
		}
		check := func(from string) {
			t.Helper()
			got, err := printedBy(t)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(got.Values[key].Value)
			if err != nil {
				t.Fatal(err)
			}
			if string(raw) != value || got.Values[key].From != from {
				t.Errorf("%s is %s of %s, want %s of %s", key, raw, got.Values[key].From, value, from)
			}
		}
		name := filepath.Join(t.TempDir(), "cuegate.yaml")
		if err := os.WriteFile(name, []byte("\n"+key+": "+value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CUEGATE_CONFIG", name)
		check(filepath.ToSlash(name) + ":2")
		t.Setenv("CUEGATE_CONFIG", "")
		t.Setenv(variableOf(f.Name), variable)
		check(variableOf(f.Name))
		t.Setenv(variableOf(f.Name), "")
	}
}

// printedBy is what config print shows of the environment. Flags that must be given
// together are left to stories.
func printedBy(t *testing.T) (printedConfig, error) {
	t.Helper()
	var r running
	cmd := &cobra.Command{}
	r.flags(cmd)
	if err := fill(cmd, newRun().Flags()); err != nil && !strings.Contains(err.Error(), "they must all be set") {
		return printedConfig{}, err
	}
	c, err := r.source.in.readConfig()
	return printedConfig{Values: valuesOf(cmd.Flags(), c)}, err
}

// No variable of ours is one that Kubernetes makes for a Service.
func TestConfigVariablesAreNoServiceLinks(t *testing.T) {
	for key, f := range keyFlags() {
		if serviceLink.MatchString(variableOf(f.Name)) {
			t.Errorf("%s: %s would not be checked", key, variableOf(f.Name))
		}
	}
}

// What config print writes is a configuration file that says the same.
func TestConfigPrintedLoads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"config", "print", "--source", "kubernetes", "--watch-namespace", "shop,on", "--timeout", "90s", "--log-level", "warn", "--diagnostics", "", "--org-id", "507", "--plain-paths", "--mesh", "--kube-api-qps", "7.5", "--bundle", "a: b #c"}
	first := output(t, args...)
	name := filepath.Join(dir, "cuegate.yaml")
	if err := os.WriteFile(name, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	second := output(t, "config", "print", "--config", name)
	origin := regexp.MustCompile(` # \S+\n`)
	if diff := cmp.Diff(origin.ReplaceAllString(first, "\n"), origin.ReplaceAllString(second, "\n")); diff != "" {
		t.Errorf("(-printed +printed again):\n%s", diff)
	}
	if !strings.Contains(first, "bundle: 'a: b #c' # --bundle\n") {
		t.Errorf("the text is not quoted:\n%s", first)
	}
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	var out, said strings.Builder
	if code := run(t.Context(), args, strings.NewReader(""), &out, &said); code != exitOK {
		t.Fatalf("%v exits with %d: %s", args, code, said.String())
	}
	return out.String()
}

const configTable = "| key | flag | variable | default | what it is |\n|---|---|---|---|---|\n"

// docs/configuration.md has a row for each key, and no other.
func TestConfigDocument(t *testing.T) {
	const name = "../../docs/configuration.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), configTable)
	if !ok {
		t.Fatalf("%s has no table that begins with\n%s", name, configTable)
	}
	shown, after, _ := strings.Cut(rest, "\n\n")
	var want strings.Builder
	flags := keyFlags()
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		f := flags[key]
		usage := strings.NewReplacer("|", `\|`, "\n", " ").Replace(f.Usage)
		fmt.Fprintf(&want, "| `%s` | `--%s` | `%s` | `%s` | %s |\n", key, f.Name, variableOf(f.Name), defaultOf(f), usage)
	}
	shown += "\n"
	if shown == want.String() {
		return
	}
	if !*update {
		t.Errorf("%s tells of other keys than there are (-shown +there):\n%s", name, cmp.Diff(shown, want.String()))
		return
	}
	if err := os.WriteFile(name, []byte(before+configTable+want.String()+"\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func defaultOf(f *pflag.Flag) string {
	raw, err := onOneLine(flagValue(f))
	if err != nil {
		panic(err) // flags have texts, numbers and lists of texts
	}
	return raw
}
