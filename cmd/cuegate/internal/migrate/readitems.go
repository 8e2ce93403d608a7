package migrate

import "fmt"

// container reads an object or a list.
func (m *machine) container(closing byte, want string) ([]any, error) {
	if m.depth++; m.depth > maxDepth {
		return nil, &stuck{unable{m.here(), fmt.Sprintf("the JSON is more than %d deep", maxDepth)}}
	}
	outside := m.commas
	m.advance()
	m.commas = nothingYet
	items, err := m.items(closing == '}')
	if err != nil {
		return nil, err
	}
	switch {
	case m.peek() != tokChar || m.char() != closing:
		return nil, m.unexpected(want)
	case m.commas == afterComma:
		return nil, m.invalid("a comma before %q", closing)
	}
	m.advance()
	m.commas = outside
	m.depth--
	return items, nil
}

// items reads what stands in an object or a list, up to its end or that of a branch.
func (m *machine) items(inObject bool) ([]any, error) {
	var all []any
	for !m.atEnd() {
		more, err := m.item(inObject)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func (m *machine) atEnd() bool {
	m.space()
	switch m.peek() {
	case tokEOF, tokBranchEnd:
		return true
	case tokChar:
		return m.char() == '}' || m.char() == ']'
	}
	return false
}

// item reads one field, element or comma, or several where an if makes it so.
func (m *machine) item(inObject bool) ([]any, error) {
	start := m.fork()
	list, err := m.itemOnce(inObject)
	if c, ok := err.(*crossing); ok && c.step >= start.pos.step {
		if *m.budget < 0 {
			return nil, start.tooMuch()
		}
		*m = *start.fork()
		return m.decideItems(start, c, inObject)
	}
	return list, err
}

// reading is one way to read items.
type reading struct {
	*machine
	inObject bool
	items    []any
	err      error
}

// one reads one item more; false when there is none.
func (r *reading) one() bool {
	if r.err != nil || r.atEnd() {
		return false
	}
	more, err := r.item(r.inObject)
	r.items, r.err = append(r.items, more...), err
	r.space()
	return err == nil
}

// decideItems reads items from start with the if decided, once each way, until both
// come to the same place behind the if.
func (m *machine) decideItems(start *machine, c *crossing, inObject bool) ([]any, error) {
	end := position{step: m.code[c.step].end}
	var ways [2]*reading
	for i := range ways {
		r := &reading{machine: start.fork(), inObject: inObject}
		r.choose(c.step, i == 0)
		for r.one() && !end.before(r.pos) {
		}
		if r.err == nil && !end.before(r.pos) {
			return nil, c
		}
		ways[i] = r
	}
	a, b := ways[0], ways[1]
	for a.err == nil && b.err == nil && a.pos != b.pos {
		behind := a
		if b.pos.before(a.pos) {
			behind = b
		}
		if !behind.one() && behind.err == nil {
			return nil, c
		}
	}
	if err := bothWays([2]error{a.err, b.err}, c); err != nil {
		return nil, err
	}
	w := &when{cond: m.code[c.step].expr, a: a.items, b: b.items, at: m.code[c.step].at}
	switch fa, fb := asFailing(a.err), asFailing(b.err); {
	case fa != nil:
		w.a, m.pos, m.commas = []any{fa}, b.pos, b.commas
	case fb != nil:
		w.b, m.pos, m.commas = []any{fb}, a.pos, a.commas
	default:
		m.pos, m.commas = a.pos, a.commas|b.commas
	}
	return []any{w}, nil
}

func (m *machine) itemOnce(inObject bool) ([]any, error) {
	switch t := m.peek(); {
	case t == tokIf:
		return m.itemsIf(inObject)
	case t == tokRange:
		return m.itemsFor(inObject)
	case t == tokChar && m.char() == ',':
		if m.commas&afterItem == 0 {
			return nil, m.invalid("a comma too many")
		}
		m.commas = afterComma
		m.advance()
		return nil, nil
	case t == tokChar || t == tokPrint:
	default:
		return nil, m.unexpected("an element")
	}
	if m.commas&(nothingYet|afterComma) == 0 {
		return nil, m.invalid("a comma is missing")
	}
	var it any
	var err error
	switch {
	case !inObject:
		it, err = m.value()
	case m.peek() == tokChar && m.char() == '"':
		it, err = m.field()
	default:
		err = m.unexpected("a key in quotes")
	}
	m.commas = afterItem
	return []any{it}, err
}

func (m *machine) field() (any, error) {
	f := &field{at: m.here(), step: m.pos.step}
	key, err := m.text()
	if err != nil {
		return nil, err
	}
	f.key = key
	for _, p := range key.parts {
		// Each of the keys is a field of its own, with a type of its own.
		if w, ok := p.(*when); ok {
			return nil, &crossing{w.step}
		}
	}
	m.space()
	if m.peek() != tokChar || m.char() != ':' {
		return nil, m.unexpected(`":"`)
	}
	m.advance()
	f.value, err = m.value()
	return f, err
}

// itemsIf reads an if whose branches are whole items.
func (m *machine) itemsIf(inObject bool) ([]any, error) {
	step := m.pos.step
	s := &m.code[step]
	w := &when{cond: s.expr, at: s.at}
	var errs [2]error
	var after commas
	for i, branch := range []*[]any{&w.a, &w.b} {
		f := m.fork()
		f.jump([]int{step + 1, s.els + 1}[i])
		f.assume(s.expr, i == 0)
		*branch, errs[i] = f.items(inObject)
		switch {
		case errs[i] != nil:
			if fail := asFailing(errs[i]); fail != nil {
				*branch = []any{fail}
			}
		case !f.isEndOf(step):
			return nil, &crossing{step}
		default:
			after |= f.commas
		}
	}
	if err := deepest(errs, step); err != nil {
		return nil, err
	}
	m.commas = after
	m.jump(s.end + 1)
	if (endsBare(w.a) || endsBare(w.b)) && m.scalarGoesOn() {
		return nil, &crossing{step}
	}
	if len(w.a)+len(w.b) == 0 {
		return nil, nil
	}
	return []any{w}, nil
}

// endsBare tells whether the last of some items is a value without quotes or brackets.
func endsBare(items []any) bool {
	if len(items) == 0 {
		return false
	}
	switch x := items[len(items)-1].(type) {
	case *scalar, *printed, *unable:
		return true
	case *field:
		return endsBare([]any{x.value})
	case *either:
		return endsBare([]any{x.a}) || endsBare([]any{x.b})
	case *when:
		return endsBare(x.a) || endsBare(x.b)
	case *forEach:
		return endsBare(x.body)
	}
	return false
}

// deepest is bothWays for the branches of an if: an inner if that crosses is decided
// before the outer one.
func deepest(errs [2]error, step int) error {
	for _, err := range errs {
		if c, ok := err.(*crossing); ok {
			return c
		}
	}
	return bothWays(errs, &crossing{step})
}

// itemsFor reads a loop whose body is whole items.
func (m *machine) itemsFor(inObject bool) ([]any, error) {
	step := m.pos.step
	s := &m.code[step]
	f := m.fork()
	f.jump(step + 1)
	f.commas = nothingYet | afterItem | afterComma
	body, err := f.items(inObject)
	if err == nil && !f.isEndOf(step) {
		err = &stuck{unable{f.here(), fmt.Sprintf("%q in a {{range}} ends what was opened before it", f.char())}}
	}
	if fail := asFailing(err); fail != nil {
		m.jump(s.end + 1)
		return []any{&forEach{loop: s.loop, body: []any{fail}, at: s.at}}, nil
	}
	if err = m.inLoop(err); err != nil {
		return nil, err
	}
	again := m.fork()
	again.jump(step + 1)
	again.assume(truthOf(&expr{op: opKey, kind: whole, loop: s.loop}), true)
	m.commas |= f.commas
	m.jump(s.end + 1)
	if f.commas&afterItem != 0 && endsBare(body) && (again.scalarGoesOn() || m.scalarGoesOn()) {
		return nil, &stuck{unable{s.at, "the values of this {{range}} may run into each other, or into the next one"}}
	}
	if len(body) == 0 {
		return nil, nil
	}
	return []any{&forEach{loop: s.loop, body: body, at: s.at}}, nil
}

// inLoop: an if that crosses in the body of a loop cannot be decided outside of it.
func (m *machine) inLoop(err error) error {
	if c, ok := err.(*crossing); ok {
		return &stuck{unable{m.code[c.step].at, "the branches of this {{if}}, in a {{range}}, open and close different things"}}
	}
	return err
}
