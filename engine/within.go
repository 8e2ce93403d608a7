package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// isWithin tells whether what we want of an element of a pod is present, whatever others
// have added to it: the API server its defaults, somebody a variable. key is that of the
// object that holds both, "" at the top.
func isWithin(wanted, have any, key string) bool {
	switch w := wanted.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return len(w) == 0 && have == nil && droppedEmpty[key]
		}
		for k, v := range w {
			if quantities[key] || quantities[k] && !isObject(v) {
				if !sameQuantity(v, h[k]) {
					return false
				}
			} else if !isWithin(v, h[k], k) {
				return false
			}
		}
		return true
	case []any:
		h, _ := have.([]any)
		return listWithin(w, h, key)
	case string:
		return w == have || w == "" && have == nil
	case bool:
		return w == have || !w && have == nil && droppedFalse[key]
	case json.Number:
		n, ok := have.(json.Number)
		if of, defaulted := probeDefaults[key]; defaulted && w == "0" {
			return n == w || n == of || have == nil
		}
		return ok && n == w
	}
	return wanted == nil && have == nil
}

// What the API server makes of values that say nothing.
var (
	// droppedEmpty are objects that it leaves out where they are empty.
	droppedEmpty = map[string]bool{"resources": true, "limits": true, "requests": true}
	// droppedFalse are fields that it leaves out where they are false; most tell false
	// from nothing.
	droppedFalse = map[string]bool{"readOnly": true}
	// probeDefaults are what it writes in place of 0.
	probeDefaults = map[string]json.Number{"initialDelaySeconds": "0", "timeoutSeconds": "1", "periodSeconds": "10", "successThreshold": "1", "failureThreshold": "3"}
	// quantities are what it writes in another way, "1000m" as "1".
	quantities = map[string]bool{"limits": true, "requests": true, "sizeLimit": true}
)

func isObject(v any) bool { _, ok := v.(map[string]any); return ok }

func sameQuantity(wanted, have any) bool {
	a, err1 := resource.ParseQuantity(fmt.Sprint(wanted))
	b, err2 := resource.ParseQuantity(fmt.Sprint(have))
	return err1 == nil && err2 == nil && a.Cmp(b) == 0
}

// listKeys are what tells the elements of a list apart.
var listKeys = map[string]func(map[string]any) any{
	"env":          func(e map[string]any) any { return e["name"] },
	"volumeMounts": func(e map[string]any) any { return e["mountPath"] },
	"items":        func(e map[string]any) any { return e["key"] },
	"envFrom": func(e map[string]any) any {
		prefix, _ := e["prefix"].(string)
		return [3]any{prefix, at(e, "configMapRef", "name"), at(e, "secretRef", "name")}
	},
	"ports": func(e map[string]any) any {
		protocol, _ := e["protocol"].(string)
		return [2]any{e["containerPort"], cmp.Or(protocol, "TCP")}
	},
}

// listWithin: to lists whose elements have keys others may have added; of two with one
// key the last counts, as for variables.
func listWithin(wanted, have []any, key string) bool {
	keyOf, ok := listKeys[key]
	if !ok {
		return slices.EqualFunc(wanted, have, func(w, h any) bool { return isWithin(w, h, "") })
	}
	byKey := map[string]any{}
	for _, h := range have {
		if h, ok := h.(map[string]any); ok {
			byKey[fmt.Sprint(keyOf(h))] = h
		}
	}
	for _, w := range wanted {
		w, ok := w.(map[string]any)
		if !ok || !isWithin(w, byKey[fmt.Sprint(keyOf(w))], "") {
			return false
		}
	}
	return true
}
