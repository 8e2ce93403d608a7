package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
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

func (m *machine) tooMuch() error {
	return &stuck{unable{m.here(), "too many conditions cross each other here"}}
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
func (m *machine) scalarGoesOn() bool {
	switch m.peek() {
	case tokChar:
		return !endsScalar(m.char())
	case tokPrint:
		return true
	case tokIf, tokRange:
		step := m.pos.step
		for _, begin := range []int{step + 1, m.code[step].els + 1} {
			f := m.fork()
			if f.jump(begin); begin <= m.code[step].end && f.isEndOf(step) {
				f.jump(m.code[step].end + 1) // nothing stands in the branch
			}
			if *m.budget < 0 || f.scalarGoesOn() {
				return true
			}
		}
	}
	return false
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
		case !jsonScalar.MatchString(text) && m.peek() == tokBranchEnd:
			return nil, m.unexpected("the rest of a value")
		case !jsonScalar.MatchString(text):
			return nil, &invalid{failing{at, fmt.Sprintf("%s is no value of JSON", clip(text))}}
		}
		return &scalar{text, at}, nil
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
