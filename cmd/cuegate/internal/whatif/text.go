package whatif

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cuegate/cuegate/engine"
)

// Paint gives a text as it may be written to a terminal, in a colour: red 31, green 32,
// yellow 33, faint 2, none 0.
type Paint func(colour int, text string) string

const (
	red    = 31
	green  = 32
	yellow = 33
	faint  = 2
)

// signs and colours of the actions.
var signs = map[engine.Action]struct {
	sign   string
	colour int
}{engine.Create: {"+ create", green}, engine.Update: {"~ change", yellow}, engine.Delete: {"- delete", red}}

// Text writes the report for people: what opens something first, then the objects, and a
// line that counts at the end.
func (r *Report) Text(paint Paint) string {
	w := &writer{paint: paint}
	if len(r.Exposure) > 0 {
		w.line(0, red, "exposure")
		for _, f := range r.Exposure {
			w.finding(f)
		}
		w.line(0, 0, "")
	}
	for _, x := range r.Objects {
		w.object(x)
	}
	for _, n := range r.Unread {
		w.line(0, yellow, fmt.Sprintf("not compared: %s (%s)", n.Message, n.ID))
	}
	colour := 0
	if len(r.Exposure) > 0 {
		colour = red
	}
	w.line(0, colour, r.Summary.String())
	return w.b.String()
}

// String counts in one line.
func (s Summary) String() string {
	if s.Different == 0 {
		return fmt.Sprintf("Nothing changes: %s, %s.", counted(s.Objects, "object"), counted(s.Unchanged, "definition"))
	}
	differ := "differ"
	if s.Different == 1 {
		differ = "differs"
	}
	text := fmt.Sprintf("Of %s %d %s: %d created, %d changed, %d deleted, %d unchanged", counted(s.Objects, "object"), s.Different, differ, s.Created, s.Changed, s.Deleted, s.Unchanged)
	if s.Patched > 0 {
		text += fmt.Sprintf("; %d patched otherwise", s.Patched)
	}
	return text + fmt.Sprintf("; %d newly refused; exposure: %d.", s.Refused, s.Exposure)
}

type writer struct {
	paint Paint
	b     strings.Builder
}

// line writes an indented line; colour 0 is none.
func (w *writer) line(indent, colour int, text string) {
	if text != "" {
		w.b.WriteString(strings.Repeat(" ", indent))
		// Names come from anywhere: one must not begin a line of its own.
		w.b.WriteString(w.paint(colour, strings.ReplaceAll(text, "\n", `\n`)))
	}
	w.b.WriteByte('\n')
}

func (w *writer) finding(f Finding) {
	w.line(2, red, strings.TrimSpace(f.Rule+"  "+f.Object+"  "+f.At))
	w.line(6, 0, f.Message)
	w.fields(6, f.Fields)
}

func (w *writer) object(x Object) {
	w.line(0, 0, x.Object+"  "+x.outcome())
	if x.Stays && x.Old.Outcome != x.New.Outcome {
		w.line(2, yellow, "What is served for it stays as it is.")
	}
	if x.Old.Outcome == string(engine.Held) && x.New.Outcome != x.Old.Outcome {
		w.line(2, yellow, "It was refused: what is served for it from before, if anything, is not known here.")
	}
	if !sameState(State{Reasons: x.Old.Reasons, Warnings: x.Old.Warnings}, State{Reasons: x.New.Reasons, Warnings: x.New.Warnings}) {
		w.notes("old", x.Old)
		w.notes("new", x.New)
	}
	for _, c := range x.Definitions {
		s := signs[c.Action]
		w.line(2, s.colour, fmt.Sprintf("%s %s  %s", s.sign, c.ID, c.At))
		if c.About != "" {
			w.line(6, 0, c.About)
		}
		if c.Why != nil && !x.tells(*c.Why) {
			w.line(6, 0, c.Why.String())
		}
		w.fields(6, c.Fields)
	}
	for _, list := range []struct {
		title  string
		fields []Field
	}{{"the object itself", x.Patched}, {"its Service of the mesh", x.MeshService}} {
		if len(list.fields) > 0 {
			w.line(2, yellow, "~ "+list.title)
			w.fields(6, list.fields)
		}
	}
	w.line(0, 0, "")
}

// tells tells whether the reasons of the object are written anyway, with this one.
func (x Object) tells(n Note) bool {
	for _, r := range x.New.Reasons {
		if r == n {
			return !sameState(State{Reasons: x.Old.Reasons}, State{Reasons: x.New.Reasons})
		}
	}
	return false
}

// outcome tells of both sides what they say of the object.
func (x Object) outcome() string {
	text := x.Old.Outcome
	if x.New.Outcome != text {
		text += " -> " + x.New.Outcome
	}
	switch {
	case x.Old.Template != x.New.Template && x.Old.Template != "" && x.New.Template != "":
		text += ", template " + x.Old.Template + " -> " + x.New.Template
	case x.Old.Template+x.New.Template != "":
		text += ", template " + x.Old.Template
		if x.Old.Template == "" {
			text += x.New.Template
		}
	}
	return text
}

func (w *writer) notes(side string, s State) {
	for _, n := range s.Reasons {
		w.line(2, 0, side+": "+n.String())
	}
	for _, n := range s.Warnings {
		w.line(2, 0, side+": warning: "+n.String())
	}
}

func (n Note) String() string { return fmt.Sprintf("%s (%s)", n.Message, n.ID) }

func (w *writer) fields(indent int, fields []Field) {
	for _, f := range fields {
		w.line(indent, 0, f.String())
	}
}

// maxShown bounds what a line shows of a value, in characters.
const maxShown = 100

// String gives the field in one line: path, both values, and who wrote them.
func (f Field) String() string {
	old, new := clip(f.Old), clip(f.New)
	switch {
	case f.OldFrom == f.NewFrom:
		return fmt.Sprintf("%s: %s -> %s%s", f.Path, old, new, from(f.NewFrom))
	default:
		return fmt.Sprintf("%s: %s%s -> %s%s", f.Path, old, from(f.OldFrom), new, from(f.NewFrom))
	}
}

func from(origin string) string {
	if origin == "" {
		return ""
	}
	return " (" + origin + ")"
}

func clip(v json.RawMessage) string {
	text := string(v)
	if v == nil {
		return "absent"
	}
	var container struct {
		Image string `json:"image"`
	}
	if json.Unmarshal(v, &container) == nil && container.Image != "" {
		text = fmt.Sprintf("{image %q, ...}", container.Image)
	}
	if utf8.RuneCountInString(text) > maxShown {
		return string([]rune(text)[:maxShown]) + "..."
	}
	return text
}
