package template

import (
	"io/fs"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// Config compiles schema.#Config of our own CUE module, and nothing else of it.
func Config(builtin fs.FS) (*schema.Schema, error) {
	files, err := collect(builtin, nil)
	if err != nil {
		return nil, err
	}
	inst := instances(files, []string{schemaPackage})[0]
	if inst.Err != nil {
		return nil, inst.Err
	}
	pkg := cuecontext.New().BuildInstance(inst)
	return schema.Compile(pkg.LookupPath(cue.ParsePath("#Config")), "the configuration")
}
