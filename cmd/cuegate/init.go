package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/scaffold"
)

func newInit() *cobra.Command {
	var module string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write a bundle to begin with: a template, a schema, policies, tests, and what CI runs",
		Long: `Init writes a bundle of your own into DIR, which it makes, or which is empty: a CUE
template, constraints on Ingresses and Deployments, Rego policies with tests, a story
and a manifest that show what comes of them, and a script with all checks that CI
runs. The bundle is a CUE module that carries the schemas of Cuegate along, so the
stock cue command works on it without a network.

A .git in DIR is no obstacle; any other file is, and nothing is replaced.`,
		Example: `  cuegate init gateway
  cuegate init --module git.example.com/platform/gateway gateway`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if module == "" {
				// "." has no name of its own.
				full, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				module = scaffold.ModuleFor(full)
			}
			module, err := scaffold.Module(module)
			if err != nil {
				return err
			}
			if err := mustBeEmpty(dir); err != nil {
				return err
			}
			all, err := scaffold.Files(cuegate.Builtin(), module)
			if err != nil {
				return err
			}
			if err := scaffold.Write(dir, all); err != nil {
				return err
			}
			own, err := scaffold.Own(module)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), `%s is a bundle now: CUE module %s, %s, and %s of Cuegate in cue.mod/pkg.
Next:
  cd %s
  ./ci.sh                                     # what CI runs; wants cue and opa on the PATH
  cuegate run --bundle . -f manifests         # serves the example, in a gateway of its own
`, dir, module, count(len(own), "file"), count(len(all)-len(own), "schema file"), shellWord(dir))
			return err
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "path of the CUE module (default example.com/ and the name of DIR)")
	return cmd
}

// mustBeEmpty names what is in a folder that is not empty.
func mustBeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.Name() != ".git" {
			names = append(names, printable(e.Name()))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s is not empty, and nothing is replaced: it holds %s", dir, some(names))
}

// some lists names, the first five.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// shellWord writes a word that a shell reads as it is.
func shellWord(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
