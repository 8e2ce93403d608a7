package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/migrate"
)

func newMigrate() *cobra.Command {
	var output string
	var inputs int
	cmd := &cobra.Command{
		Use:   "migrate FILE|DIR...",
		Short: "Convert templates of the controller before this one, and prove that they are the same",
		Long: `Migrate converts Go templates around JSON, as the controller tyk-k8s took them, to
CUE templates: a bundle, written to a folder or, as one text, to standard output.
What a template wrote becomes a default, so that annotations may still set any value.

Then it runs each template and its conversion on the same inputs and compares what
they give; and it shows inputs that corrupt the original, since it put names, hosts
and paths into JSON as they were. The report goes to standard error.

What it cannot convert is reported with its place, and stands in the CUE as an error
that says TODO: "cuegate vet" refuses the bundle until a person has converted it.

It exits with 1 when something is not converted, or not the same.`,
		Example: `  cuegate migrate -o bundle /etc/tyk-k8s/templates
  cuegate vet bundle
  cuegate migrate config -o cuegate tyk-k8s.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if inputs < 1 {
				return fmt.Errorf("--inputs is %d, and has to be 1 at least", inputs)
			}
			files, err := templateFiles(args)
			if err != nil {
				return err
			}
			return migrateTemplates(cmd, files, output, inputs)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder to write the bundle to; no file in it is replaced (default standard output)")
	cmd.Flags().IntVar(&inputs, "inputs", 500, "on how many inputs each template is compared with its original")
	_ = cmd.MarkFlagDirname("output")
	cmd.AddCommand(newMigrateConfig(), newMigrateNginx())
	return cmd
}

func newMigrateConfig() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "config FILE",
		Short: "Convert the configuration file of the controller before this one",
		Long: `Config reads the configuration file of tyk-k8s, and the variables TK8S_... of the
environment that override it, and writes what says the same to Cuegate: a
configuration file, a script with the flags of "cuegate run", and a bundle with
settings and the sidecar. The report, a line for each key, goes to standard error.

Secrets, and what may be one, are never repeated: the report says where to put them.

It exits with 1 when something is left that a person has to do first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			c, err := migrate.ConvertConfig(cmd.Context(), cuegate.Builtin(), filepath.ToSlash(args[0]), data, os.Environ())
			if err != nil {
				return err
			}
			if err := writeArchive(cmd.OutOrStdout(), output, c.Files); err != nil {
				return err
			}
			for _, l := range c.Lines {
				fmt.Fprintln(cmd.ErrOrStderr(), printable(l))
			}
			if c.Left > 0 {
				return &exitError{code: exitRefused, message: count(c.Left, "thing") + " to do first: look for TODO"}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder to write to; no file in it is replaced (default standard output)")
	_ = cmd.MarkFlagDirname("output")
	return cmd
}

func migrateTemplates(cmd *cobra.Command, files []migrate.File, output string, inputs int) error {
	c, err := migrate.Convert(cmd.Context(), cuegate.Builtin(), files)
	if err != nil {
		return err
	}
	if len(c.Templates) > 0 {
		if err := writeArchive(cmd.OutOrStdout(), output, migrate.Archive(c.Templates)); err != nil {
			return err
		}
	}
	proofs, err := c.Prove(cmd.Context(), cuegate.Builtin(), inputs)
	if err != nil {
		return err
	}
	lines, good := c.Report(proofs, inputs)
	for _, l := range lines {
		fmt.Fprintln(cmd.ErrOrStderr(), printable(l))
	}
	switch n := c.Left(); {
	case n > 0:
		return &exitError{code: exitRefused, message: count(n, "place") + " to convert by hand: look for TODO"}
	case !good:
		return &exitError{code: exitRefused, message: "not every template is proved to be the same as its original"}
	case len(c.Templates) == 0:
		return errors.New("the files define no template")
	}
	return nil
}

// templateFiles reads files, and of folders those that the old controller took.
func templateFiles(args []string) ([]migrate.File, error) {
	var files []migrate.File
	for _, name := range args {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		names := []string{name}
		if info.IsDir() {
			names = nil
			for _, ending := range []string{"*.json", "*.html", "*.tmpl"} {
				found, err := filepath.Glob(filepath.Join(name, ending))
				if err != nil {
					return nil, err
				}
				names = append(names, found...)
			}
			slices.Sort(names)
			if len(names) == 0 {
				return nil, fmt.Errorf("the folder %s has no templates: *.json, *.html, *.tmpl", name)
			}
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			files = append(files, migrate.File{Name: name, Data: data})
		}
	}
	return files, nil
}

// writeArchive writes files below a folder, or as one text to w. It replaces no file but
// by the same.
func writeArchive(w io.Writer, dir string, a *txtar.Archive) error {
	if dir == "" {
		_, err := w.Write(txtar.Format(a))
		return err
	}
	for _, f := range a.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if data, err := os.ReadFile(name); err == nil && string(data) != string(f.Data) {
			return fmt.Errorf("%s is there already; name another folder with -o, or remove it", name)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, f := range a.Files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
