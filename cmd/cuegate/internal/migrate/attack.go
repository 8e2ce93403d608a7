package migrate

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// attack gives the template values that mean something to JSON. What should come of
// each is known from a value of the same length that means nothing: the same, with the
// one text in place of the other.
func (p *prover) attack(g *generator) {
	best := 0
	for _, variable := range slices.Sorted(maps.Keys(p.sources.vars)) {
		for _, text := range hostile {
			base, harmless, plain := p.harmless(g, variable, len(text))
			if plain == nil || !mentionsText(plain, harmless) {
				continue // the variable is not used
			}
			p.Hostile++
			right := replaced(plain, harmless, text).(map[string]any)
			in := spoil(base, variable, text)
			was, oldErr := p.old(in)
			is, newErr := p.new(in, nil)
			if oldErr == nil && (reflect.DeepEqual(was, right) || newErr == nil && reflect.DeepEqual(was, is)) {
				continue
			}
			p.Corrupted++
			var refusal *engine.TemplateRefusal
			switch {
			case errors.As(newErr, &refusal):
				p.Refused++
			case newErr == nil && reflect.DeepEqual(is, right):
				p.Right++
			case p.escapes && newErr == nil:
				// html or urlquery stand between, and there is nothing to compare with.
				p.Unjudged++
			}
			if rank := severity(was, right, oldErr); rank > best {
				best = rank
				p.Example = fmt.Sprintf(".%s = %s: %s", variable, strconv.Quote("..."+text), damage(was, right, oldErr))
			}
		}
	}
}

// harmless finds a route, a text of so many bytes that means nothing to JSON and stands
// nowhere in what the original gives, and what it gives with the text in the variable.
func (p *prover) harmless(g *generator, variable string, length int) (engine.TemplateInput, string, map[string]any) {
	for range maxTries {
		in := g.route()
		before, err := p.old(in)
		if err != nil {
			continue
		}
		for _, sign := range strings.Split("^|~`!;@m", "") {
			text := strings.Repeat(sign, length)
			if mentionsText(before, sign) {
				continue
			}
			if plain, err := p.old(spoil(in, variable, text)); err == nil {
				return in, text, plain
			}
		}
	}
	return engine.TemplateInput{}, "", nil
}

func mentionsText(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return mentionsText(x, text) })
	case map[string]any:
		for k, x := range v {
			if strings.Contains(k, text) || mentionsText(x, text) {
				return true
			}
		}
	}
	return false
}

// replaced puts a text in place of another, in all texts and keys.
func replaced(v any, from, to string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, from, to)
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = replaced(x, from, to)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[strings.ReplaceAll(k, from, to)] = replaced(x, from, to)
		}
		return out
	}
	return v
}

// severity orders examples: a lock that is open, another change, no JSON.
func severity(was, right map[string]any, err error) int {
	switch {
	case err != nil:
		return 1
	case was["use_keyless"] != right["use_keyless"]:
		return 3
	}
	return 2
}

// damage says what the original made. Texts are not repeated: they may be secrets.
func damage(was, right map[string]any, err error) string {
	if err != nil {
		return "the original gives no JSON"
	}
	var all []string
	for _, path := range differences(right, was) {
		a, b := at(right, path), at(was, path)
		switch {
		case b == nil:
			all = append(all, dotted(path)+" is gone")
		case a == nil:
			all = append(all, dotted(path)+" is new")
		case isScalar(a) && isScalar(b):
			all = append(all, fmt.Sprintf("%s is %v, not %v", dotted(path), b, a))
		default:
			all = append(all, dotted(path)+" is changed")
		}
	}
	slices.SortStableFunc(all, func(a, b string) int {
		return strings.Compare(firstOf(a), firstOf(b))
	})
	if len(all) > 3 {
		all = append(all[:3], "...")
	}
	return "in the original " + strings.Join(all, ", ")
}

// firstOf sorts what is said of use_keyless before all else.
func firstOf(text string) string {
	if strings.HasPrefix(text, "use_keyless ") {
		return "0"
	}
	return "1"
}

func isScalar(v any) bool {
	_, ok := v.(bool)
	return ok
}

// differences are the paths at which two documents differ.
func differences(a, b map[string]any) [][]string {
	seen := map[string]bool{}
	var all [][]string
	look := func(one, other map[string]any) {
		eachLeaf(nil, one, func(path []string, v any) {
			if key := dotted(path); !seen[key] && !reflect.DeepEqual(v, at(other, path)) && len(path) > 0 {
				seen[key] = true
				all = append(all, path)
			}
		})
	}
	look(a, b)
	look(b, a)
	slices.SortFunc(all, func(a, b []string) int { return slices.Compare(a, b) })
	return all
}

// describeInput names what a route is made of.
func describeInput(in engine.TemplateInput) string {
	return fmt.Sprintf(".Name=%q .ListenPath=%q .HostName=%q .GatewayTags=%q, %d certificates", in.Name, in.Path, in.Host, in.Tags, len(in.Certificates))
}

// describeDifference says at which paths the conversion differs from the original.
func describeDifference(want, got map[string]any, err error) string {
	if err != nil {
		return "the conversion gives nothing: " + err.Error()
	}
	var paths []string
	for _, path := range differences(want, got) {
		paths = append(paths, dotted(path))
	}
	if len(paths) > 5 {
		paths = append(paths[:5], "...")
	}
	return "these differ: " + strings.Join(paths, ", ")
}
