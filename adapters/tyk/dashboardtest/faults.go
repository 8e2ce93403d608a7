package dashboardtest

import (
	"math/rand/v2"
	"time"
)

// Faults are what goes wrong between a client and the Dashboard. A share is the
// part of the requests that is hit, from 0 to 1.
type Faults struct {
	// Latency is how long every request waits before anything happens to it.
	Latency time.Duration
	// ErrorShare of the requests are answered 500, and have no effect.
	ErrorShare float64
	// DropShare of the requests lose their connection: half of them before they
	// have their effect, half after it.
	DropShare float64
	// LostWriteShare of the writes are answered as if they had succeeded, and have
	// no effect.
	LostWriteShare float64
	// Seed decides which requests are hit, in the order in which they arrive.
	Seed uint64
}

// A fate is what the faults do to one request.
type fate struct {
	latency               time.Duration
	dropBefore, dropAfter bool
	fails, loses          bool
}

// dice draw fates. The zero value draws none that hurts.
type dice struct {
	faults Faults
	random *rand.Rand // nil as long as there are no faults
}

func (d *dice) change(f func(*Faults)) {
	f(&d.faults)
	d.random = rand.New(rand.NewPCG(d.faults.Seed, 0))
}

// draw takes the same count of numbers for every request, so that another share,
// or another kind of request, does not change whom the other faults hit.
func (d *dice) draw(writes bool) fate {
	if d.random == nil {
		return fate{}
	}
	hit := func(share float64) bool { return d.random.Float64() < share }
	drops, early := hit(d.faults.DropShare), hit(0.5)
	fails, loses := hit(d.faults.ErrorShare), hit(d.faults.LostWriteShare)
	return fate{
		latency:    d.faults.Latency,
		dropBefore: drops && early,
		dropAfter:  drops && !early,
		fails:      fails,
		loses:      loses && writes,
	}
}
