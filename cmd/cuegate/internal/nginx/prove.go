package nginx

import (
	"context"
	"io/fs"
	"path"

	"github.com/tidwall/gjson"
	"golang.org/x/tools/txtar"

	"github.com/cuegate/cuegate/engine"
)

// prove lets the engine decide what was written, with the bundle that was written. It
// adds to refused what the engine refuses, by Object, and tells whether that is anything.
func (m *Migration) prove(ctx context.Context, builtin fs.FS, neighbours []engine.Object, o Options, config engine.Config, refused map[string][]string) (bool, error) {
	if len(m.Files.Files) == 0 {
		return false, nil
	}
	written, err := txtar.FS(m.Files)
	if err != nil {
		return false, err
	}
	bundle, err := fs.Sub(written, "bundle")
	if err != nil {
		return false, err
	}
	b, err := engine.LoadBundle(ctx, builtin, bundle)
	if err != nil {
		return false, err
	}
	objects := m.objects(o)
	cluster, _ := engine.NewCluster(append(objects[:len(objects):len(objects)], neighbours...))
	e := engine.New(b, config)
	var all []engine.Desired
	for _, object := range objects {
		// An object that cannot be decided is held, which says everything.
		d, _, _ := e.Decide(ctx, object, cluster)
		all = append(all, d)
	}
	before := len(refused)
	refuse := func(object engine.Ref, r engine.Reason) {
		text := r.Msg + " (" + r.ID + ")"
		if r.Field != "" {
			text = r.Field + ": " + text
		}
		refused[object.String()] = append(refused[object.String()], text)
	}
	for _, d := range all {
		for _, r := range d.Reasons {
			if d.Outcome != engine.Managed {
				refuse(d.Object, r)
			}
		}
	}
	_, conflicts := engine.MakePlan(all, nil)
	for _, c := range conflicts {
		refuse(c.Object, c.Reason)
	}
	return len(refused) > before, ctx.Err()
}

// objects reads the manifests that were written.
func (m *Migration) objects(o Options) []engine.Object {
	var objects []engine.Object
	for _, f := range m.Files.Files {
		if path.Dir(f.Name) != "." {
			continue
		}
		found, _ := engine.ParseManifests(f.Name, f.Data)
		for i := range found {
			if gjson.GetBytes(found[i].JSON, "metadata.namespace").String() == "" {
				found[i].Namespace = o.Namespace
			}
		}
		objects = append(objects, found...)
	}
	return objects
}
