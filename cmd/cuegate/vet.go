package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func newVet() *cobra.Command {
	return &cobra.Command{
		Use:   "vet [DIR]",
		Short: "Check a bundle as a whole: templates, policies, and a dry run of every template",
		Long: `Vet loads the bundle in DIR, or the built-in one alone, and reports every
problem with file, line and column: errors of CUE and Rego, policies that read a
fact which does not exist, and templates that give no valid definition for sample
routes. It exits with 1 when there are any.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			problems, err := vet(cmd, operator)
			if err != nil {
				return err
			}
			for _, p := range problems {
				fmt.Fprintln(cmd.OutOrStdout(), p)
			}
			if len(problems) > 0 {
				return &exitError{code: exitRefused, message: count(len(problems), "problem")}
			}
			return nil
		},
	}
}

func vet(cmd *cobra.Command, operator fs.FS) ([]engine.Problem, error) {
	b, err := engine.LoadBundle(cmd.Context(), cuegate.Builtin(), operator)
	var broken *engine.BundleError
	switch {
	case errors.As(err, &broken):
		return broken.Problems, nil
	case err != nil:
		return nil, err
	}
	problems := b.Check()
	if len(problems) == 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "ok: %d templates, bundle %s\n", len(b.Templates()), b.Digest())
	}
	return problems, nil
}
