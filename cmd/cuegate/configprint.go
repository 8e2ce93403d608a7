package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration of the controller",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigPrint())
	return cmd
}

func newConfigPrint() *cobra.Command {
	var r running
	var output string
	cmd := &cobra.Command{
		Use:   "print [flags of run]",
		Short: "Show the configuration of run, and where each value comes from",
		Long: `Print takes the flags of "cuegate run", the environment variables CUEGATE_... and the
file of --config, and shows what comes out of them: each value with the flag, the
variable or the line of the file that it comes from. Secrets are not shown, nor what
URLs have of them.

As YAML, values that differ from the defaults are a configuration file of their own;
the defaults are comments.

It exits with 2 when "cuegate run" would not take the configuration.`,
		Example: `  cuegate config print --config cuegate.yaml
  CUEGATE_WATCH_NAMESPACE=shop,cafe cuegate config print --source kubernetes -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "yaml" && output != "json" {
				return fmt.Errorf("unknown output %q: it is yaml or json", output)
			}
			if err := checkVariables(cmd.Flags(), os.Environ()); err != nil {
				return err
			}
			c, err := r.source.in.readConfig()
			if err != nil {
				return err
			}
			p := printedConfig{Values: valuesOf(cmd.Flags(), c), Secret: secretOrigin(&r.targets, c)}
			write := p.yaml
			if output == "json" {
				write = p.json
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if note := oldVariables(os.Environ()); note != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), note)
			}
			return r.check(cmd.Flags())
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "yaml", "yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// printedConfig is what print shows; its fields are those of -o json.
type printedConfig struct {
	Values map[string]printedValue `json:"values"`
	// Secret says where the secret comes from that targets without a secretFile have.
	Secret printedValue `json:"secret"`
}

type printedValue struct {
	Value any `json:"value"`
	// From is a flag, a variable, a place in the file, or "default".
	From string `json:"from"`
}

const fromDefault = "default"

// valuesOf gives the value of every key.
func valuesOf(flags *pflag.FlagSet, c config) map[string]printedValue {
	all := map[string]printedValue{}
	flags.VisitAll(func(f *pflag.Flag) {
		if !isKey(f.Name) {
			return
		}
		v := printedValue{withoutSecrets(flagValue(f)), fromDefault}
		if origin := f.Annotations[originOf]; len(origin) > 0 {
			v.From = origin[0]
		} else if f.Changed {
			v.From = "--" + f.Name
		}
		all[keyOf(f.Name)] = v
	})
	targets := make([]any, 0, len(c.Targets))
	for _, t := range c.Targets {
		targets = append(targets, t.said())
	}
	for key, v := range map[string]any{
		"clusterID": c.ClusterID, "orgID": c.OrgID, "plainPaths": c.PlainPaths, "meshNamespace": c.MeshNamespace, "targets": targets,
	} {
		all[key] = printedValue{withoutSecrets(v), cmp.Or(c.from[key], fromDefault)}
	}
	return all
}

// said are the keys of a target that have a value.
func (t targetConfig) said() map[string]any {
	all := map[string]any{}
	for key, v := range map[string]string{"name": t.Name, "url": t.URL, "mode": t.Mode, "secretFile": t.SecretFile, "caFile": t.CAFile} {
		if v != "" {
			all[key] = v
		}
	}
	if len(t.Tags) > 0 {
		all["tags"] = t.Tags
	}
	if t.InsecureSkipVerify {
		all["insecureSkipVerify"] = true
	}
	return all
}

// flagValue is the value of a flag, as the file would have it.
func flagValue(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return append([]string{}, list.GetSlice()...)
	}
	switch text := f.Value.String(); f.Value.Type() {
	case "bool":
		return text == "true"
	case "float32":
		return json.Number(text)
	default:
		return text
	}
}

// withoutSecrets takes out of URLs what may be a secret.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case string:
		return engine.Shown("", v)
	case []string:
		all := make([]any, len(v))
		for i := range v {
			all[i] = withoutSecrets(v[i])
		}
		return all
	case []any:
		for i := range v {
			v[i] = withoutSecrets(v[i])
		}
	case map[string]any:
		for key, x := range v {
			v[key] = withoutSecrets(x)
		}
	}
	return v
}

// secretOrigin tells where the secret comes from of what is named by flags, or of those
// targets of the file that name none.
func secretOrigin(f *targetFlags, c config) printedValue {
	ofTargets := len(c.Targets) > 0 && len(f.gateways) == 0 && f.dashboard == ""
	if f.secretFile != "" && !ofTargets {
		return printedValue{"[redacted]", f.secretFile}
	}
	for _, name := range secretVariables {
		if os.Getenv(name) != "" {
			return printedValue{"[redacted]", name}
		}
	}
	return printedValue{"", fromDefault}
}

func (p printedConfig) json(w io.Writer) error { return printJSON(w, p) }

// yaml writes a line for each key: first those that something sets, and then the others as
// comments.
func (p printedConfig) yaml(w io.Writer) error {
	var set, left strings.Builder
	for _, key := range slices.Sorted(maps.Keys(p.Values)) {
		v := p.Values[key]
		text, err := onOneLine(v.Value)
		if err != nil {
			return err
		}
		if v.From == fromDefault {
			fmt.Fprintf(&left, "# %s: %s\n", key, text)
		} else {
			fmt.Fprintf(&set, "%s: %s # %s\n", key, text, printable(v.From))
		}
	}
	secret := "# There is no secret.\n"
	if p.Secret.From != fromDefault {
		secret = fmt.Sprintf("# The secret comes from %s, and is not shown.\n", printable(p.Secret.From))
	}
	_, err := io.WriteString(w, set.String()+secret+"# Defaults:\n"+left.String())
	return err
}

// onOneLine writes a value as YAML that has one line: as JSON, where it is no plain text.
func onOneLine(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	text, err := yaml.JSONToYAML(raw)
	line := strings.TrimSuffix(string(text), "\n")
	if err != nil || strings.Contains(line, "\n") || strings.HasPrefix(line, "-") {
		return string(raw), err
	}
	return line, nil
}
