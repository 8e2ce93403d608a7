package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/adapters/k8s"
	"github.com/cuegate/cuegate/engine"
)

// seen is where objects come from: files, or a cluster.
type seen struct {
	files      []string
	kubeconfig string
	namespaces []string
	mesh       bool
	namespace  string
}

func (s *seen) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&s.files, "file", "f", nil, "manifests: a file, a folder (*.yaml, *.yml, *.json, and folders below), or - for standard input; may be given several times")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster to read")
	f.StringSliceVar(&s.namespaces, "watch-namespace", nil, "namespace of the cluster to look into, as the controller does; may be given several times (default all)")
	f.BoolVar(&s.mesh, "mesh", true, "read workloads of the cluster too, and the certificates of the mesh; false where there is none, and no right to read them")
	f.StringVarP(&s.namespace, "namespace", "n", "", "namespace of objects in files that name none (default default)")
	cmd.MarkFlagsMutuallyExclusive("file", "kubeconfig")
	cmd.MarkFlagsMutuallyExclusive("file", "watch-namespace")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("kubeconfig")
}

func newSnapshot() *cobra.Command {
	var s seen
	var in input
	var output string
	var timed bool
	cmd := &cobra.Command{
		Use:   "snapshot [--kubeconfig FILE | -f FILE|DIR|-] > FILE",
		Short: "Save what the decisions in a cluster depend on, without its Secrets",
		Long: `Snapshot prints what decisions are made from: Ingresses, Services, IngressClasses,
labels of Namespaces, and workloads of the mesh. Of TLS Secrets it has no byte, but the
hash, the hosts and the end of their certificates. Every command reads it with -f, and
decides by it what it would decide by the objects themselves.

It reads a cluster, by --kubeconfig or else KUBECONFIG, or the manifests of -f. Of the
Secrets in a cluster it reads those of the mesh, and those that Ingresses name which
--bundle does not ignore.

Annotations are in it as they are, because decisions depend on them: those that may hold
a secret are told as warnings.`,
		Example: `  cuegate snapshot > cluster.yaml
  cuegate plan --bundle bundle --snapshot cluster.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write := writeObjectsYAML
			switch output {
			case "yaml":
			case "json":
				write = writeObjectsJSON
			default:
				return fmt.Errorf("unknown output %q: it is yaml or json", output)
			}
			c, err := in.readConfig()
			if err != nil {
				return err
			}
			b, err := loadBundle(cmd.Context(), in.bundle)
			if err != nil {
				return err
			}
			e := engine.New(b, c.engine())
			l := &loaded{config: c, engine: e}
			var about engine.SnapshotOf
			if len(s.files) > 0 {
				err = s.read(l, cmd.InOrStdin(), in.bundle)
			} else {
				about, err = s.list(cmd.Context(), l, []*engine.Engine{e})
			}
			if err != nil {
				return err
			}
			if timed {
				about.Taken = time.Now().UTC().Format(time.RFC3339)
			}
			objects, err := engine.Snapshot(l.objects, about)
			if err != nil {
				return err
			}
			tell(cmd.ErrOrStderr(), "warning", withheld(e, l.objects))
			tell(cmd.ErrOrStderr(), "refused", l.rejections())
			if err := write(cmd.OutOrStdout(), objects); err != nil {
				return err
			}
			if n := len(l.rejected); n > 0 {
				return &exitError{code: exitRefused, message: fmt.Sprintf("%s not in the snapshot", isOrAre(n, "document"))}
			}
			return nil
		},
	}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&in.bundle, "bundle", "", "folder of a bundle, which says what Ingresses in the cluster are ours")
	f.StringVar(&in.config, "config", "", "configuration file: clusterID, orgID, plainPaths, meshNamespace")
	in.engineFlags(cmd, "(default "+defaultMeshNamespace+")")
	f.StringVarP(&output, "output", "o", "yaml", "yaml or json")
	f.BoolVar(&timed, "time", false, "write down when it was taken; without it the same cluster gives the same file")
	_ = cmd.MarkFlagDirname("bundle")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"yaml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// read reads the files. Folders of bundles among them are left alone.
func (s *seen) read(l *loaded, stdin io.Reader, bundle string) error {
	for _, name := range s.files {
		if err := l.read(name, bundle, stdin); err != nil {
			return err
		}
	}
	if err := l.settle(s.namespace); err != nil {
		return err
	}
	l.texts = nil
	l.dropRepeated()
	return nil
}

// list reads the cluster: all that any of the engines decides by.
func (s *seen) list(ctx context.Context, l *loaded, engines []*engine.Engine) (engine.SnapshotOf, error) {
	about := engine.SnapshotOf{Whole: true}
	restConfig, _, err := (&cluster{kubeconfig: s.kubeconfig, qps: 50}).connection()
	if err != nil {
		return about, err
	}
	client, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return about, err
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return about, fmt.Errorf("asking the API server: %w", err)
	}
	about.Version = version.GitVersion
	o := k8s.ListOptions{Namespaces: s.namespaces}
	if s.mesh {
		o.MeshNamespace = l.config.meshNamespace()
	}
	if l.objects, err = k8s.List(ctx, client, o); err != nil {
		return about, err
	}
	ours, err := managedBy(ctx, engines, l.objects)
	if err != nil {
		return about, err
	}
	secrets, err := k8s.NamedSecrets(ctx, client, l.objects, func(ref engine.Ref) bool { return ours[ref] })
	l.objects = append(l.objects, secrets...)
	return about, err
}

// managedBy gives the Ingresses that any of the engines does not ignore.
func managedBy(ctx context.Context, engines []*engine.Engine, objects []engine.Object) (map[engine.Ref]bool, error) {
	var ingresses []engine.Object
	for _, o := range objects {
		if o.Kind == "Ingress" {
			ingresses = append(ingresses, o)
		}
	}
	around, _ := engine.NewCluster(objects)
	ours := map[engine.Ref]bool{}
	for _, e := range engines {
		all, err := (&loaded{engine: e, cluster: around}).decide(ctx, ingresses)
		if err != nil {
			return nil, err
		}
		for _, d := range all {
			ours[d.Object] = ours[d.Object] || d.Outcome != engine.Ignored
		}
	}
	return ours, nil
}

// withheld warns of annotations with values that explain does not show.
func withheld(e *engine.Engine, objects []engine.Object) []reasonEntry {
	var all []reasonEntry
	for _, o := range objects {
		for _, key := range e.Withheld(o) {
			all = append(all, reasonEntry{printable(o.Ref.String()), "snapshot-secret", "The annotation " + printable(key) + " may hold a secret, and the snapshot holds it."})
		}
	}
	return all
}

// writeObjectsYAML writes a document for each object.
func writeObjectsYAML(w io.Writer, objects []engine.Object) error {
	var b bytes.Buffer
	for _, o := range objects {
		text, err := yaml.JSONToYAML(o.JSON)
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeObjectsJSON writes a List.
func writeObjectsJSON(w io.Writer, objects []engine.Object) error {
	list := struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
	}{APIVersion: "v1", Kind: "List"}
	for _, o := range objects {
		list.Items = append(list.Items, o.JSON)
	}
	return printJSON(w, list)
}
