package migrate

import (
	"fmt"
	"maps"
	"strings"
)

// The machine reads the JSON that a template prints, for all routes at once. Where both
// branches of an {{if}} are whole elements, values or pieces of a text, the document gets
// a condition there:
//
//	{ "a": 1 {{if X}}, "b": 2{{end}} }
//
// Where they are not, nothing can stand for the {{if}} alone. It is decided first, once
// each way, and the smallest thing around it that is whole both ways is read twice:
//
//	"a": {{if X}}{ "b": 1{{else}}{ "c": 2{{end}}, "d": 3 }
//
// Commas say nothing that the rest does not, so they may depend on anything; it is only
// noted where there is one too many, or one missing, whatever the route.

type machine struct {
	code []step
	pos  position
	// chosen are the branches of the ifs that are decided, true for the first one.
	chosen map[int]bool
	// known are the conditions that are decided, by their identity.
	known  map[string]bool
	commas commas
	depth  int
	budget *int
}

// position is an offset in the text of a step.
type position struct{ step, offset int }

func (p position) before(q position) bool {
	return p.step < q.step || p.step == q.step && p.offset < q.offset
}

// commas are what may have stood last in an object or list.
type commas uint8

const (
	nothingYet commas = 1 << iota
	afterItem
	afterComma
)

// maxForks bounds how often something is read again, and maxDepth how deep JSON is.
const (
	maxForks = 200000
	maxDepth = 200
)

// crossing is the error of something that is not whole in one of the branches of an if.
type crossing struct{ step int }

func (c *crossing) Error() string { return "an if crosses" }

// invalid is the error of what is no JSON on the way that was taken.
type invalid struct{ failing }

func (i *invalid) Error() string { return i.why }

// stuck is the error of what cannot be converted.
type stuck struct{ unable }

func (s *stuck) Error() string { return s.why }

// readJSON gives the document that the code prints. The error is a *stuck or an
// *invalid.
func readJSON(code []step) (any, error) {
	budget := maxForks
	m := &machine{code: code, chosen: map[int]bool{}, known: map[string]bool{}, budget: &budget}
	v, err := m.value()
	if err == nil {
		m.space()
		if t := m.peek(); t != tokEOF {
			err = m.unexpected("the end")
		}
	}
	if c, ok := err.(*crossing); ok {
		return nil, &stuck{unable{code[c.step].at, "the branches of this {{if}} open and close different things"}}
	}
	return v, err
}

func (m *machine) fork() *machine {
	*m.budget--
	f := *m
	f.chosen, f.known = maps.Clone(m.chosen), maps.Clone(m.known)
	return &f
}

// choose decides an if.
func (m *machine) choose(step int, first bool) {
	m.chosen[step] = first
	m.assume(m.code[step].expr, first)
}

func (m *machine) assume(c *expr, holds bool) {
	m.known[c.identity()] = holds
	switch {
	case c.op == opNot:
		m.assume(c.args[0], !holds)
	case c.op == opAnd && holds, c.op == opOr && !holds:
		m.assume(c.args[0], holds)
		m.assume(c.args[1], holds)
	}
}

func (m *machine) decided(step int) (first, ok bool) {
	if first, ok = m.chosen[step]; ok {
		return first, true
	}
	c := m.code[step].expr
	if c.op == opNot {
		first, ok = m.known[c.args[0].identity()]
		return !first, ok
	}
	first, ok = m.known[c.identity()]
	return first, ok
}

type token uint8

const (
	tokEOF token = iota
	tokChar
	tokPrint
	tokIf
	tokRange
	// tokBranchEnd is the end of a branch of an if that is not decided, or of the body of a
	// loop.
	tokBranchEnd
	tokStuck
)

// peek passes over what prints nothing, and tells what comes.
func (m *machine) peek() token {
	for m.pos.step < len(m.code) {
		s := &m.code[m.pos.step]
		switch s.kind {
		case stepText:
			if m.pos.offset < len(s.text) {
				return tokChar
			}
			m.jump(m.pos.step + 1)
		case stepComment:
			m.jump(m.pos.step + 1)
		case stepPrint:
			return tokPrint
		case stepRange:
			return tokRange
		case stepStuck:
			return tokStuck
		case stepIf:
			first, ok := m.decided(m.pos.step)
			if !ok {
				return tokIf
			}
			m.chosen[m.pos.step] = first
			if first {
				m.jump(m.pos.step + 1)
			} else {
				m.jump(s.els + 1)
			}
		case stepElse, stepEnd:
			if _, ok := m.chosen[s.of]; !ok {
				return tokBranchEnd
			}
			m.jump(m.code[s.of].end + 1)
		}
	}
	return tokEOF
}

func (m *machine) jump(step int) { m.pos = position{step: step} }

// char is the next one, where peek told tokChar.
func (m *machine) char() byte { return m.code[m.pos.step].text[m.pos.offset] }

func (m *machine) advance() { m.pos.offset++ }

// here is where the next token stands.
func (m *machine) here() place {
	if m.pos.step >= len(m.code) {
		if n := len(m.code); n > 0 {
			return m.placeOf(n-1, len(m.code[n-1].text))
		}
		return place{}
	}
	return m.placeOf(m.pos.step, m.pos.offset)
}

func (m *machine) placeOf(step, offset int) place {
	s := &m.code[step]
	if s.src == nil {
		return s.at
	}
	return s.src.at(s.offset + offset)
}

// space passes over white space between tokens, and over conditions around nothing else.
func (m *machine) space() {
	for {
		switch m.peek() {
		case tokChar:
			if !isSpace(m.char()) {
				return
			}
			m.advance()
		case tokIf, tokRange:
			if !m.isBlank() {
				return
			}
			m.jump(m.code[m.pos.step].end + 1)
		default:
			return
		}
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isBlank tells whether nothing but white space stands in an if or a loop.
func (m *machine) isBlank() bool {
	for _, s := range m.code[m.pos.step:m.code[m.pos.step].end] {
		switch s.kind {
		case stepText:
			if strings.Trim(s.text, " \t\r\n") != "" {
				return false
			}
		case stepPrint, stepStuck:
			return false
		}
	}
	return true
}

// isEndOf tells whether the branch of the step ends here.
func (m *machine) isEndOf(step int) bool {
	return m.peek() == tokBranchEnd && m.code[m.pos.step].of == step
}

func (m *machine) invalid(format string, args ...any) error {
	return &invalid{failing{m.here(), fmt.Sprintf(format, args...)}}
}

// unexpected is the error for a token that does not fit.
func (m *machine) unexpected(want string) error {
	switch m.peek() {
	case tokEOF:
		return m.invalid("the JSON ends where %s should be", want)
	case tokIf:
		return &crossing{m.pos.step}
	case tokRange:
		return &stuck{unable{m.here(), "a {{range}} where " + want + " should be"}}
	case tokPrint:
		return &stuck{unable{m.here(), "an action where " + want + " should be: its text would be JSON itself"}}
	case tokStuck:
		s := m.code[m.pos.step]
		return &stuck{unable{s.at, s.text}}
	case tokBranchEnd:
		owner := m.code[m.pos.step].of
		if m.code[owner].kind == stepIf {
			return &crossing{owner}
		}
		return &stuck{unable{m.code[owner].at, "this {{range}} ends where " + want + " should be"}}
	}
	return m.invalid("%q where %s should be", m.char(), want)
}

func (m *machine) tooMuch() error {
	return &stuck{unable{m.here(), "too many conditions cross each other here"}}
}
