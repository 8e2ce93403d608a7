package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func newVet() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "vet [DIR]",
		Short: "Check a bundle as a whole: templates, policies, and a dry run of every template",
		Long: `Vet loads the bundle in DIR, or the built-in one alone, and reports every
problem with file, line and column: errors of CUE and Rego, policies that read a
fact which does not exist, and templates that give no valid definition for sample
routes, or none that a gateway serves. It exits with 1 when there are any.

-o json gives the same as data, and -o sarif as SARIF 2.1.0, which code hosts show at
the lines of a change.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"text", "json", "sarif"}, output) {
				return fmt.Errorf("unknown output %q: it is text, json or sarif", output)
			}
			var operator fs.FS
			if len(args) == 1 {
				if info, err := os.Stat(args[0]); err != nil {
					return err
				} else if !info.IsDir() {
					return fmt.Errorf("the bundle %s is not a folder", args[0])
				}
				operator = os.DirFS(args[0])
			}
			if operator != nil {
				hintOutdated(cmd, args[0], operator)
			}
			found, err := vet(cmd, operator)
			if err != nil {
				return err
			}
			if err := found.write(cmd.OutOrStdout(), output, strings.Join(args, "")); err != nil {
				return err
			}
			if n := len(found.Problems); n > 0 {
				return &exitError{code: exitRefused, message: count(n, "problem")}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or sarif")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "sarif"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func vet(cmd *cobra.Command, operator fs.FS) (vetted, error) {
	b, err := engine.LoadBundle(cmd.Context(), cuegate.Builtin(), operator)
	var broken *engine.BundleError
	switch {
	case errors.As(err, &broken):
		return vetted{Problems: broken.Problems}, nil
	case err != nil:
		return vetted{}, err
	}
	problems := b.Check()
	if len(problems) == 0 {
		problems = b.Unservable()
	}
	return vetted{len(b.Templates()), b.Digest(), problems}, nil
}
