package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/cmd/cuegate/internal/nginx"
	"github.com/cuegate/cuegate/engine"
)

func newMigrateNginx() *cobra.Command {
	var in input
	var out, output string
	o := nginx.Options{}
	cmd := &cobra.Command{
		Use:   "nginx -f FILE|DIR|- [-f ...] [--out DIR]",
		Short: "Convert Ingresses of ingress-nginx, and leave out what would be served open",
		Long: `Nginx reads Ingresses of ingress-nginx, the controller that was retired in March 2026,
and writes what says the same to Cuegate: the Ingresses with another class and with
annotations of Cuegate, and a bundle with the templates that they need. Give the
ConfigMap of the controller, Services and IngressClasses as well, where there are any.

The report tells of every annotation what became of it:

  mapped        the gateway does the same
  needless      there is nothing to carry over
  approximated  nearly the same; the note tells the difference
  unsupported   lost; the Ingress is served without it
  left out      the Ingress is not written

An Ingress is left out where an annotation decides who may call and cannot be carried
over as it was: it would be served open. Where the difference may be enough, the report
gives a name for it, and --accept NAME takes it.

The engine decides what was written, with the bundle that was written; what it refuses is
left out as well. So are Ingresses that would take the requests of one that is left out
and was protected. Without --out nothing is written.

It exits with 1 when anything is unsupported or left out.`,
		Example: `  kubectl get ingress,ingressclass,service,configmap -A -o yaml | cuegate migrate nginx -f - --out new
  cuegate render -f new --bundle new/bundle`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: it is text or json", output)
			}
			if len(validation.IsDNS1123Subdomain(o.Class)) > 0 {
				return fmt.Errorf("no IngressClass can be called %q", o.Class)
			}
			if err := checkAccepted(o.Accept); err != nil {
				return err
			}
			if err := checkEmpty(out); err != nil {
				return err
			}
			m, err := migrateNginx(cmd, &in, o)
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeArchive(nil, out, m.Files); err != nil {
					return err
				}
			}
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), m)
			} else {
				for _, l := range m.Report() {
					if _, err = fmt.Fprintln(cmd.OutOrStdout(), printable(l)); err != nil {
						break
					}
				}
			}
			if err != nil {
				return err
			}
			if !m.Good() {
				return &exitError{code: exitRefused, message: m.Summary()}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&in.files, "file", "f", nil, "manifests: a file, a folder (*.yaml, *.yml, *.json, and folders below), or - for standard input; may be given several times")
	cmd.Flags().StringVar(&in.config, "config", "", "configuration file of Cuegate, for the proof")
	cmd.Flags().StringVarP(&in.namespace, "namespace", "n", "", "namespace of objects that name none (default default)")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	cmd.Flags().StringVar(&out, "out", "", "folder to write to, new or empty")
	cmd.Flags().StringVar(&o.Class, "class", "tyk", "IngressClass of the Ingresses that are written")
	cmd.Flags().StringSliceVar(&o.From, "from", nil, "IngressClass of ingress-nginx, beside nginx and those among the manifests; may be given several times")
	cmd.Flags().StringSliceVar(&o.Accept, "accept", nil, "name of a difference that is taken, as the report gives it; may be given several times")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.RegisterFlagCompletionFunc("accept", cobra.FixedCompletions(nginx.Acceptable(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// checkAccepted: a name that means nothing is a slip.
func checkAccepted(names []string) error {
	all := nginx.Acceptable()
	for _, n := range names {
		if !slices.Contains(all, n) {
			return fmt.Errorf("nothing is accepted by the name %q; there are %s", n, strings.Join(all, ", "))
		}
	}
	return nil
}

// checkEmpty: templates of another run would be a part of the bundle.
func checkEmpty(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("the folder %s is not empty; name another one with --out, or remove it", dir)
	}
	return err
}

// migrateNginx converts what the files hold, and proves it.
func migrateNginx(cmd *cobra.Command, in *input, o nginx.Options) (*nginx.Migration, error) {
	in.keep = true
	l, err := in.load(cmd.Context(), cmd.InOrStdin())
	if err != nil {
		return nil, err
	}
	for _, r := range l.rejected {
		if slices.Contains([]string{"yaml-invalid", "object-invalid", "object-repeated"}, r.Reason.ID) {
			return nil, fmt.Errorf("%s: %s", r.Source, r.Reason.Msg)
		}
	}
	var files []nginx.File
	for _, t := range l.texts {
		files = append(files, nginx.File{Name: t.name, Data: t.data})
	}
	o.Namespace = in.namespace
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	neighbours := slices.DeleteFunc(l.objects, func(x engine.Object) bool { return !x.Neighbour() })
	m, err := nginx.Migrate(cmd.Context(), cuegate.Builtin(), files, neighbours, o, l.config.engine())
	if err != nil {
		return nil, err
	}
	if len(m.Ingresses) == 0 {
		return nil, errors.New("the manifests hold no Ingress of ingress-nginx: none has the class nginx, or an annotation of it")
	}
	return m, nil
}
