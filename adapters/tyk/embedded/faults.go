package embedded

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"time"
)

// FaultSettings are what goes wrong with the control API. A share is the part of
// calls, from 0 to 1, that it happens to.
type FaultSettings struct {
	// Latency is how long each call waits first.
	Latency time.Duration
	// ErrorShare is answered with 500 and does nothing.
	ErrorShare float64
	// DropShare has its connection closed without an answer: half of these calls
	// before they do anything, half after they did it.
	DropShare float64
	// LostWriteShare of the writes is answered with 200 and writes nothing.
	LostWriteShare float64
	// LostReloads is how many reloads, plain or of the group, will answer 200 and
	// do nothing.
	LostReloads int
	// Seed of what chooses. The choice begins anew when it changes.
	Seed uint64
}

// Faults are safe to change at any time. Without any change nothing goes wrong.
type Faults struct {
	mu  sync.Mutex
	now FaultSettings
	rng *rand.Rand
}

// Set changes the settings.
func (f *Faults) Set(change func(*FaultSettings)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seed := f.now.Seed
	change(&f.now)
	if f.rng == nil || seed != f.now.Seed {
		f.rng = rand.New(rand.NewPCG(f.now.Seed, 0))
	}
}

// fate is what happens to one call.
type fate struct {
	latency               time.Duration
	fail                  bool
	dropBefore, dropAfter bool
	loseWrite             bool
}

func (f *Faults) draw() fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng == nil {
		return fate{}
	}
	// All are drawn always, so that a share does not change what others meet.
	fail, drop, late, lost := f.rng.Float64(), f.rng.Float64(), f.rng.IntN(2) == 1, f.rng.Float64()
	dropped := drop < f.now.DropShare
	return fate{
		latency:    f.now.Latency,
		fail:       fail < f.now.ErrorShare,
		dropBefore: dropped && !late,
		dropAfter:  dropped && late,
		loseWrite:  lost < f.now.LostWriteShare,
	}
}

func (f *Faults) loseReload() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now.LostReloads <= 0 {
		return false
	}
	f.now.LostReloads--
	return true
}

// wait sleeps, unless the client goes first.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// calls counts calls of the control API.
type calls struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *calls) add(pattern string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[pattern]++
}

func (c *calls) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := map[string]int{}
	maps.Copy(counts, c.n)
	return counts
}

func (c *calls) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.n)
}
