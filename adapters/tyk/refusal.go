package tyk

import (
	"maps"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// Rules of refusals
//
// A change that the target refused, or that never showed, is not tried again at once:
// after firstRefusal, or firstSilence where the target said nothing, and then twice as
// long each time up to longestRefusal. Another change of the same definition is tried
// at once. A refusal is forgotten when the plan does not ask for the change any more.

// refusal is a change that a target did not take: the same is not tried again for a
// while, longer each time.
type refusal struct {
	hash  string // "" of a delete
	err   error
	tries int
	until time.Time
}

// Pauses between two tries of a refused change, or of one that had no answer.
const (
	firstRefusal   = 10 * time.Second
	firstSilence   = time.Second
	longestRefusal = 10 * time.Minute
)

func (t *target) refuse(j *job) {
	x := t.refused[j.ID]
	if x.hash != j.hash() {
		x = refusal{hash: j.hash()}
	}
	first := firstRefusal
	if isUnreachable(j.err) {
		first = firstSilence
	}
	pause := min(first<<min(x.tries, 10), longestRefusal)
	x.tries++
	x.err, x.until = j.err, t.options.Now().Add(pause)
	t.refused[j.ID] = x
}

// waits tells whether a time is still to come. One too far away is of a clock that
// was set back since.
func (t *target) waits(until time.Time) bool {
	pause := until.Sub(t.options.Now())
	return pause > 0 && pause <= longestRefusal
}

// overdue tells whether something that was refused is to be tried again.
func (t *target) overdue() bool {
	for _, x := range t.refused {
		if !t.waits(x.until) {
			return true
		}
	}
	return false
}

// pardon forgets the refusals of what the plan does not speak of any more.
func (t *target) pardon(plan engine.Plan) {
	planned := make(map[string]bool, len(plan.Changes))
	for _, c := range plan.Changes {
		planned[c.ID] = true
	}
	maps.DeleteFunc(t.refused, func(id string, _ refusal) bool { return !planned[id] })
}
