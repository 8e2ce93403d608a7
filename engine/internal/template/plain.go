package template

import (
	"bytes"
	"container/list"
	"encoding/json"
	"hash/maphash"
	"reflect"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// What is kept of renderings: so many shapes, and so many bytes of them.
const (
	maxShapes     = 1024
	maxShapeBytes = 16 << 20
	// maxKey is the longest shape that is kept.
	maxKey = 32 << 10
)

// plain renders plain templates (see lift.go) without CUE, once CUE has rendered one
// route of the same shape (see shape.go).
type plain struct {
	// set is compiled from the files that lifting rewrote.
	set     *Set
	derived []closed
	// seen is what each plain template may look at.
	seen map[string]seen

	mu sync.Mutex
	// met are hashes of shapes, at their own remainders. A shape that is met but once
	// is not worth more.
	met [4096]uint64
	// seed is for the hashes.
	seed   maphash.Seed
	known  map[string]*list.Element // of *shaped, by the shape
	latest *list.List               // the one that was used last comes first
	bytes  int
}

// shaped is what is known of a shape.
type shaped struct {
	key string
	// skeleton is nil when only CUE can render the shape.
	skeleton *skeleton
}

// seen is what a template may look at: fields of `in`, and derived ones by number.
type seen struct {
	leaves  []leaf
	derived []int
}

func (x *shaped) size() int {
	n := len(x.key) + 200
	if x.skeleton != nil {
		n += x.skeleton.size
	}
	return n
}

// newPlain compiles the files of a bundle once more, with what lifting made of
// them. It gives nil when no template is plain, or one could see our marks.
func newPlain(files map[string][]byte, s *Set) *plain {
	for text := range s.spelled {
		if strings.Contains(text, atomMark) || strings.HasPrefix(text, derivedMark) {
			return nil
		}
	}
	l, err := lift(files, s.definition.IsList)
	if err != nil {
		return nil
	}
	p := &plain{derived: l.derived, seen: map[string]seen{}, seed: maphash.MakeSeed(), known: map[string]*list.Element{}, latest: list.New()}
	for name := range s.templates {
		if f := l.behind(name, s.own[name]); !f.opaque {
			p.seen[name] = seen{usedLeaves(f.used), f.derived}
		}
	}
	var ps []problem.Problem
	if p.set, ps = compile(files, nil); len(ps) > 0 || len(p.seen) == 0 {
		return nil
	}
	// Lifting took texts away that a rendering may still meet.
	p.set.spelled, p.set.tellsKeys = s.spelled, s.tellsKeys
	return p
}

// shape finds the shape of a route; ok is false when only CUE may judge it. What is
// given back stands for the route in a rendering.
func (p *plain) shape(name string, in In, values []byte) (s *shaper, out route, ok bool) {
	s = &shaper{spelled: p.set.spelled, numbers: map[string]int{}, key: append([]byte(name), 0)}
	if values != nil && (!json.Valid(values) || len(values) > maxKey) {
		return s, out, false
	}
	s.noteKeys(values)
	for _, l := range leaves {
		if t, ok := l.at(&out.in).(*string); ok {
			*t = atomMark // of what is not used nothing may be seen
		}
	}
	seen := p.seen[name]
	s.route(&in, seen.leaves, &out.in)
	out.derived = map[int]any{}
	for _, n := range seen.derived {
		v, o := p.derived[n](&frame{in: &in, vars: map[ast.Node]any{}})
		if o == failed {
			return s, out, false
		}
		if o == missing {
			s.key = append(s.key, '-')
			continue
		}
		out.derived[n] = s.value(v)
	}
	if values != nil {
		s.key = append(s.key, '+')
		out.values = s.values(values)
	}
	return s, out, !s.odd && len(s.key) <= maxKey && !bytes.Contains(s.key, []byte(atomMark))
}

// route is what a rendering is made from.
type route struct {
	in In
	// derived fields, by number; those that are missing are not there.
	derived map[int]any
	values  []byte
}

// render renders a route, or gives false when CUE has to. evaluate is what CUE makes
// of it.
func (p *plain) render(name string, in In, values []byte, evaluate func() (Rendered, error)) (Rendered, error, bool) {
	if _, ok := p.seen[name]; !ok {
		return Rendered{}, nil, false
	}
	s, out, ok := p.shape(name, in, values)
	if !ok {
		return Rendered{}, nil, false
	}
	known, metBefore := p.find(s.key)
	switch {
	case known == nil && !metBefore:
		return Rendered{}, nil, false
	case known == nil:
		r, err := evaluate()
		if err == nil {
			p.learn(name, s, out, r)
		}
		return r, err, true
	case known.skeleton == nil:
		return Rendered{}, nil, false
	}
	return Rendered{JSON: known.skeleton.fill(s.atoms), skeleton: known.skeleton, atoms: s.atoms}, nil, true
}

// learn renders a shape, and keeps that if it gives what CUE gave.
func (p *plain) learn(name string, s *shaper, out route, cue Rendered) {
	x := &shaped{key: string(s.key)}
	if sk := p.specialise(name, out, len(s.atoms)); sk != nil && bytes.Equal(sk.fill(s.atoms), cue.JSON) {
		x.skeleton = sk
	}
	p.keep(x)
}

// specialise renders a shape. It gives nil when that fails: CUE shall say of each
// route itself what is wrong.
func (p *plain) specialise(name string, r route, atoms int) *skeleton {
	rendered, err := p.set.evaluate(name, r)
	if err != nil {
		return nil
	}
	// Something in the bundle may have added to `in`, which derived fields do not know.
	want, err1 := p.set.ctx.Encode(r.in).MarshalJSON()
	got, err2 := rendered.whole.LookupPath(pathIn).MarshalJSON()
	if err1 != nil || err2 != nil || !sameJSON(want, got) {
		return nil
	}
	sk, err := newSkeleton(rendered.JSON, atoms)
	if err != nil {
		return nil
	}
	return sk
}

func sameJSON(a, b []byte) bool {
	x, err1 := decode(a)
	y, err2 := decode(b)
	return err1 == nil && err2 == nil && reflect.DeepEqual(x, y)
}

func derivedPath(n int) cue.Path {
	return cue.MakePath(cue.Str("in"), cue.Def(derivedField(n)))
}

// find gives what is known of a shape, or nil; then it tells whether the shape was
// met before.
func (p *plain) find(key []byte) (known *shaped, met bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.known[string(key)]; ok {
		p.latest.MoveToFront(e)
		return e.Value.(*shaped), true
	}
	hash := maphash.Bytes(p.seed, key)
	at := &p.met[hash%uint64(len(p.met))]
	met = *at == hash
	*at = hash
	return nil, met
}

// keep notes what is known of a shape, and forgets those that were not met for the
// longest time.
func (p *plain) keep(x *shaped) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.known[x.key]; ok {
		p.forget(e)
	}
	p.known[x.key] = p.latest.PushFront(x)
	p.bytes += x.size()
	for len(p.known) > maxShapes || p.bytes > maxShapeBytes {
		p.forget(p.latest.Back())
	}
}

func (p *plain) forget(e *list.Element) {
	x := p.latest.Remove(e).(*shaped)
	delete(p.known, x.key)
	p.bytes -= x.size()
}
