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
	pairs := make([][2]*ast.Term, 1, in.value.Len()+1)
	pairs[0] = [2]*ast.Term{ast.InternedTerm(name), ast.NewTerm(v)}
	in.value.Foreach(func(k, v *ast.Term) {
		if k.Value.Compare(ast.String(name)) != 0 {
			pairs = append(pairs, [2]*ast.Term{k, v})
		}
	})
	return Input{ast.NewObject(pairs...), in.writer}, nil
}

// The terms of one struct, list or map are allocated at once: there are many of them.

func (w *writer) valueOf(v reflect.Value) (ast.Value, error) {
	switch v.Kind() {
	case reflect.String:
		if v.Type() == numberType {
			return ast.InterfaceToValue(json.Number(v.String()))
		}
		return ast.InternedValue(valid(v.String())), nil
	case reflect.Bool:
		return ast.InternedValue(v.Bool()), nil
	case reflect.Int:
		return ast.InternedValue(int(v.Int())), nil
	case reflect.Struct:
		return w.structValue(v)
	case reflect.Pointer:
		if v.IsNil() {
			return ast.NullValue, nil
		}
		return w.valueOf(v.Elem())
	case reflect.Interface, reflect.Map:
		return w.anyValue(v.Interface())
	case reflect.Slice:
		if v.IsNil() {
			return ast.NullValue, nil
		}
		return listValue(v.Len(), func(i int) (ast.Value, error) { return w.valueOf(v.Index(i)) })
	case reflect.Invalid:
		return ast.NullValue, nil
	}
	return nil, fmt.Errorf("a value of type %s has no place in an input", v.Type())
}

var numberType = reflect.TypeFor[json.Number]()

// anyValue is valueOf for what encoding/json decodes, and maps of strings: most of an API
// definition. Reflection would allocate each key and value of a map once more.
func (w *writer) anyValue(x any) (ast.Value, error) {
	switch x := x.(type) {
	case nil:
		return ast.NullValue, nil
	case string:
		return ast.InternedValue(valid(x)), nil
	case bool:
		return ast.InternedValue(x), nil
	case json.Number:
		return ast.InterfaceToValue(x)
	case map[string]string:
		return mapValue(x, func(text string) (ast.Value, error) { return ast.InternedValue(valid(text)), nil })
	case map[string]any:
		return mapValue(x, w.anyValue)
	case []any:
		if x == nil {
			return ast.NullValue, nil
		}
		return listValue(len(x), func(i int) (ast.Value, error) { return w.anyValue(x[i]) })
	}
	v := reflect.ValueOf(x)
	if v.Kind() == reflect.Map {
		return nil, fmt.Errorf("a value of type %s has no place in an input", v.Type())
	}
	return w.valueOf(v)
}

func listValue(n int, valueOf func(i int) (ast.Value, error)) (ast.Value, error) {
	terms, block := make([]*ast.Term, n), make([]ast.Term, n)
	for i := range terms {
		v, err := valueOf(i)
		if err != nil {
			return nil, err
		}
		block[i].Value, terms[i] = v, &block[i]
	}
	return ast.NewArray(terms...), nil
}

func mapValue[V any](m map[string]V, valueOf func(V) (ast.Value, error)) (ast.Value, error) {
	if m == nil {
		return ast.NullValue, nil
	}
	pairs, block := make([][2]*ast.Term, 0, len(m)), make([][2]ast.Term, len(m))
	for k, x := range m {
		v, err := valueOf(x)
		if err != nil {
			return nil, err
		}
		terms := &block[len(pairs)]
		terms[0].Value, terms[1].Value = ast.InternedValue(valid(k)), v
		pairs = append(pairs, [2]*ast.Term{&terms[0], &terms[1]})
	}
	return ast.NewObject(pairs...), nil
}

// valid does what encoding/json does with bytes that are not UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (w *writer) structValue(v reflect.Value) (ast.Value, error) {
	fields := w.fieldsOf(v.Type())
	pairs, block := make([][2]*ast.Term, 0, len(fields)), make([]ast.Term, len(fields))
	for i, f := range fields {
		if f.omitEmpty && isEmpty(v.Field(i)) {
			continue
		}
		x, err := w.valueOf(v.Field(i))
		if err != nil {
			return nil, err
		}
		block[i].Value = x
		pairs = append(pairs, [2]*ast.Term{f.key, &block[i]})
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
