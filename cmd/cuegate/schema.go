package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/scaffold"
)

func newSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Renew the schemas that a bundle carries along, or write them for editors",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaSync())
	return cmd
}

func newSchemaSync() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "sync [DIR]",
		Short: "Make the schemas in cue.mod/pkg of a bundle those of this program",
		Long: `Sync writes the CUE packages of this program into cue.mod/pkg of the bundle in DIR, by
default the current folder, and removes files there that are no longer among them.
The stock cue command and editors read them; Cuegate itself always uses its own.
It prints what it changes.

With --check it changes nothing, and exits with 1 where something is to be changed.`,
		Example: `  cuegate schema sync gateway
  cuegate schema sync --check`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if _, err := os.Stat(filepath.Join(dir, "cue.mod", "module.cue")); err != nil {
				return fmt.Errorf("%s is no CUE module: it has no cue.mod/module.cue", dir)
			}
			changes, err := scaffold.Outdated(cuegate.Builtin(), os.DirFS(dir))
			if err != nil {
				return err
			}
			for _, c := range changes {
				fmt.Fprintf(cmd.OutOrStdout(), "%-6s %s\n", c.What, printable(c.Name))
			}
			switch {
			case len(changes) == 0:
				fmt.Fprintln(cmd.OutOrStdout(), "ok: the schemas in cue.mod/pkg are those of this program")
			case check:
				return &exitError{exitRefused, fmt.Sprintf("the schemas in cue.mod/pkg are not those of this program: run `cuegate schema sync %s`", shellWord(dir))}
			default:
				return scaffold.Sync(cuegate.Builtin(), dir, changes)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit with 1 where something is to be changed")
	return cmd
}

// hintOutdated says where a bundle vendors other schemas than those of this program,
// which is no fault of the bundle.
func hintOutdated(cmd *cobra.Command, dir string, bundle fs.FS) {
	if bundle == nil || !scaffold.Vendors(bundle) {
		return
	}
	changes, err := scaffold.Outdated(cuegate.Builtin(), bundle)
	if err != nil || len(changes) == 0 {
		return
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "cuegate: hint: %s in cue.mod/pkg %s of this program, which uses its own; the stock cue command checks against them: run `cuegate schema sync %s`\n",
		count(len(changes), "schema file"), map[bool]string{true: "is not that", false: "are not those"}[len(changes) == 1], shellWord(dir))
}
