package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// input holds the flags that commands share.
type input struct {
	files         []string
	bundle        string
	config        string
	meshNamespace string
	clusterID     string
	orgID         string
	plainPaths    bool
	// given tells which of the flags for these were given; it may be nil.
	given     func(flag string) bool
	namespace string
	// keep keeps the text of the files.
	keep bool
}

func (in *input) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&in.files, "file", "f", nil, "manifests: a file, a folder (*.yaml, *.yml, *.json, and folders below), or - for standard input; may be given several times")
	f.StringVar(&in.bundle, "bundle", "", "folder of a bundle: templates, policies")
	f.StringVar(&in.config, "config", "", "configuration file: clusterID, orgID, plainPaths, meshNamespace")
	f.StringVarP(&in.namespace, "namespace", "n", "", "namespace of objects that name none (default default)")
	in.engineFlags(cmd, "(default "+defaultMeshNamespace+")")
	_ = cmd.MarkFlagRequired("file")
	_ = cmd.MarkFlagDirname("bundle")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
}

// engineFlags are those for what the engine has to know. otherwise tells of the namespace of
// the mesh without a flag.
func (in *input) engineFlags(cmd *cobra.Command, otherwise string) {
	f := cmd.Flags()
	in.given = f.Changed
	f.StringVar(&in.clusterID, "cluster-id", "default", "tells the definitions of one cluster from those of another on one gateway")
	f.StringVar(&in.orgID, "org-id", "default", "organisation in Tyk")
	f.BoolVar(&in.plainPaths, "plain-paths", false, "write plain listen paths, for gateways with strict routes")
	f.StringVar(&in.meshNamespace, "mesh-namespace", "", "namespace of the certificates of the mesh "+otherwise)
}

// loaded is everything that decisions are made from.
type loaded struct {
	config   config
	engine   *engine.Engine
	bundle   *engine.Bundle
	objects  []engine.Object
	cluster  engine.Cluster
	rejected []engine.Rejected
	texts    []fileText // where they are kept
}

// fileText is what a file holds.
type fileText struct {
	name string
	data []byte
}

func (in *input) load(ctx context.Context, stdin io.Reader) (*loaded, error) {
	config, err := in.readConfig()
	if err != nil {
		return nil, err
	}
	l := &loaded{config: config}
	if l.bundle, err = loadBundle(ctx, in.bundle); err != nil {
		return nil, err
	}
	l.engine = engine.New(l.bundle, config.engine())
	for _, name := range in.files {
		if err := l.read(name, in.bundle, stdin); err != nil {
			return nil, err
		}
	}
	if err := l.settle(in.namespace); err != nil {
		return nil, err
	}
	if !in.keep {
		l.texts = nil
	}
	l.dropRepeated()
	var bad []engine.Rejected
	l.cluster, bad = engine.NewCluster(l.objects)
	l.rejected = append(l.rejected, bad...)
	return l, nil
}

// read reads a file, a folder or standard input. A bundle inside a folder of
// manifests is left alone.
func (l *loaded) read(name, bundle string, stdin io.Reader) error {
	if name == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return fmt.Errorf("reading standard input: %w", err)
		}
		l.parse("stdin", data)
		return nil
	}
	return filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != name && (isBundle(path) || sameFile(path, bundle)):
			return filepath.SkipDir
		case d.IsDir(), path != name && !isManifest(path):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		l.parse(filepath.ToSlash(path), data)
		return nil
	})
}

func (l *loaded) parse(source string, data []byte) {
	l.texts = append(l.texts, fileText{source, data})
	objects, rejected := engine.ParseManifests(source, data)
	l.objects = append(l.objects, objects...)
	l.rejected = append(l.rejected, rejected...)
}

// settle gives objects that name no namespace this one, as kubectl does; "" leaves them
// where they are, in default.
func (l *loaded) settle(namespace string) error {
	if namespace == "" {
		return nil
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		return fmt.Errorf("no namespace can be called %q", namespace)
	}
	for i, o := range l.objects {
		if o.Namespace != "" && gjson.GetBytes(o.JSON, "metadata.namespace").String() == "" {
			l.objects[i].Namespace = namespace
		}
	}
	return nil
}

// dropRepeated rejects an object that was given before.
func (l *loaded) dropRepeated() {
	type identity struct {
		engine.Ref
		apiVersion string
	}
	first := map[identity]string{}
	l.objects = slices.DeleteFunc(l.objects, func(o engine.Object) bool {
		id := identity{o.Ref, o.APIVersion}
		if strings.HasPrefix(o.APIVersion, "extensions/") || strings.HasPrefix(o.APIVersion, "networking.k8s.io/") {
			id.apiVersion = "networking.k8s.io" // one object in several versions
		}
		at, again := first[id]
		if !again {
			first[id] = o.Source
			return false
		}
		l.rejected = append(l.rejected, engine.Rejected{Source: o.Source, Reason: engine.Reason{
			ID:  "object-repeated",
			Msg: fmt.Sprintf("%s was given before, at %s.", o.Ref, at),
		}})
		return true
	})
}

func isManifest(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// isBundle tells a bundle from a folder of manifests.
func isBundle(dir string) bool {
	for _, name := range []string{"cue.mod", "templates", "policies"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// loadBundle loads the built-in bundle and the one in dir, unless dir is "".
func loadBundle(ctx context.Context, dir string) (*engine.Bundle, error) {
	var operator fs.FS
	if dir != "" {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("the bundle %s is not a folder", dir)
		}
		operator = os.DirFS(dir)
	}
	b, err := engine.LoadBundle(ctx, cuegate.Builtin(), operator)
	var broken *engine.BundleError
	if errors.As(err, &broken) {
		return nil, fmt.Errorf("the bundle is broken:\n%w", err)
	}
	return b, err
}
