package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"cuelang.org/go/cue"
)

// check tells whether a decoded JSON scalar (string, bool, json.Number) fits.
type check func(any) bool

// compileCheck compiles the constraint of a scalar.
func compileCheck(v cue.Value) (check, error) {
	op, args := v.Expr()
	switch op {
	case cue.AndOp:
		return combine(args, func(a, b check) check {
			return func(x any) bool { return a(x) && b(x) }
		})
	case cue.OrOp:
		return combine(args, func(a, b check) check {
			return func(x any) bool { return a(x) || b(x) }
		})
	case cue.RegexMatchOp, cue.NotRegexMatchOp:
		return compileMatch(op == cue.RegexMatchOp, args)
	case cue.GreaterThanOp, cue.GreaterThanEqualOp, cue.LessThanOp, cue.LessThanEqualOp, cue.NotEqualOp:
		return compileBound(op, args)
	case cue.SelectorOp:
		return compileCheck(cue.Dereference(v))
	case cue.NoOp:
		if v.IsConcrete() {
			return compileLiteral(v)
		}
		return compileKind(v.IncompleteKind())
	}
	return nil, fmt.Errorf("the constraint %v is not understood", v)
}

func combine(args []cue.Value, join func(a, b check) check) (check, error) {
	var all check
	for _, a := range args {
		c, err := compileCheck(a)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = c
		} else {
			all = join(all, c)
		}
	}
	return all, nil
}

func compileMatch(want bool, args []cue.Value) (check, error) {
	pattern, err := args[len(args)-1].String()
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return func(x any) bool {
		s, ok := x.(string)
		return ok && re.MatchString(s) == want
	}, nil
}

func compileBound(op cue.Op, args []cue.Value) (check, error) {
	arg := args[len(args)-1]
	if s, err := arg.String(); err == nil && op == cue.NotEqualOp {
		return func(x any) bool { return x != s }, nil
	}
	text, err := arg.MarshalJSON()
	if err != nil {
		return nil, err
	}
	bound, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return nil, fmt.Errorf("the bound %s is not a number", text)
	}
	return func(x any) bool {
		n, ok := number(x)
		if !ok {
			return false
		}
		switch c := n.Cmp(bound); op {
		case cue.GreaterThanOp:
			return c > 0
		case cue.GreaterThanEqualOp:
			return c >= 0
		case cue.LessThanOp:
			return c < 0
		case cue.LessThanEqualOp:
			return c <= 0
		default:
			return c != 0
		}
	}, nil
}

func compileLiteral(v cue.Value) (check, error) {
	if s, err := v.String(); err == nil {
		return func(x any) bool { return x == s }, nil
	}
	if b, err := v.Bool(); err == nil {
		return func(x any) bool { return x == b }, nil
	}
	text, err := v.MarshalJSON()
	if err != nil {
		return nil, err
	}
	want, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return nil, fmt.Errorf("the literal %s is not understood", text)
	}
	return func(x any) bool {
		n, ok := number(x)
		return ok && n.Cmp(want) == 0
	}, nil
}

func compileKind(k cue.Kind) (check, error) {
	if k&^(cue.StringKind|cue.BoolKind|cue.NumberKind) != 0 {
		return nil, fmt.Errorf("the kind %s is not understood", k)
	}
	return func(x any) bool {
		switch x := x.(type) {
		case string:
			return k&cue.StringKind != 0
		case bool:
			return k&cue.BoolKind != 0
		case json.Number:
			if k&cue.FloatKind != 0 {
				return true
			}
			return k&cue.IntKind != 0 && isInt(x)
		}
		return false
	}, nil
}

// kindOf is the kind that CUE sees in a decoded JSON scalar.
func kindOf(x any) cue.Kind {
	switch x := x.(type) {
	case string:
		return cue.StringKind
	case bool:
		return cue.BoolKind
	case json.Number:
		if isInt(x) {
			return cue.IntKind
		}
		return cue.FloatKind
	}
	return cue.BottomKind
}

// isInt follows CUE, to which 1.0 and 1e3 are no integers.
func isInt(n json.Number) bool { return !strings.ContainsAny(string(n), ".eE") }

// number bounds the exponent: 1e999999999 would fill the memory.
func number(x any) (*big.Rat, bool) {
	n, ok := x.(json.Number)
	if !ok {
		return nil, false
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 && len(n)-i > 5 {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}
