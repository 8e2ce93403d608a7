// Package cuegate is the front door of the built-in bundle: the CUE schemas and
// templates below cue/ and the Rego policies below policies/, as they are
// compiled into the program.
package cuegate

import (
	"embed"
	"io/fs"
)

//go:embed all:cue policies
var files embed.FS

// Builtin returns the built-in bundle: a tree with the folders "cue" (the CUE
// module github.com/cuegate/cuegate/cue@v0) and "policies" (the Rego packages
// cuegate.* and their data).
func Builtin() fs.FS { return files }
