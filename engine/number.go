package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/cuegate/cuegate/engine/internal/schema"
)

// maxNumber bounds the text of a number, maxExponent its exponent.
const (
	maxNumber   = 64
	maxExponent = 400
	hugeNumber  = "a number has more than 64 characters, or is beyond what 64 bits of floating point hold"
)

// isHuge tells whether a number is beyond what the gateway reads. In CUE and Rego
// it would become another one, or an error that blames their author.
func isHuge(n json.Number) bool {
	if len(n) > maxNumber {
		return true
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 {
		exponent, err := strconv.Atoi(string(n[i+1:]))
		if err != nil || exponent > maxExponent || exponent < -maxExponent {
			return true
		}
	}
	f, err := n.Float64()
	return err != nil || math.IsInf(f, 0)
}

// hasHuge tells whether such a number stands anywhere in a value.
func hasHuge(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return isHuge(v)
	case map[string]any:
		for _, x := range v {
			if hasHuge(x) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if hasHuge(x) {
				return true
			}
		}
	}
	return false
}

// checkNumbers refuses the value of an annotation with such a number in it.
func checkNumbers(o override) *Reason {
	if !hasHuge(o.value) {
		return nil
	}
	return &Reason{ID: "override-value", Msg: fmt.Sprintf("%s: %s.", clip(schema.Join(o.path)), hugeNumber)}
}
