package dashboardtest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// The state of the database. What it points to is never changed, only replaced,
// so that a clone is cheap and answers can be written without the lock.
type state struct {
	apis         []*api // oldest first
	certificates []*certificate
	made         int // how many definitions were ever made

	organisations []Organisation
	users         []*User
	people        int // how many organisations and users were ever made
	keys          int // how many access keys
}

// An api is a row of the database.
type api struct {
	id          string // 24 hexadecimal digits, given by the database
	number      int    // of the definitions that were ever made
	def         definition
	owners      []string
	groupOwners []string
}

func (s *state) clone() state {
	c := *s
	c.apis, c.certificates = slices.Clone(s.apis), slices.Clone(s.certificates)
	c.organisations, c.users = slices.Clone(s.organisations), slices.Clone(s.users)
	return c
}

// add gives the definition an id in the database, and an api_id if it has none.
func (s *state) add(a api) *api {
	s.made++
	a.number = s.made
	a.id = databaseID(s.made)
	if a.def.text(fieldAPIID) == "" {
		a.def.set(fieldAPIID, ownAPIID(a.id))
	}
	a.def.set(fieldID, a.id)
	s.apis = append(s.apis, &a)
	return &a
}

func (s *state) replace(old *api, a api) {
	a.def.set(fieldID, a.id)
	s.apis[slices.Index(s.apis, old)] = &a
}

func (s *state) remove(a *api) {
	s.apis = slices.DeleteFunc(s.apis, func(b *api) bool { return b == a })
}

// find looks for a definition by either of its ids.
func (s *state) find(id string) *api {
	for _, a := range s.apis {
		if a.id == id {
			return a
		}
	}
	return s.byAPIID(id)
}

func (s *state) byAPIID(id string) *api {
	for _, a := range s.apis {
		if a.apiID() == id {
			return a
		}
	}
	return nil
}

// definitions are all there are, sorted by api_id.
func (s *state) definitions() []json.RawMessage {
	sorted := slices.SortedFunc(slices.Values(s.apis), func(a, b *api) int {
		return cmp.Compare(a.apiID(), b.apiID())
	})
	var all []json.RawMessage
	for _, a := range sorted {
		text, _ := json.Marshal(a.def) // it was JSON when it came
		all = append(all, text)
	}
	return all
}

func (a *api) apiID() string { return a.def.text(fieldAPIID) }

// databaseID looks like an ObjectID, and is the same in every run.
func databaseID(number int) string { return fmt.Sprintf("64f0c0de%016x", number) }

// ownAPIID is what a Dashboard calls a definition by itself.
func ownAPIID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// A definition is kept field by field, each as it was sent.
type definition map[string]json.RawMessage

func parseDefinition(text []byte) (definition, error) {
	var def definition
	if err := json.Unmarshal(text, &def); err != nil {
		return nil, fmt.Errorf("reading a definition: %w", err)
	}
	if def == nil {
		return nil, errors.New("reading a definition: it is null")
	}
	return def, nil
}

// text of a field; empty when it is missing or no string.
func (d definition) text(field string) string {
	var s string
	_ = json.Unmarshal(d[field], &s)
	return s
}

func (d definition) set(field, value string) {
	text, _ := json.Marshal(value) // a string always is JSON
	d[field] = text
}
