package nginx

import (
	"maps"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/nearest"
)

// Prefix is that of the annotations of ingress-nginx.
const Prefix = "nginx.ingress.kubernetes.io/"

// Outcome is what became of an annotation.
type Outcome string

// The outcomes, from good to bad.
const (
	Mapped       Outcome = "mapped"       // the gateway does the same
	Needless     Outcome = "needless"     // there is nothing to carry over
	Approximated Outcome = "approximated" // nearly the same; the note tells the difference
	Unsupported  Outcome = "unsupported"  // lost; the Ingress is served without it
	LeftOut      Outcome = "left out"     // the Ingress is not migrated
)

var outcomes = []Outcome{Mapped, Needless, Approximated, Unsupported, LeftOut}

func (o Outcome) worse(than Outcome) bool {
	return slices.Index(outcomes, o) > slices.Index(outcomes, than)
}

// Row is what the program knows of one annotation.
type Row struct {
	// Name without the prefix.
	Name string
	// Outcome of a common value; others may come to a worse one.
	Outcome Outcome
	// Accept is the name by which a caller takes the difference; without it the Ingress is
	// left out.
	Accept string
	// Note says what it becomes, or what to do.
	Note string
	// Closes: it decides who may call, so that nobody else is to take the requests.
	Closes bool
	// Hidden values may hold secrets and are never shown.
	Hidden bool

	// convert notes in the draft what the value asks for; nil where Outcome and Note say
	// everything.
	convert func(d *draft, value string) verdict
}

// verdict is what became of one value. The zero verdict stands for what the row says.
type verdict struct {
	outcome Outcome
	note    string
	accept  string
}

// Table gives the rows of all annotations in order of their names.
func Table() []Row {
	var rows []Row
	for _, group := range [][]Row{authRows(), accessRows(), limitRows()} {
		for _, r := range group {
			r.Closes = true
			rows = append(rows, r)
		}
	}
	for _, group := range [][]Row{pathRows(), tlsRows(), upstreamRows(), browserRows(), splitRows(), tuningRows(), watchRows(), removedRows()} {
		rows = append(rows, group...)
	}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// table finds rows by name.
type table map[string]Row

func newTable() table {
	t := table{}
	for _, r := range Table() {
		t[r.Name] = r
	}
	return t
}

// row gives that of a name. One that is not known is unsupported, and leaves the Ingress
// out where the nearest one that is known protects: it may be that one of another version.
func (t table) row(name string) Row {
	if r, ok := t[name]; ok {
		return r
	}
	r := Row{Name: name, Outcome: Unsupported, Hidden: true, Note: "ingress-nginx has no such annotation."}
	if near := nearest.Name(name, slices.Sorted(maps.Keys(t))); near != "" {
		r.Note += " The nearest is " + near + "."
		if t[near].Closes {
			r.Outcome, r.Accept, r.Closes = LeftOut, "unknown", true
			r.Note += " That one decides who may call: correct the name, or remove the annotation."
		}
	}
	return r
}

// Acceptable gives the names of all differences that may be accepted.
func Acceptable() []string {
	names := []string{"cors-wildcard", "unknown"}
	for _, r := range Table() {
		if r.Accept != "" {
			names = append(names, r.Accept)
		}
	}
	for _, s := range Settings() {
		if s.Accept != "" {
			names = append(names, s.Accept)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
