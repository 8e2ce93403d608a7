package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/scaffold"
	"github.com/cuegate/cuegate/engine"
)

func newSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Renew the schemas that a bundle carries along, or write them for editors",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaSync(), newSchemaExport())
	return cmd
}

func newSchemaExport() *cobra.Command {
	var bundle, output, format string
	var names []string
	long := `Export writes schemas for editors and other tools:

`
	for _, s := range engine.SchemaNames() {
		names = append(names, s[0])
		long += fmt.Sprintf("  %-12s  %s\n", s[0], s[1])
	}
	cmd := &cobra.Command{
		Use:   "export [NAME...]",
		Short: "Write schemas as JSON Schema or OpenAPI, for editors",
		Long: long + `
With --bundle, the schemas of objects are those of the bundle's package schema. The
format jsonschema is JSON Schema, draft 2020-12: one NAME goes to standard output, and
several, or all where none is named, into the folder --output, as NAME.json. The
format openapi is one OpenAPI 3.1 document with all as its components.

What such a schema finds is wrong. It knows no conditions between fields and does not
look into annotations, so it finds less than "cue vet" and "cuegate".`,
		Example: `  cuegate schema export ingress > ingress.json
  cuegate schema export --bundle . -o .schemas
  cuegate schema export --format openapi definition`,
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(names, name) {
					return fmt.Errorf("there is no schema %q; there are %s", name, strings.Join(names, ", "))
				}
			}
			if len(args) == 0 {
				args = names
			}
			operator, err := bundleFolder(bundle)
			if err != nil {
				return err
			}
			switch format {
			case "openapi":
				text, err := engine.OpenAPI(cuegate.Builtin(), operator, args...)
				if err != nil {
					return brokenBundle(err)
				}
				return writeTo(cmd, output, "openapi.json", text)
			case "jsonschema":
			default:
				return fmt.Errorf("--format %q is neither jsonschema nor openapi", format)
			}
			if output == "" && len(args) > 1 {
				return fmt.Errorf("name one of %s, or a folder with --output", strings.Join(names, ", "))
			}
			for _, name := range args {
				text, err := engine.JSONSchema(cuegate.Builtin(), operator, name)
				if err != nil {
					return brokenBundle(err)
				}
				if err := writeTo(cmd, output, name+".json", text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&bundle, "bundle", "", "folder of a bundle")
	f.StringVarP(&output, "output", "o", "", "folder to write to (default standard output)")
	f.StringVar(&format, "format", "jsonschema", "jsonschema or openapi")
	_ = cmd.MarkFlagDirname("bundle")
	_ = cmd.MarkFlagDirname("output")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"jsonschema", "openapi"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// bundleFolder opens the folder of a bundle; "" gives nil.
func bundleFolder(dir string) (fs.FS, error) {
	if dir == "" {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("the bundle %s is not a folder", dir)
	}
	return os.DirFS(dir), nil
}

func brokenBundle(err error) error {
	if broken := (*engine.BundleError)(nil); errors.As(err, &broken) {
		return fmt.Errorf("the bundle is broken:\n%w", err)
	}
	return err
}

// writeTo writes a file into a folder, which it makes, or to standard output.
func writeTo(cmd *cobra.Command, dir, name string, text []byte) error {
	if dir == "" {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
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
