package tyk

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// differences lists the paths, with "." between keys, at which live does not hold
// what we wrote. A gateway gives a definition back with every field that it knows,
// so what is in live alone does not count, and a value that is nothing ("", 0,
// false, an empty list) is the same as none.
func differences(written, live []byte) []string {
	var a any
	if decodeNumbers(written, &a) != nil || !gjson.ValidBytes(live) {
		return []string{""}
	}
	var c comparison
	c.compare(a, likeWritten(a, gjson.ParseBytes(live)))
	slices.Sort(c.found)
	return c.found
}

// likeWritten decodes of what is live only what was written: the rest is ten times as
// much.
func likeWritten(written any, live gjson.Result) any {
	if m, ok := written.(map[string]any); ok && live.IsObject() {
		part := make(map[string]any, len(m))
		live.ForEach(func(key, value gjson.Result) bool {
			if w, ok := m[key.String()]; ok {
				part[key.String()] = likeWritten(w, value)
			}
			return true
		})
		return part
	}
	switch live.Type {
	case gjson.String:
		return live.String()
	case gjson.Number:
		return json.Number(live.Raw)
	case gjson.True, gjson.False:
		return live.Bool()
	case gjson.JSON:
		var v any
		_ = decodeNumbers([]byte(live.Raw), &v) // it is valid
		return v
	}
	return nil
}

func decodeNumbers(text []byte, into *any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(into)
}

type comparison struct {
	path  []string
	found []string
}

func (c *comparison) compare(a, b any) {
	if isNothing(a) && isNothing(b) {
		return
	}
	switch a := a.(type) {
	case map[string]any:
		m, _ := b.(map[string]any)
		for k, v := range a {
			if isUnread(c.path, k) {
				continue
			}
			c.path = append(c.path, k)
			c.compare(v, m[k])
			c.path = c.path[:len(c.path)-1]
		}
		return
	case []any:
		if l, ok := b.([]any); ok && len(l) == len(a) {
			c.path = append(c.path, "[]")
			for i := range a {
				c.compare(a[i], l[i])
			}
			c.path = c.path[:len(c.path)-1]
			return
		}
	case json.Number:
		if n, ok := b.(json.Number); ok && sameNumber(a, n) {
			return
		}
	case string:
		if s, ok := b.(string); ok && (s == a || sameDuration(a, s)) {
			return
		}
	default:
		if a == b {
			return
		}
	}
	if at := strings.Join(c.path, "."); !slices.Contains(c.found, at) {
		c.found = append(c.found, at)
	}
}

var seed = maphash.MakeSeed()

// textOf is a hash of a definition as it was listed. Another pusher may have touched
// it, which changes nothing.
func textOf(text []byte) uint64 {
	if gjson.GetBytes(text, touchedPath).Exists() {
		if plain, err := sjson.DeleteBytes(text, touchedPath); err == nil {
			text = plain
		}
	}
	return maphash.Bytes(seed, text)
}

// meaningOf is a hash of what a definition says, however it is written.
func meaningOf(text []byte) uint64 {
	plain, err := sjson.DeleteBytes(text, touchedPath)
	if err != nil {
		plain = text
	}
	return meaning(gjson.ParseBytes(plain))
}

// meaning hashes a value; the order of the keys of an object does not count.
func meaning(v gjson.Result) uint64 {
	var h uint64
	switch {
	case v.IsObject():
		h = 1 // {} is not []
		v.ForEach(func(key, value gjson.Result) bool {
			h += maphash.Comparable(seed, [2]uint64{maphash.String(seed, key.String()), meaning(value)})
			return true
		})
	case v.IsArray():
		v.ForEach(func(_, value gjson.Result) bool {
			h = maphash.Comparable(seed, [2]uint64{h, meaning(value)})
			return true
		})
	case v.Type == gjson.String:
		h = maphash.String(seed, v.Str)
	default:
		return maphash.String(seed, v.Raw)
	}
	return maphash.Comparable(seed, [2]uint64{uint64(v.Type) + 1, h})
}

// isNothing tells whether a value is what a gateway puts where there was none.
func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		return sameNumber(v, "0")
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, x := range v {
			if !isNothing(x) {
				return false
			}
		}
		return true
	}
	return false
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) == 0
}

// sameDuration: a gateway writes "60s" as "1m0s".
func sameDuration(a, b string) bool {
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	return errX == nil && errY == nil && x == y
}

// unread are fields that exports of the Dashboard carry and that a gateway drops
// (Tyk Gateway v5.11.1).
var unread = []string{
	"is_site", "check_host_against_uptime_tests", "disable_expire_analytics", "session_lifetime_disabled",
	"jwt_disable_issued_at_validation", "jwt_disable_expires_at_validation", "jwt_disable_not_before_validation", "hook_references",
}

func isUnread(at []string, key string) bool {
	switch {
	case len(at) == 0:
		return slices.Contains(unread, key)
	case key == "fromDashboard":
		return slices.Contains(at, "extended_paths")
	}
	return key == "_sd_show_port_path" && slices.Equal(at, []string{"proxy", "service_discovery"})
}
