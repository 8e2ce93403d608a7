package engine

import (
	"fmt"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/policy"
	"github.com/cuegate/cuegate/engine/internal/problem"
)

// Reason says why something was decided: an id that stays the same from version
// to version, and a sentence.
type Reason = policy.Reason

// Problem is one thing that is wrong with a bundle: file, line, column, message.
type Problem = problem.Problem

// Refused means that the author must change the object. It is not worth a retry.
type Refused struct {
	Object Ref
	// Reasons has one at least.
	Reasons []Reason
}

func (e *Refused) Error() string { return describe(e.Object, "refused", e.Reasons) }

// Broken means that rules, templates or the program are wrong, not the object.
type Broken struct {
	Object  Ref
	Reasons []Reason
}

func (e *Broken) Error() string { return describe(e.Object, "not decided", e.Reasons) }

func describe(o Ref, what string, reasons []Reason) string {
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = fmt.Sprintf("%s (%s)", r.Msg, r.ID)
	}
	return fmt.Sprintf("%s %s: %s", o, what, strings.Join(texts, "; "))
}

// BundleError lists everything that is wrong with a bundle.
type BundleError struct {
	// Problems has one at least, in order of file and line.
	Problems []Problem
}

func (e *BundleError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}
