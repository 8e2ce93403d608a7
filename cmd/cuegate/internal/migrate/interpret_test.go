package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
)

// interpreter says what a document is for one set of variables: what the CUE that is
// written from it should give.
type interpreter struct {
	data map[string]any
	// keys and elems are the values of the loops around.
	keys  map[*loop]int64
	elems map[*loop]any
}

var (
	errUnable  = errors.New("there is something that could not be converted")
	errFailing = errors.New("the original gives no JSON")
)

func (x *interpreter) expr(e *expr) (any, error) {
	args := make([]any, len(e.args))
	if e.op != opPick && e.op != opAnd && e.op != opOr {
		for i, a := range e.args {
			var err error
			if args[i], err = x.expr(a); err != nil {
				return nil, err
			}
		}
	}
	switch e.op {
	case opLiteral:
		if list, ok := e.literal.([]int64); ok {
			return anyList(list), nil
		}
		return e.literal, nil
	case opVariable:
		if list, ok := x.data[e.name].([]string); ok {
			return anyList(list), nil
		}
		return x.data[e.name], nil
	case opKey:
		return x.keys[e.loop], nil
	case opElem:
		return x.elems[e.loop], nil
	case opPick, opAnd, opOr:
		c, err := x.holds(e.args[0])
		switch {
		case err != nil:
			return nil, err
		case e.op == opPick && c, e.op == opAnd && c, e.op == opOr && !c:
			return x.expr(e.args[1])
		case e.op == opPick:
			return x.expr(e.args[2])
		}
		return c, nil
	case opNot:
		return args[0] != true, nil
	case opEqual:
		return args[0] == args[1], nil
	case opLess, opLessOrEqual:
		less, equal := false, args[0] == args[1]
		switch a := args[0].(type) {
		case string:
			less = a < args[1].(string)
		case int64:
			less = a < args[1].(int64)
		case float64:
			less = a < args[1].(float64)
		}
		return less || equal && e.op == opLessOrEqual, nil
	case opLen:
		if s, ok := args[0].(string); ok {
			return int64(len(s)), nil
		}
		return int64(len(args[0].([]any))), nil
	case opIndex:
		list, n := args[0].([]any), args[1].(int64)
		if n < 0 || n >= int64(len(list)) {
			return nil, errFailing
		}
		return list[n], nil
	case opSlice:
		return x.slice(args)
	case opIndices:
		var all []any
		for i := range args[0].([]any) {
			all = append(all, int64(i))
		}
		return all, nil
	case opJoined:
		return sprint(args...), nil
	case opListText:
		return fmt.Sprint(args[0]), nil
	case opHTML:
		return html.EscapeString(sprint(args[0])), nil
	case opQuery:
		return url.QueryEscape(sprint(args[0])), nil
	case opEscaped:
		return sprint(args[0]), nil
	}
	return nil, errUnable
}

func anyList[T any](list []T) []any {
	out := []any{}
	for _, v := range list {
		out = append(out, v)
	}
	return out
}

func sprint(args ...any) string {
	var b strings.Builder
	for _, a := range args {
		fmt.Fprint(&b, a)
	}
	return b.String()
}

func (x *interpreter) slice(args []any) (any, error) {
	from, to := args[1].(int64), args[2].(int64)
	if s, ok := args[0].(string); ok {
		if from < 0 || from > to || to > int64(len(s)) {
			return nil, errFailing
		}
		return s[from:to], nil
	}
	list := args[0].([]any)
	if from < 0 || from > to || to > int64(len(list)) {
		return nil, errFailing
	}
	return list[from:to], nil
}

func (x *interpreter) holds(e *expr) (bool, error) {
	v, err := x.expr(e)
	if err != nil {
		return false, err
	}
	return v.(bool), nil
}

func (x *interpreter) value(v any) (any, error) {
	switch v := v.(type) {
	case *object:
		out := map[string]any{}
		return out, x.entries(out, v.entries)
	case *array:
		out := []any{}
		err := x.each(v.elems, func(e any) error {
			value, err := x.value(e)
			out = append(out, value)
			return err
		})
		return out, err
	case *textValue:
		return x.text(v.parts)
	case *scalar:
		if s := decodeScalar(v.text); s != nil {
			return s, nil
		}
		return nil, nil
	case *printed:
		value, err := x.expr(v.expr)
		if err != nil {
			return nil, err
		}
		switch n := value.(type) {
		case bool:
			return n, nil
		case int64, float64:
			return json.Number(fmt.Sprint(n)), nil
		}
		return nil, errUnable
	case *either:
		c, err := x.holds(v.cond)
		if err != nil {
			return nil, err
		}
		if c {
			return x.value(v.a)
		}
		return x.value(v.b)
	case *failing:
		return nil, errFailing
	}
	return nil, errUnable
}

// each visits what stands in a list, in the loops and branches as well.
func (x *interpreter) each(list []any, visit func(any) error) error {
	for _, it := range list {
		var err error
		switch it := it.(type) {
		case *when:
			var c bool
			if c, err = x.holds(it.cond); err == nil {
				branch := it.b
				if c {
					branch = it.a
				}
				err = x.each(branch, visit)
			}
		case *forEach:
			err = x.loop(it.loop, func() error { return x.each(it.body, visit) })
		case *failing:
			err = errFailing
		default:
			err = visit(it)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *interpreter) loop(l *loop, f func() error) error {
	list, err := x.expr(l.list)
	if err != nil {
		return err
	}
	for i, e := range list.([]any) {
		x.keys[l], x.elems[l] = int64(i), e
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (x *interpreter) entries(out map[string]any, entries []any) error {
	return x.each(entries, func(e any) error {
		f, ok := e.(*field)
		if !ok {
			return errUnable
		}
		key, err := x.text(f.key.parts)
		if err != nil {
			return err
		}
		out[key], err = x.value(f.value)
		return err
	})
}

func (x *interpreter) text(parts []any) (string, error) {
	var b strings.Builder
	err := x.each(parts, func(p any) error {
		if s, ok := p.(string); ok {
			b.WriteString(s)
			return nil
		}
		v, err := x.expr(p.(*printed).expr)
		b.WriteString(sprint(v))
		return err
	})
	return b.String(), err
}
