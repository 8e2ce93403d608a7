// Package scaffold holds the files of a new bundle, and keeps the schemas of Cuegate
// that a bundle vendors for the stock cue command.
package scaffold

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed all:files
var files embed.FS

// anyModule is what the new bundle is called in the embedded files.
const anyModule = "example.com/bundle@v0"

// Files gives the files of a new bundle, the vendored schemas included, by their name in
// it. builtin is the built-in bundle, module the module path of the new one.
func Files(builtin fs.FS, module string) (map[string][]byte, error) {
	all, err := Vendored(builtin)
	if err != nil {
		return nil, err
	}
	own, err := Own(module)
	if err != nil {
		return nil, err
	}
	for name, data := range own {
		all[name] = data
	}
	return all, nil
}

// Own gives the files of a new bundle without the vendored schemas.
func Own(module string) (map[string][]byte, error) {
	own := map[string][]byte{}
	err := fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		name = strings.TrimPrefix(name, "files/")
		if name == "cue.mod/module.cue" {
			data = bytes.Replace(data, []byte(anyModule), []byte(module), 1)
		}
		own[name] = data
		return err
	})
	return own, err
}

// Write writes files into a folder. Scripts can be run.
func Write(dir string, files map[string][]byte) error {
	for name, data := range files {
		target := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if path.Ext(name) == ".sh" {
			mode = 0o755
		}
		if err := os.WriteFile(target, data, mode); err != nil {
			return err
		}
	}
	return nil
}

var (
	modulePath = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)+(/[a-z0-9][a-z0-9._~-]*)*$`)
	major      = regexp.MustCompile(`@v[0-9]+$`)
	unfit      = regexp.MustCompile(`[^a-z0-9.-]+`)
)

// Module checks the path of a CUE module, and adds the version that it lacks.
func Module(name string) (string, error) {
	bare := major.ReplaceAllString(name, "")
	switch {
	case !modulePath.MatchString(bare):
		return "", fmt.Errorf("%q cannot be the path of a CUE module: it begins with a domain and is in lower case, as example.com/gateway", name)
	case bare == ownModule || strings.HasPrefix(bare, ownModule+"/") || strings.HasPrefix(ownModule, bare+"/"):
		return "", fmt.Errorf("the module path %s is that of Cuegate itself", name)
	case bare == name:
		return name + "@v0", nil
	}
	return name, nil
}

// ModuleFor makes a module path for a bundle in a folder.
func ModuleFor(dir string) string {
	base := strings.Trim(unfit.ReplaceAllString(strings.ToLower(filepath.Base(dir)), "-"), "-.")
	if base == "" {
		base = "bundle"
	}
	return "example.com/" + base + "@v0"
}
