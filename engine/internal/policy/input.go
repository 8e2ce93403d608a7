package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Input is what the rules see as `input`.
type Input struct {
	value  ast.Object
	writer *writer
}

// writer knows the fields of the types that it met.
type writer struct{ known sync.Map } // []field by reflect.Type

type field struct {
	key       *ast.Term
	omitEmpty bool
}

func (w *writer) fieldsOf(t reflect.Type) []field {
	if known, ok := w.known.Load(t); ok {
		return known.([]field)
	}
	fields := make([]field, t.NumField())
	for i := range fields {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[i] = field{ast.InternedTerm(name), option == "omitempty"}
	}
	w.known.Store(t, fields)
	return fields
}

// NewInput makes an input of a struct, as encoding/json would write it, but without
// the way through JSON. Of its fields there may be strings, bools, ints, pointers,
// slices, structs, maps of strings, and what encoding/json decodes with UseNumber.
func (r *Rules) NewInput(facts any) (Input, error) {
	v, err := r.writer.valueOf(reflect.ValueOf(facts))
	if err != nil {
		return Input{}, err
	}
	object, ok := v.(ast.Object)
	if !ok {
		return Input{}, fmt.Errorf("the input is a %T, not a struct", facts)
	}
	return Input{object, &r.writer}, nil
}

// With gives an input that has another field.
func (in Input) With(name string, fact any) (Input, error) {
	v, err := in.writer.valueOf(reflect.ValueOf(fact))
	if err != nil {
		return Input{}, err
	}
	pairs := [][2]*ast.Term{{ast.InternedTerm(name), ast.NewTerm(v)}}
	in.value.Foreach(func(k, v *ast.Term) {
		if k.Value.Compare(ast.String(name)) != 0 {
			pairs = append(pairs, [2]*ast.Term{k, v})
		}
	})
	return Input{ast.NewObject(pairs...), in.writer}, nil
}

func (w *writer) valueOf(v reflect.Value) (ast.Value, error) {
	switch v.Kind() {
	case reflect.String:
		if n, ok := v.Interface().(json.Number); ok {
			return ast.InterfaceToValue(n)
		}
		return ast.InternedTerm(valid(v.String())).Value, nil
	case reflect.Bool:
		return ast.InternedTerm(v.Bool()).Value, nil
	case reflect.Int:
		return ast.InternedTerm(int(v.Int())).Value, nil
	case reflect.Struct:
		return w.objectOf(v)
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return ast.NullValue, nil
		}
		return w.valueOf(v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return ast.NullValue, nil
		}
		terms := make([]*ast.Term, v.Len())
		for i := range terms {
			item, err := w.valueOf(v.Index(i))
			if err != nil {
				return nil, err
			}
			terms[i] = ast.NewTerm(item)
		}
		return ast.NewArray(terms...), nil
	case reflect.Map:
		return w.mapOf(v)
	case reflect.Invalid:
		return ast.NullValue, nil
	}
	return nil, fmt.Errorf("a value of type %s has no place in an input", v.Type())
}

// valid does what encoding/json does with bytes that are not UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (w *writer) objectOf(v reflect.Value) (ast.Value, error) {
	fields := w.fieldsOf(v.Type())
	pairs := make([][2]*ast.Term, 0, len(fields))
	for i, f := range fields {
		if f.omitEmpty && isEmpty(v.Field(i)) {
			continue
		}
		value, err := w.valueOf(v.Field(i))
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]*ast.Term{f.key, ast.NewTerm(value)})
	}
	return ast.NewObject(pairs...), nil
}

// isEmpty follows encoding/json.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (w *writer) mapOf(v reflect.Value) (ast.Value, error) {
	if v.IsNil() {
		return ast.NullValue, nil
	}
	pairs := make([][2]*ast.Term, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		value, err := w.valueOf(it.Value())
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]*ast.Term{ast.InternedTerm(valid(it.Key().String())), ast.NewTerm(value)})
	}
	return ast.NewObject(pairs...), nil
}
