package migrate

// A document is JSON with conditions, loops and expressions in it. A value is one of
//
//	*object, *array, *textValue
//	*scalar   a number, true, false or null as it is written
//	*printed  an expression whose text is the value
//	*either   one of two values
//	*unable   what cannot be converted
//	*failing  no JSON at all
//
// In an object stand *field, *when, *forEach and *failing; in a list values, *when and
// *forEach; in a text strings, *printed, *when, *forEach and *failing.

type object struct {
	entries []any
	at      place
}

type array struct {
	elems []any
	at    place
}

type textValue struct {
	parts []any
	at    place
}

type scalar struct {
	text string
	at   place
}

type printed struct {
	expr *expr
	at   place
}

type either struct {
	cond *expr
	a, b any
	at   place
}

type unable struct {
	at  place
	why string
}

type failing struct {
	at  place
	why string
}

type field struct {
	key   *textValue
	value any
	at    place
	// step that it begins in.
	step int
}

// when is a where the condition holds, and b elsewhere.
type when struct {
	cond *expr
	a, b []any
	at   place
	// step of the if.
	step int
}

// forEach is its body once for each element.
type forEach struct {
	loop *loop
	body []any
	at   place
}

// constant gives the text of a string without actions.
func (t *textValue) constant() (string, bool) {
	all := ""
	for _, p := range t.parts {
		s, ok := p.(string)
		if !ok {
			return "", false
		}
		all += s
	}
	return all, true
}
