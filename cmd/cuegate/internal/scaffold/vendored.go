package scaffold

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ownModule is the import path of the CUE module of Cuegate, vendoredDir where a bundle
// vendors it.
const (
	ownModule   = "github.com/cuegate/cuegate/cue"
	vendoredDir = "cue.mod/pkg/" + ownModule
)

// Vendored gives the schemas that a bundle vendors, by their name in it.
func Vendored(builtin fs.FS) (map[string][]byte, error) {
	return cueFiles(builtin, "cue", func(name string) bool { return !strings.HasPrefix(name, "cue.mod/") })
}

// cueFiles gives the CUE files below a folder as they are named in a bundle.
func cueFiles(fsys fs.FS, dir string, wanted func(name string) bool) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest := strings.TrimPrefix(name, dir+"/")
		if d.IsDir() || path.Ext(name) != ".cue" || !wanted(rest) {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		found[vendoredDir+"/"+rest] = data
		return err
	})
	return found, err
}

// Change is a difference between what a bundle vendors and what this program has.
type Change struct {
	// Name of the file in the bundle.
	Name string
	// What is done to it: "add", "change" or "remove".
	What string
}

// Outdated compares what a bundle vendors with the built-in schemas. A bundle that vendors
// nothing lacks everything.
func Outdated(builtin, bundle fs.FS) ([]Change, error) {
	want, err := Vendored(builtin)
	if err != nil {
		return nil, err
	}
	have, err := vendoredBy(bundle)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for name, data := range want {
		if old, ok := have[name]; !ok {
			changes = append(changes, Change{name, "add"})
		} else if !bytes.Equal(old, data) {
			changes = append(changes, Change{name, "change"})
		}
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			changes = append(changes, Change{name, "remove"})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return changes, nil
}

// Vendors tells whether a bundle vendors our schemas at all.
func Vendors(bundle fs.FS) bool {
	have, err := vendoredBy(bundle)
	return err == nil && len(have) > 0
}

func vendoredBy(bundle fs.FS) (map[string][]byte, error) {
	have, err := cueFiles(bundle, vendoredDir, func(string) bool { return true })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return have, err
}

// Sync carries out changes in the bundle in a folder.
func Sync(builtin fs.FS, dir string, changes []Change) error {
	want, err := Vendored(builtin)
	if err != nil {
		return err
	}
	write := map[string][]byte{}
	for _, c := range changes {
		if c.What != "remove" {
			write[c.Name] = want[c.Name]
			continue
		}
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(c.Name))); err != nil {
			return err
		}
	}
	return Write(dir, write)
}
