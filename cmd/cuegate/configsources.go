package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/nearest"
)

// One name in three forms: the flag --watch-namespace, the key watchNamespace of the file,
// the variable CUEGATE_WATCH_NAMESPACE. A flag has precedence over a variable, that over
// the file, and that over the default.

const variablePrefix = "CUEGATE_"

// originOf is the annotation of a flag that tells which variable or place gave its value.
const originOf = "cuegate_origin"

// exclusive is the annotation in which cobra keeps the groups of flags of which one at most
// may be given, each with blanks between the names.
const exclusive = "cobra_annotation_mutually_exclusive"

// keyOf is the key of the file for a flag: its words, each but the first with a capital. Of
// ID both are.
func keyOf(flag string) string {
	words := strings.Split(flag, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		if w == "id" {
			words[i+1] = "ID"
		}
	}
	return strings.Join(words, "")
}

// variableOf is the environment variable for a flag.
func variableOf(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// isKey tells which flags of run are keys of the file as well.
func isKey(flag string) bool { return flag != "config" && flag != "output" && flag != "help" }

// inConfig are those that readConfig looks up itself: of two files, where a command has
// two, each has its own.
var inConfig = []string{"cluster-id", "org-id", "plain-paths", "mesh-namespace"}

// configure has every command below that reads a configuration take from the environment
// and from the file what its flags do not say. run are the flags of run.
func configure(cmd *cobra.Command, run *pflag.FlagSet) {
	for _, c := range cmd.Commands() {
		configure(c, run)
	}
	if cmd.Flags().Lookup("config") == nil {
		return
	}
	act := cmd.RunE
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return fill(cmd, run) }
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withOrigins(cmd.Flags(), "--", act(cmd, args))
	}
}

// fill gives flags of a command that were not given their values.
func fill(cmd *cobra.Command, run *pflag.FlagSet) error {
	flags := cmd.Flags()
	err := fillFrom(flags, run, func(f *pflag.Flag) (any, string) {
		// An empty variable is as good as none: charts and shells leave such behind.
		text := os.Getenv(variableOf(f.Name))
		if text == "" {
			return nil, ""
		}
		return text, variableOf(f.Name)
	})
	if err != nil {
		return err
	}
	if name := flags.Lookup("config").Value.String(); name != "" {
		file, err := readConfigFile(name)
		if err != nil {
			return err
		}
		err = fillFrom(flags, run, func(f *pflag.Flag) (any, string) {
			v, ok := file.values[keyOf(f.Name)]
			if !ok || !isKey(f.Name) {
				return nil, ""
			}
			return v, file.at(keyOf(f.Name))
		})
		if err != nil {
			return err
		}
	}
	return withOrigins(flags, "", cmd.ValidateFlagGroups())
}

// fillFrom takes values from one source; a nil one says nothing.
func fillFrom(flags, run *pflag.FlagSet, source func(*pflag.Flag) (v any, from string)) error {
	above := map[string]bool{}
	flags.VisitAll(func(f *pflag.Flag) { above[f.Name] = f.Changed })
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if run.Lookup(f.Name) == nil || f.Name == "help" || above[f.Name] || slices.Contains(inConfig, f.Name) || isExcluded(f, above) {
			return
		}
		v, from := source(f)
		if v == nil {
			return
		}
		if err := set(f, v); err != nil {
			failed = cmp.Or(failed, fmt.Errorf("%s: %w", from, err))
			return
		}
		f.Changed = true
		_ = flags.SetAnnotation(f.Name, originOf, []string{from}) // the flag is there
	})
	return failed
}

// isExcluded tells whether what was said above excludes a flag.
func isExcluded(f *pflag.Flag, above map[string]bool) bool {
	for _, group := range f.Annotations[exclusive] {
		if slices.ContainsFunc(strings.Fields(group), func(name string) bool { return above[name] }) {
			return true
		}
	}
	return false
}

// set sets a flag to a value of the file, or to a text of the environment, which has commas
// between the elements of a list.
func set(f *pflag.Flag, v any) error {
	list, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return f.Value.Set(fmt.Sprint(v))
	}
	var all []string
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
	case string:
		for x := range strings.SplitSeq(v, ",") {
			if x = strings.TrimSpace(x); x != "" {
				all = append(all, x)
			}
		}
	}
	return list.Replace(all)
}

// withOrigins adds to an error that names flags, each after dashes, who gave them their
// values.
func withOrigins(flags *pflag.FlagSet, dashes string, err error) error {
	if err == nil {
		return nil
	}
	var origins []string
	flags.VisitAll(func(f *pflag.Flag) {
		from := f.Annotations[originOf]
		if len(from) == 0 || !regexp.MustCompile(`(^|[^\w-])`+dashes+regexp.QuoteMeta(f.Name)+`($|[^\w-])`).MatchString(err.Error()) {
			return
		}
		origins = append(origins, fmt.Sprintf("%s is set by %s", f.Name, from[0]))
	})
	if len(origins) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(origins, ", "))
}

// serviceLink matches variables that Kubernetes sets in pods for a Service whose name
// begins with cuegate.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// checkVariables refuses variables CUEGATE_... that say nothing: most likely they are
// misspelt. environment is a list of NAME=VALUE.
func checkVariables(run *pflag.FlagSet, environment []string) error {
	known := []string{secretVariables[0]}
	for _, names := range fileNames { // people export the whole file that bootstrap writes
		known = append(known, names[0])
	}
	run.VisitAll(func(f *pflag.Flag) { known = append(known, variableOf(f.Name)) })
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || serviceLink.MatchString(name) || strings.HasPrefix(name, variablePrefix+"TEST_") {
			continue
		}
		near := nearest.Name(name, known)
		if near != "" {
			near = "; did you mean " + near + "?"
		}
		return fmt.Errorf("the environment variable %s is none of the configuration%s", name, near)
	}
	return nil
}

// oldVariables is a note on variables of the controller before this one; "" where there are
// none.
func oldVariables(environment []string) string {
	var names []string
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if value != "" && strings.HasPrefix(name, "TK8S_") && name != secretVariables[1] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return fmt.Sprintf("%s: of tyk-k8s, the controller before this one, and not read; `cuegate migrate config` converts such variables together with tyk-k8s.yaml", strings.Join(names, ", "))
}
