package migrate

import (
	"fmt"
	"regexp"
	"strings"
)

// value reads a whole value.
func (m *machine) value() (any, error) {
	m.space()
	start := m.fork()
	v, err := m.valueOnce()
	if c, ok := err.(*crossing); ok && c.step >= start.pos.step {
		if *m.budget < 0 {
			return nil, start.tooMuch()
		}
		*m = *start.fork() // what was read in vain has changed it
		return m.decideValue(start, c)
	}
	return v, err
}

// decideValue reads the value at start with the if decided, once each way.
func (m *machine) decideValue(start *machine, c *crossing) (any, error) {
	var found [2]any
	var ends [2]*machine
	var errs [2]error
	for i := range found {
		f := start.fork()
		f.choose(c.step, i == 0)
		found[i], errs[i] = f.value()
		f.space()
		ends[i] = f
	}
	if err := bothWays(errs, c); err != nil {
		return nil, err
	}
	at := m.code[c.step].at
	v := &either{cond: m.code[c.step].expr, a: found[0], b: found[1], at: at}
	switch a, b := asFailing(errs[0]), asFailing(errs[1]); {
	case a != nil:
		v.a, m.pos = a, ends[1].pos
	case b != nil:
		v.b, m.pos = b, ends[0].pos
	case ends[0].pos != ends[1].pos:
		return nil, c
	default:
		m.pos = ends[0].pos
	}
	return v, nil
}

// bothWays gives the error of reading something twice: what is no JSON one way only is
// none.
func bothWays(errs [2]error, c *crossing) error {
	failed := 0
	for _, err := range errs {
		switch err.(type) {
		case *stuck:
			return err
		case *crossing:
			return c
		case *invalid:
			failed++
		}
	}
	if failed == 2 {
		return errs[0]
	}
	return nil
}

func asFailing(err error) *failing {
	if i, ok := err.(*invalid); ok {
		return &i.failing
	}
	return nil
}

func (m *machine) valueOnce() (any, error) {
	if *m.budget < 0 {
		return nil, m.tooMuch()
	}
	switch m.peek() {
	case tokChar:
		at := m.here()
		switch m.char() {
		case '{':
			entries, err := m.container('}', "a key or }")
			return &object{entries: entries, at: at}, err
		case '[':
			elems, err := m.container(']', "a value or ]")
			return &array{elems: elems, at: at}, err
		case '"':
			return m.text()
		}
		return m.scalar()
	case tokPrint:
		return m.scalar()
	case tokIf:
		return m.valueIf()
	}
	return nil, m.unexpected("a value")
}

// valueIf reads an if whose branches are a value each.
func (m *machine) valueIf() (any, error) {
	step := m.pos.step
	s := &m.code[step]
	var found [2]any
	var errs [2]error
	for i, begin := range []int{step + 1, s.els + 1} {
		f := m.fork()
		f.jump(begin)
		f.assume(s.expr, i == 0)
		if found[i], errs[i] = f.value(); errs[i] != nil {
			continue
		}
		f.space()
		if !f.isEndOf(step) {
			return nil, &crossing{step}
		}
	}
	if err := deepest(errs, step); err != nil {
		return nil, err
	}
	m.jump(s.end + 1)
	if m.scalarGoesOn() {
		return nil, &crossing{step}
	}
	v := &either{cond: s.expr, a: found[0], b: found[1], at: s.at}
	if f := asFailing(errs[0]); f != nil {
		v.a = f
	}
	if f := asFailing(errs[1]); f != nil {
		v.b = f
	}
	return v, nil
}

// scalarGoesOn tells whether what comes may be a part of a number before it.
func (m *machine) scalarGoesOn() bool { return m.fork().goesOn(m.pos.step) }

// goesOn looks into branches, and behind those that it looked into; from is the step where
// the look began.
func (m *machine) goesOn(from int) bool {
	for {
		switch m.peek() {
		case tokChar:
			return !endsScalar(m.char())
		case tokPrint:
			return true
		case tokBranchEnd:
			of := m.code[m.pos.step].of
			if of < from {
				return false
			}
			m.jump(m.code[of].end + 1)
		case tokIf, tokRange:
			first := m.fork()
			first.jump(m.pos.step + 1)
			if *m.budget < 0 || first.goesOn(from) {
				return true
			}
			m.jump(m.code[m.pos.step].els + 1)
		default:
			return false
		}
	}
}

func endsScalar(c byte) bool { return isSpace(c) || strings.IndexByte(`,:]}[{"`, c) >= 0 }

var jsonScalar = regexp.MustCompile(`^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?)$`)

// scalar reads what stands for itself, without quotes.
func (m *machine) scalar() (any, error) {
	at := m.here()
	var parts []any
	for {
		t := m.peek()
		if t == tokChar && !endsScalar(m.char()) {
			rest := m.code[m.pos.step].text[m.pos.offset:]
			n := strings.IndexFunc(rest, func(r rune) bool { return r < 0x80 && endsScalar(byte(r)) })
			if n < 0 {
				n = len(rest)
			}
			parts = appendText(parts, rest[:n])
			m.pos.offset += n
			continue
		}
		if t == tokPrint {
			parts = append(parts, &printed{m.code[m.pos.step].expr, m.here()})
			m.jump(m.pos.step + 1)
			continue
		}
		if (t == tokIf || t == tokRange) && len(parts) > 0 && m.scalarGoesOn() {
			return nil, m.unexpected("the end of a number")
		}
		break
	}
	switch len(parts) {
	case 0:
		return nil, m.unexpected("a value")
	case 1:
		text, ok := parts[0].(string)
		switch {
		case !ok:
			return parts[0], nil
		case jsonScalar.MatchString(text):
			return &scalar{text, at}, nil
		}
		switch m.peek() {
		case tokBranchEnd, tokIf, tokRange, tokStuck:
			return nil, m.unexpected("the rest of a value")
		default:
			return nil, &invalid{failing{at, fmt.Sprintf("%s is no value of JSON", clip(text))}}
		}
	}
	return &unable{at, "an action gives only a part of a value that has no quotes"}, nil
}

func appendText(parts []any, text string) []any {
	if n := len(parts); n > 0 {
		if before, ok := parts[n-1].(string); ok {
			parts[n-1] = before + text
			return parts
		}
	}
	return append(parts, text)
}

func clip(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}
