package engine

import (
	"fmt"
	"io/fs"

	"github.com/cuegate/cuegate/engine/internal/template"
)

// ConfigFault is one way in which a configuration file does not fit schema.#Config.
type ConfigFault struct {
	// Path leads to the value, by keys and indexes of lists.
	Path []string
	// Unknown is set when there is no such key.
	Unknown bool
	// Message says what is wrong, with the nearest valid key, and never repeats a value.
	Message string
}

// CheckConfig holds a configuration to schema.#Config of the built-in bundle. doc is as
// encoding/json decodes it with UseNumber. The error is a fault of the program.
func CheckConfig(builtin fs.FS, doc any) ([]ConfigFault, error) {
	own, err := fs.Sub(builtin, "cue")
	if err != nil {
		return nil, err
	}
	s, err := template.Config(own)
	if err != nil {
		return nil, fmt.Errorf("compiling schema.#Config: %w", err)
	}
	var faults []ConfigFault
	for _, v := range s.Validate(doc) {
		faults = append(faults, ConfigFault{v.Path, v.Unknown, v.Error()})
	}
	return faults, nil
}
