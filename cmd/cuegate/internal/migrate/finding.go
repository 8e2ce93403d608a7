package migrate

import (
	"fmt"
	"slices"
)

// Kind says what a finding is about.
type Kind uint8

const (
	// Note is worth to know, and asks for nothing.
	Note Kind = iota
	// LeftOut is a field that the API definition does not have: the old controller left
	// it out as well, without a word.
	LeftOut
	// Unconverted is what a person has to convert. The CUE has an error in its place.
	Unconverted
)

// Finding is something that was found while converting.
type Finding struct {
	Kind Kind
	// At is where, in the original.
	At place
	// Template is the name of the template; "" for what concerns a file.
	Template string
	Message  string
}

func (f Finding) String() string {
	at := f.At.String()
	if at != "" {
		at += ": "
	}
	switch f.Kind {
	case LeftOut:
		return at + "left out: " + f.Message
	case Unconverted:
		return at + "TODO: " + f.Message
	}
	return at + "note: " + f.Message
}

// addFinding adds a finding that is not there yet: branches that are read twice say
// everything twice.
func addFinding(list []Finding, f Finding) []Finding {
	if slices.Contains(list, f) {
		return list
	}
	return append(list, f)
}

func todo(at place, why string) string { return fmt.Sprintf("TODO: %s: %s", at, why) }
