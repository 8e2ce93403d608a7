package template

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The shape of a route is all that a plain template can know of it: which of its
// texts are equal, which are spelled in the bundle, what is there at all, and the
// numbers. In it, the texts that the bundle does not spell are atoms, numbered in
// the order in which they are met.

// leaf is a field of In that holds no further ones.
type leaf struct {
	path string
	// at gives a *string, *int, *[]string or *map[string]string.
	at func(*In) any
}

var leaves = []leaf{
	{"id", func(in *In) any { return &in.ID }},
	{"org", func(in *In) any { return &in.Org }},
	{"role", func(in *In) any { return &in.Role }},
	{"name", func(in *In) any { return &in.Name }},
	{"slug", func(in *In) any { return &in.Slug }},
	{"object.kind", func(in *In) any { return &in.Object.Kind }},
	{"object.namespace", func(in *In) any { return &in.Object.Namespace }},
	{"object.name", func(in *In) any { return &in.Object.Name }},
	{"object.labels", func(in *In) any { return &in.Object.Labels }},
	{"object.annotations", func(in *In) any { return &in.Object.Annotations }},
	{"namespace.name", func(in *In) any { return &in.Namespace.Name }},
	{"namespace.labels", func(in *In) any { return &in.Namespace.Labels }},
	{"host", func(in *In) any { return &in.Host }},
	{"domain", func(in *In) any { return &in.Domain }},
	{"path", func(in *In) any { return &in.Path }},
	{"pathType", func(in *In) any { return &in.PathType }},
	{"listenPath", func(in *In) any { return &in.ListenPath }},
	{"service.name", func(in *In) any { return &in.Service.Name }},
	{"service.namespace", func(in *In) any { return &in.Service.Namespace }},
	{"service.port", func(in *In) any { return &in.Service.Port }},
	{"target", func(in *In) any { return &in.Target }},
	{"tags", func(in *In) any { return &in.Tags }},
	{"certificates", func(in *In) any { return &in.Certificates }},
}

// usedLeaves are those that a bundle may look at.
func usedLeaves(used map[string]bool) []leaf {
	return slices.DeleteFunc(slices.Clone(leaves), func(l leaf) bool {
		for path := range used {
			if path == "" || isWithin(path, l.path) || isWithin(l.path, path) {
				return false
			}
		}
		return true
	})
}

func isWithin(path, whole string) bool {
	rest, ok := strings.CutPrefix(path, whole)
	return ok && (rest == "" || rest[0] == '.')
}

// atomMark begins the text that stands for an atom. A bundle that spells it has no
// plain templates.
const atomMark = "cuegate~atom~"

func atomText(n int) string { return atomMark + strconv.Itoa(n) + "~" }

// shaper finds the shape of a route.
type shaper struct {
	spelled map[string]bool
	// keys of the values: CUE may see them as texts.
	keys    map[string]bool
	atoms   []string
	numbers map[string]int
	key     []byte
	odd     bool
}

// text adds a text to the shape and gives what stands for it.
func (s *shaper) text(t string) string {
	if s.spelled[t] || s.keys[t] {
		s.key = append(s.key, '=')
		s.key = strconv.AppendInt(s.key, int64(len(t)), 10)
		s.key = append(append(s.key, ':'), t...)
		return t
	}
	n, ok := s.numbers[t]
	if !ok {
		n = len(s.atoms)
		s.numbers[t] = n
		s.atoms = append(s.atoms, t)
		// CUE may take it for another one.
		s.odd = s.odd || !utf8.ValidString(t)
	}
	s.key = append(s.key, '~')
	s.key = strconv.AppendInt(s.key, int64(n), 10)
	return atomText(n)
}

func (s *shaper) mark(c byte, n int) {
	s.key = append(s.key, c)
	s.key = strconv.AppendInt(s.key, int64(n), 10)
}

// route adds fields of in to the shape, and sets them in out as their shape is.
func (s *shaper) route(in *In, used []leaf, out *In) {
	for _, l := range used {
		switch from := l.at(in).(type) {
		case *string:
			*l.at(out).(*string) = s.text(*from)
		case *int:
			s.mark('#', *from)
			*l.at(out).(*int) = *from
		case *[]string:
			s.mark('[', len(*from))
			list := make([]string, len(*from))
			for i, t := range *from {
				list[i] = s.text(t)
			}
			*l.at(out).(*[]string) = list
		case *map[string]string:
			*l.at(out).(*map[string]string) = s.labels(*from)
		}
	}
}

func (s *shaper) labels(from map[string]string) map[string]string {
	s.mark('{', len(from))
	out := make(map[string]string, len(from))
	names := make([]string, 0, len(from))
	for k := range from {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		s.mark('k', len(k))
		s.key = append(append(s.key, ':'), k...)
		out[k] = s.text(from[k])
	}
	return out
}

// value adds what a closed expression gave, and gives it as its shape is.
func (s *shaper) value(v any) any {
	switch v := v.(type) {
	case string:
		return s.text(v)
	case int:
		s.mark('#', v)
	case bool:
		s.key = strconv.AppendBool(s.key, v)
	case []any:
		s.mark('[', len(v))
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = s.value(x)
		}
		return list
	}
	return v
}

// values adds a JSON object, and gives it with the texts as their shape is. The keys
// have been noted before.
func (s *shaper) values(data []byte) []byte {
	var out []byte
	eachText(data, func(between, text []byte, isKey bool) {
		out = append(out, between...)
		s.key = append(s.key, between...)
		if isKey || text == nil {
			out, s.key = append(out, text...), append(s.key, text...)
			return
		}
		out = appendText(out, s.text(s.unquote(text)))
	})
	return out
}

// noteKeys notes the keys of a JSON object.
func (s *shaper) noteKeys(data []byte) {
	eachText(data, func(_, text []byte, isKey bool) {
		if isKey {
			if s.keys == nil {
				s.keys = map[string]bool{}
			}
			s.keys[s.unquote(text)] = true
		}
	})
}

// unquote decodes a JSON string. What Go and CUE may read differently is odd.
func (s *shaper) unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		s.odd = s.odd || !utf8.Valid(quoted)
		return string(quoted[1 : len(quoted)-1])
	}
	var t string
	if err := json.Unmarshal(quoted, &t); err != nil {
		s.odd = true
	}
	s.odd = s.odd || strings.ContainsRune(t, utf8.RuneError)
	return t
}

// eachText cuts valid JSON into its strings, quotes included, and what stands before
// each of them. At the end there is no text.
func eachText(data []byte, visit func(between, text []byte, isKey bool)) {
	for {
		i := bytes.IndexByte(data, '"')
		if i < 0 {
			visit(data, nil, false)
			return
		}
		end := i + 1
		for data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		end++
		rest := bytes.TrimLeft(data[end:], " \t\r\n")
		visit(data[:i], data[i:end], len(rest) > 0 && rest[0] == ':')
		data = data[end:]
	}
}

// appendText appends a JSON string as CUE writes it: nothing is escaped for HTML.
func appendText(b []byte, text string) []byte {
	if isSimple(text) {
		return append(append(append(b, '"'), text...), '"')
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		panic(err) // a string always has a form in JSON
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

func isSimple(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			return false
		}
	}
	return true
}
