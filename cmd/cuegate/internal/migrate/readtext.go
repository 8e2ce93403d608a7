package migrate

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"
)

// text reads a string, with its quotes.
func (m *machine) text() (*textValue, error) {
	t := &textValue{at: m.here()}
	m.advance()
	parts, err := m.parts(-1)
	t.parts = parts
	return t, err
}

// parts reads a string up to its quote, or in the branch of a step up to the end of that.
func (m *machine) parts(branch int) ([]any, error) {
	var all []any
	var raw []byte
	began := m.here()
	flush := func() error {
		if len(raw) == 0 {
			return nil
		}
		var text string
		if err := json.Unmarshal(slices.Concat([]byte{'"'}, raw, []byte{'"'}), &text); err != nil {
			return &invalid{failing{began, fmt.Sprintf("the text has an escape that JSON does not know: %s", clip(string(raw)))}}
		}
		all, raw = appendText(all, text), nil
		return nil
	}
	for {
		t := m.peek()
		if t == tokChar {
			if len(raw) == 0 {
				began = m.here()
			}
			c := m.char()
			switch {
			case c == '"' && branch < 0:
				m.advance()
				err := flush()
				return all, err
			case c == '"' && m.code[branch].kind == stepIf:
				return nil, &crossing{branch}
			case c == '"':
				return nil, &stuck{unable{m.here(), "a {{range}} ends a text that began before it"}}
			case c < ' ':
				return nil, m.invalid("a line break or another control character in a text")
			}
			raw = append(raw, c)
			m.advance()
			if c != '\\' {
				continue
			}
			if m.peek() != tokChar {
				return nil, m.unexpected("the rest of an escape")
			}
			raw = append(raw, m.char())
			m.advance()
			continue
		}
		if openEscape.Match(raw) || !utf8.Valid(raw) {
			return nil, m.unexpected("the rest of a letter")
		}
		if err := flush(); err != nil {
			return nil, err
		}
		switch t {
		case tokPrint:
			all = append(all, &printed{m.code[m.pos.step].expr, m.here()})
			m.jump(m.pos.step + 1)
		case tokIf:
			w, err := m.partsIf()
			if err != nil {
				return nil, err
			}
			all = append(all, w)
		case tokRange:
			step := m.pos.step
			f := m.fork()
			f.jump(step + 1)
			body, err := f.parts(step)
			if fail := asFailing(err); fail != nil {
				body, err = []any{fail}, nil
			}
			if err = m.inLoop(err); err != nil {
				return nil, err
			}
			all = append(all, &forEach{loop: m.code[step].loop, body: body, at: m.code[step].at})
			m.jump(m.code[step].end + 1)
		case tokBranchEnd:
			if branch >= 0 && m.isEndOf(branch) {
				return all, nil
			}
			return nil, m.unexpected("the end of a text")
		default:
			return nil, m.unexpected("the end of a text")
		}
	}
}

// openEscape matches a text that ends within \uXXXX, or between the two of a pair.
var openEscape = regexp.MustCompile(`^([^\\]|\\.)*\\u([0-9A-Fa-f]{0,3}|[dD][89abAB][0-9A-Fa-f]{2})$`)

func (m *machine) partsIf() (*when, error) {
	step := m.pos.step
	s := &m.code[step]
	w := &when{cond: s.expr, at: s.at, step: step}
	var errs [2]error
	for i, branch := range []*[]any{&w.a, &w.b} {
		f := m.fork()
		f.jump([]int{step + 1, s.els + 1}[i])
		f.assume(s.expr, i == 0)
		*branch, errs[i] = f.parts(step)
		if fail := asFailing(errs[i]); fail != nil {
			*branch = []any{fail}
		}
	}
	if err := deepest(errs, step); err != nil {
		return nil, err
	}
	m.jump(s.end + 1)
	return w, nil
}
