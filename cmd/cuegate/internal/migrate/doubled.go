package migrate

import "fmt"

// Of two fields of one name in an object the later one counts, where both are there.

// occurrence is a field with a constant key, and when it is there.
type occurrence struct {
	field *field
	// conds hold all when it is there.
	conds []*expr
	loops []*loop
	// list and index are where it stands.
	list  []any
	index int
}

// lastOnes gives entries, of an object at the path, of which at most one of each name is
// there at a time.
func (w *writer) lastOnes(path []string, entries []any) []any {
	entries = cloneEntries(entries)
	found := map[string][]*occurrence{}
	var order []string
	collect(entries, nil, nil, func(key string, o *occurrence) {
		if name, ok := w.folded(path, key); ok {
			key = name
		}
		if found[key] == nil {
			order = append(order, key)
		}
		found[key] = append(found[key], o)
	})
	for _, key := range order {
		all := found[key]
		for i, first := range all {
			if differs(first) {
				f := *first.field
				f.value = &unable{f.at, fmt.Sprintf("%s is written for each element, of which the last one counts", key)}
				first.list[first.index] = &f
				continue
			}
			for _, later := range all[i+1:] {
				w.giveWay(key, first, later)
			}
		}
	}
	return entries
}

func cloneEntries(entries []any) []any {
	out := make([]any, len(entries))
	for i, e := range entries {
		switch e := e.(type) {
		case *when:
			out[i] = &when{cond: e.cond, a: cloneEntries(e.a), b: cloneEntries(e.b), at: e.at}
		case *forEach:
			out[i] = &forEach{loop: e.loop, body: cloneEntries(e.body), at: e.at}
		default:
			out[i] = e
		}
	}
	return out
}

func collect(entries []any, conds []*expr, loops []*loop, visit func(string, *occurrence)) {
	for i, e := range entries {
		switch e := e.(type) {
		case *field:
			if key, ok := e.key.constant(); ok {
				visit(key, &occurrence{field: e, conds: conds, loops: loops, list: entries, index: i})
			}
		case *when:
			collect(e.a, append(conds[:len(conds):len(conds)], e.cond), loops, visit)
			collect(e.b, append(conds[:len(conds):len(conds)], negation(e.cond)), loops, visit)
		case *forEach:
			collect(e.body, append(conds[:len(conds):len(conds)], truthOf(e.loop.list)), append(loops[:len(loops):len(loops)], e.loop), visit)
		}
	}
}

// differs tells whether a field in a loop may have another value for another element.
func differs(o *occurrence) bool {
	for _, l := range o.loops {
		if usesLoop(o.field.value, l) {
			return true
		}
		for _, c := range o.conds {
			if c.uses(opKey, l) || c.uses(opElem, l) {
				return true
			}
		}
	}
	return false
}

// giveWay leaves out the first field where the later one is there.
func (w *writer) giveWay(key string, first, later *occurrence) {
	if exclusive(first.conds, later.conds) {
		return
	}
	note := func() {
		w.find(Note, first.field.at, fmt.Sprintf("%s is written again at %s, and the later one counts", key, later.field.at))
	}
	held := literal(true)
	for _, c := range later.conds {
		if !contains(first.conds, c) {
			held = and(held, c)
		}
	}
	note()
	if held.is(true) {
		first.list[first.index] = &when{cond: literal(true)}
		return
	}
	if f, ok := first.list[first.index].(*field); ok {
		first.list[first.index] = &when{cond: held, b: []any{f}, at: first.field.at}
		return
	}
	if x, ok := first.list[first.index].(*when); ok && len(x.b) > 0 {
		x.cond = or(x.cond, held)
	}
}

func exclusive(a, b []*expr) bool {
	for _, c := range a {
		if contains(b, negation(c)) {
			return true
		}
	}
	return false
}

func contains(list []*expr, e *expr) bool {
	for _, x := range list {
		if same(x, e) {
			return true
		}
	}
	return false
}

// usesLoop tells whether anything in a document depends on index or element of a loop.
func usesLoop(x any, l *loop) bool {
	found := false
	eachExpr(x, func(e *expr) { found = found || e.uses(opKey, l) || e.uses(opElem, l) })
	return found
}

// usesVariable tells whether a variable of the old controller is used in a document.
func usesVariable(x any, name string) bool {
	found := false
	var look func(e *expr)
	look = func(e *expr) {
		found = found || e.op == opVariable && e.name == name
		for _, a := range e.args {
			look(a)
		}
	}
	eachExpr(x, look)
	return found
}

// eachExpr visits the expressions in a document.
func eachExpr(x any, visit func(*expr)) {
	list := func(all []any) {
		for _, x := range all {
			eachExpr(x, visit)
		}
	}
	switch x := x.(type) {
	case *printed:
		visit(x.expr)
	case *textValue:
		list(x.parts)
	case *object:
		list(x.entries)
	case *array:
		list(x.elems)
	case *either:
		visit(x.cond)
		list([]any{x.a, x.b})
	case *when:
		visit(x.cond)
		list(x.a)
		list(x.b)
	case *forEach:
		visit(x.loop.list)
		list(x.body)
	case *field:
		list([]any{x.key, x.value})
	}
}

func placeOf(v any) place {
	switch v := v.(type) {
	case *object:
		return v.at
	case *array:
		return v.at
	case *textValue:
		return v.at
	case *scalar:
		return v.at
	case *printed:
		return v.at
	case *either:
		return v.at
	case *unable:
		return v.at
	case *failing:
		return v.at
	}
	return place{}
}
