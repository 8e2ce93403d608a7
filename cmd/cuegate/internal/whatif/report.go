package whatif

import (
	"encoding/json"

	"github.com/cuegate/cuegate/engine"
)

// Report is what becomes different.
type Report struct {
	Old Rules `json:"old"`
	New Rules `json:"new"`
	// Exposure are the changes that open something, in the order of the rules.
	Exposure []Finding `json:"exposure"`
	// Objects are those of which anything differs, in the order of their names.
	Objects []Object `json:"objects"`
	// Unread are documents that are no objects; they were not compared.
	Unread  []Note  `json:"unread"`
	Summary Summary `json:"summary"`
}

// Rules name one of the two sides.
type Rules struct {
	// Bundle is its folder, or "built-in".
	Bundle string `json:"bundle"`
	Digest string `json:"digest"`
	// Config is the configuration file, or "".
	Config string `json:"config,omitempty"`
}

// Finding is a change that opens something.
type Finding struct {
	// Rule is the id of the rule that found it.
	Rule   string `json:"rule"`
	Object string `json:"object"`
	// Definition is its api_id; "" for what concerns the pods of a workload.
	Definition string `json:"definition,omitempty"`
	// At is where it listens, or which container it is about.
	At      string  `json:"at,omitempty"`
	Message string  `json:"message"`
	Fields  []Field `json:"fields"`
}

// Field is a value that differs. Old or New is absent where there is none.
type Field struct {
	// Path has "." between keys; an element of a list is named by its number, or by its
	// name in brackets.
	Path string          `json:"path"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
	// OldFrom and NewFrom say who wrote it.
	OldFrom string `json:"oldFrom,omitempty"`
	NewFrom string `json:"newFrom,omitempty"`
}

// Object is what becomes of one object.
type Object struct {
	Object string `json:"object"`
	Old    State  `json:"old"`
	New    State  `json:"new"`
	// Stays is set where the new rules refuse the object: what is served stays as it is.
	Stays       bool     `json:"stays,omitempty"`
	Definitions []Change `json:"definitions,omitempty"`
	// Patched are the fields of the object itself that the sidecar changes, MeshService
	// those of the Service by which other sidecars find it.
	Patched     []Field `json:"patched,omitempty"`
	MeshService []Field `json:"meshService,omitempty"`
}

// State is what one side makes of an object.
type State struct {
	// Outcome is managed, ignored, refused, or pending: it waits for a certificate.
	Outcome  string `json:"outcome"`
	Template string `json:"template,omitempty"`
	// Reasons say why it is ignored or refused, or a route of it not served.
	Reasons  []Note `json:"reasons,omitempty"`
	Warnings []Note `json:"warnings,omitempty"`
}

// Note is a reason.
type Note struct {
	ID      string `json:"id"`
	Message string `json:"message"`
}

// Change is what becomes of one definition.
type Change struct {
	// Action is create, update or delete.
	Action engine.Action `json:"action"`
	ID     string        `json:"id"`
	At     string        `json:"at"`
	// About says what a definition that is created does.
	About string `json:"about,omitempty"`
	// Why says why one is deleted.
	Why    *Note   `json:"why,omitempty"`
	Fields []Field `json:"fields,omitempty"`
}

// Summary counts.
type Summary struct {
	// Objects that were decided, and those of them of which anything differs.
	Objects   int `json:"objects"`
	Different int `json:"different"`

	// Definitions.
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`

	// Refused are objects that the old rules did not refuse, or whose route loses a
	// conflict that it did not lose.
	Refused int `json:"refused"`
	// Patched are workloads and Services whose patch, or Service of the mesh, differs.
	Patched  int `json:"patched"`
	Exposure int `json:"exposure"`
	Unread   int `json:"unread"`
}
