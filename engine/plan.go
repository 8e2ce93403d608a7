package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Rules of a plan
//
//	wanted, not live                       create
//	wanted, live with another hash         update
//	wanted, live with the same hash        nothing
//	live, its object is held               nothing: the last good stays
//	live, its object is gone or ignored    delete
//
// Of two definitions that cannot both be served as they should (contest.go), the one
// of the older object is (then by namespace and name); the other is in conflict, and
// deleted where it is live. What is kept for a held object stands by its claim.

// Live is a definition that the gateway serves and that carries our mark.
type Live struct {
	ID    string
	Owner Ref
	// Match, Listen and Hash are as in Definition.
	Match  string
	Listen string
	Hash   string
	// Certificates are the ids in the mark: those that come from Secrets.
	Certificates []string
}

// ListenOf gives what Definition.Listen is, of a definition as the gateway gives it.
func ListenOf(definition []byte) string {
	at := gjson.GetManyBytes(definition, "config_data."+markKey+".scope", "domain", "proxy.listen_path")
	return listenAs(at[0].String(), at[1].String(), at[2].String())
}

// ParseLive reads a definition as the gateway gives it. ok is false when it does
// not carry the mark of the cluster: then it is not ours.
func ParseLive(clusterID string, definition []byte) (l Live, ok bool) {
	m := gjson.GetBytes(definition, "config_data."+markKey)
	if !m.IsObject() || m.Get("cluster").String() != clusterID {
		return Live{}, false
	}
	owner, err := ParseRef(m.Get("owner").String())
	if err != nil {
		return Live{}, false
	}
	var certificates []string
	for _, id := range m.Get("certificates").Array() {
		certificates = append(certificates, id.String())
	}
	return Live{
		ID:     gjson.GetBytes(definition, "api_id").String(),
		Owner:  owner,
		Match:  m.Get("match").String(),
		Listen: ListenOf(definition),
		Hash:   m.Get("hash").String(),

		Certificates: certificates,
	}, true
}

// Action is what a Change does.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one call to make.
type Change struct {
	Action Action
	ID     string
	Owner  Ref
	// JSON is the definition; nil for a Delete.
	JSON []byte
}

// Plan is what is to be done, in order: deletes, updates, creates, each by ID.
// Deletes come first so that a route that moves never meets itself.
type Plan struct {
	Changes []Change
	// Unchanged counts live definitions that stay as they are.
	Unchanged int
}

// Conflict is a definition that is not served because another is.
type Conflict struct {
	Object Ref
	Field  string
	ID     string
	// Winner is the object that is served, WinnerID its definition.
	Winner   Ref
	WinnerID string
	Reason   Reason
}

// MakePlan compares what all objects want with what the gateway serves now. live
// holds only definitions of ours.
func MakePlan(want []Desired, live []Live) (Plan, []Conflict) {
	c := newContest(len(live))
	held := map[Ref][]Live{}
	for _, d := range want {
		if d.Outcome == Held {
			held[d.Object] = nil
		}
	}
	for _, l := range live {
		if kept, ok := held[l.Owner]; ok {
			held[l.Owner] = append(kept, l)
		}
	}
	for _, d := range byAge(want) {
		for i := range d.Definitions {
			c.enter(wantedContender(d, &d.Definitions[i]))
		}
		for _, l := range held[d.Object] {
			c.enter(&contender{owner: d.Object, created: d.Created, id: l.ID, hash: l.Hash, match: l.Match, listen: l.Listen})
		}
	}
	return c.plan(live), c.conflicts
}

func (c *contest) plan(live []Live) Plan {
	var p Plan
	seen := make(map[string]bool, len(live))
	for _, l := range live {
		if seen[l.ID] {
			continue
		}
		seen[l.ID] = true
		switch x, ok := c.serve[l.ID]; {
		case !ok:
			p.Changes = append(p.Changes, Change{Action: Delete, ID: l.ID, Owner: l.Owner})
		case x.def != nil && (x.hash != l.Hash || x.def.Listen != l.Listen):
			p.Changes = append(p.Changes, Change{Action: Update, ID: l.ID, Owner: x.owner, JSON: x.def.JSON})
		default:
			p.Unchanged++
		}
	}
	for id, x := range c.serve {
		if !seen[id] && x.def != nil {
			p.Changes = append(p.Changes, Change{Action: Create, ID: id, Owner: x.owner, JSON: x.def.JSON})
		}
	}
	slices.SortFunc(p.Changes, func(a, b Change) int {
		if d := actionOrder[a.Action] - actionOrder[b.Action]; d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return p
}

var actionOrder = map[Action]int{Delete: 0, Update: 1, Create: 2}

// byAge orders objects by creation time, the oldest first.
func byAge(want []Desired) []*Desired {
	type aged struct {
		created time.Time
		index   int
	}
	ages := make([]aged, len(want))
	for i, d := range want {
		// An unreadable time counts as none.
		t, _ := time.Parse(time.RFC3339, d.Created)
		ages[i] = aged{t, i}
	}
	slices.SortFunc(ages, func(a, b aged) int {
		x, y := want[a.index].Object, want[b.index].Object
		if older(a.created, x, b.created, y) {
			return -1
		}
		return 1
	})
	sorted := make([]*Desired, len(want))
	for i, a := range ages {
		sorted[i] = &want[a.index]
	}
	return sorted
}
