package template

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	cuejson "cuelang.org/go/encoding/json"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

// ObjectFault is one thing that a bundle's schema does not let an object be.
type ObjectFault struct {
	// Path of the field in the object, by its keys.
	Path []string
	// Message says what the schema wants, without the value: "must be a string, not a whole number".
	Message string
	// Doc is the comment on the field in the schema, on one line.
	Doc string
	// At is the place in the schema; without a file where it is not known.
	At problem.Problem
}

// AsksOf tells whether the bundle asks anything of objects of a kind.
func (s *Set) AsksOf(kind string) bool {
	if s.objects == nil {
		return false
	}
	_, asks := s.objects.kinds[kind]
	return asks
}

// CheckObject holds an object, a JSON text, to the bundle's schema of its kind. The
// caller must not change what it gets.
func (s *Set) CheckObject(kind string, object []byte) ([]ObjectFault, error) {
	if !s.AsksOf(kind) {
		return nil, nil
	}
	o := s.objects
	key := sha256.Sum256(append([]byte(kind+"\x00"), object...))
	if known, ok := o.faults.get(key); ok {
		return known, nil
	}
	faults, err := o.check(kind, object)
	if err == nil {
		o.faults.put(key, faults)
	}
	return faults, err
}

func (o *objects) check(kind string, object []byte) ([]ObjectFault, error) {
	object = bytes.ReplaceAll(object, []byte("\ufeff"), []byte(`\ufeff`))
	expr, err := cuejson.Extract("object", object)
	if err != nil {
		return nil, err
	}
	var hidden keys
	if !o.set.tellsKeys {
		hidden = o.set.hide(expr)
	}
	value := o.ctx.BuildExpr(expr)
	held := o.kinds[kind].Unify(value)
	err = held.Validate(cue.Concrete(true))
	if err == nil {
		return nil, nil
	}
	var faults []ObjectFault
	seen := map[string]int{}
	alternatives := map[string]bool{}
	for _, e := range errors.Errors(errors.Sanitize(errors.Promote(err, ""))) {
		at := e.Path()
		if len(at) > 0 && at[0] == "#"+kind {
			at = at[1:]
		}
		field := strings.Join(at, "\x00")
		// This merely announces what none of the alternatives takes.
		if format, _ := e.Msg(); strings.Contains(format, "empty disjunction") {
			alternatives[field] = true
			continue
		}
		f := o.fault(e, at, held, value)
		for i, key := range f.Path {
			f.Path[i] = hidden.reveal(key)
		}
		f.Message = hidden.reveal(f.Message)
		i, again := seen[field]
		switch {
		case !again:
			seen[field] = len(faults)
			faults = append(faults, f)
		case alternatives[field] && !strings.HasSuffix(faults[i].Message, strings.TrimPrefix(f.Message, "must be ")):
			faults[i].Message += " or " + strings.TrimPrefix(f.Message, "must be ")
		}
		// Else one cause makes several errors.
	}
	return faults, nil
}

func (o *objects) fault(e errors.Error, at []string, held, value cue.Value) ObjectFault {
	var f ObjectFault
	var sels []cue.Selector
	for _, label := range at {
		if n, err := strconv.Atoi(label); err == nil {
			sels = append(sels, cue.Index(n))
			f.Path = append(f.Path, label)
			continue
		}
		if key, err := literal.Unquote(label); err == nil {
			label = key
		}
		sels = append(sels, cue.Str(label))
		f.Path = append(f.Path, label)
	}
	p := cue.MakePath(sels...)
	given := value.LookupPath(p)
	f.Message = wants(e, given)
	f.Doc = doc(held, sels)
	for _, pos := range append(e.InputPositions(), e.Position()) {
		if at := position(pos); at.File != "object" && rank(at) > rank(f.At) {
			f.At = at
		}
	}
	return f
}

// doc gives the comment on a field, which may not be there.
func doc(v cue.Value, sels []cue.Selector) string {
	for i, sel := range sels {
		if i+1 == len(sels) {
			sel = sel.Optional()
		}
		next := v.LookupPath(cue.MakePath(sel))
		if !next.Exists() && i+1 == len(sels) {
			next = required(v, sel)
		}
		v = next
	}
	var words []string
	for _, g := range v.Doc() {
		words = append(words, strings.Fields(g.Text())...)
	}
	return strings.Join(words, " ")
}

// required finds a field that has to be there and is not.
func required(v cue.Value, sel cue.Selector) cue.Value {
	it, err := v.Fields(cue.All())
	for err == nil && it.Next() {
		if it.Selector().IsString() && sel.IsString() && it.Selector().Unquoted() == sel.Unquoted() {
			return it.Value()
		}
	}
	return cue.Value{}
}

var (
	beyond     = regexp.MustCompile(`(?s)^invalid value .* \(out of bound (.*)\)$`)
	unfit      = regexp.MustCompile(`(?s)^invalid value .* \(does not satisfy (.*?)\)(?:: .*)?$`)
	mistyped   = regexp.MustCompile(`(?s)^conflicting values .* \(mismatched types ([\w|()]+) and ([\w|()]+)\)$`)
	incomplete = regexp.MustCompile(`(?s)^incomplete value (.*)$`)
	conflict   = regexp.MustCompile(`(?s)^conflicting values .*$`)
	// verbs stand in a message of CUE for values.
	verbs = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)
)

// kindWords are what people who write YAML call the kinds of CUE.
var kindWords = strings.NewReplacer("struct", "an object", "string", "a string", "bool", "true or false", "int", "a whole number", "float", "a number", "number", "a number",
	"list", "a list", "|", " or ", "(", "", ")", "")

// wants says what the schema wants. The value is left out: it may be a secret.
func wants(e errors.Error, given cue.Value) string {
	format, args := e.Msg()
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), root, "")
	switch {
	case strings.HasPrefix(text, "field is required"):
		return "is required"
	case text == "field not allowed":
		return "is not allowed"
	}
	if m := beyond.FindStringSubmatch(text); m != nil {
		for op, says := range map[string]string{"=~": "must match ", "!~": "must not match "} {
			if pattern, ok := strings.CutPrefix(m[1], op); ok {
				return says + pattern
			}
		}
		return "must be " + m[1]
	}
	if m := unfit.FindStringSubmatch(text); m != nil {
		return "must satisfy " + m[1]
	}
	if m := mistyped.FindStringSubmatch(text); m != nil {
		want, got := m[1], m[2]
		if given.Exists() && given.Kind().String() == m[1] {
			want, got = m[2], m[1]
		}
		return fmt.Sprintf("must be %s, not %s", kindWords.Replace(want), kindWords.Replace(got))
	}
	if m := incomplete.FindStringSubmatch(text); m != nil && !given.Exists() {
		return "is required, and must be " + m[1]
	}
	if !conflict.MatchString(text) {
		if len(args) == 0 || format == "%s" || strings.HasPrefix(format, "error in call to ") {
			return text // what the schema itself says, or the name of a function
		}
		return verbs.ReplaceAllString(format, "...")
	}
	// One of both is the value, and the other what the schema wants.
	here := fmt.Sprint(given)
	args = slices.DeleteFunc(slices.Clone(args), func(arg any) bool { return fmt.Sprint(arg) == here })
	if len(args) == 1 {
		return fmt.Sprintf("must be %v", args[0])
	}
	return "must have the value that the schema fixes"
}
