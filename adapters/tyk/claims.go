package tyk

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Rules of shared certificates
//
// Gateways of one Redis share its certificates, and there is no asking who does. So a
// certificate that one target has no use for any more is removed only when
//
//	nothing that is wanted names it, for whichever target
//	no target names it, in what it has or is about to have
//	it is known of every target what it has
//
// One that a target claims just while another removes it is looked for again. Only one
// at a time puts the certificate with the key in the place of the one without. What a
// sidecar leaves behind is the next one's to remove, as they share a Redis.

// claims are the certificates that the targets of a fleet name.
type claims struct {
	mu      sync.Mutex
	targets map[*target]*claim
	// count is how many targets name an id, and unknown of how many it is not known what
	// they have.
	count   map[string]int
	unknown int
	// left are ids of those that have left.
	left map[string]bool
	// replaced are those that are being replaced; closed when that is over.
	replaced map[string]chan struct{}
}

// claim is what one target names.
type claim struct {
	ids   map[string]bool
	known bool
	// stale: one of them was removed.
	stale bool
	// wake has the target pushed to again; may be nil.
	wake func()
}

func newClaims() *claims {
	return &claims{targets: map[*target]*claim{}, count: map[string]int{}, left: map[string]bool{}, replaced: map[string]chan struct{}{}}
}

// join counts a target of which nothing is known yet.
func (c *claims) join(t *target, wake func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.targets[t] = &claim{wake: wake}
	c.unknown++
}

// leave forgets a target. What it leaves is for others to remove.
func (c *claims) leave(t *target, left map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.targets[t]
	if x == nil {
		return
	}
	c.set(x, nil)
	if !x.known {
		c.unknown--
	}
	delete(c.targets, t)
	maps.Copy(c.left, left)
}

// inherit gives what others have left, once.
func (c *claims) inherit() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.left) == 0 {
		return nil
	}
	left := c.left
	c.left = map[string]bool{}
	return left
}

// name says what a target names from now on, and whether that is all that it has. It
// tells whether one that it named was removed since the last time.
func (c *claims) name(t *target, ids map[string]bool, known bool) (stale bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.targets[t]
	if x == nil {
		return false
	}
	c.set(x, ids)
	if known && !x.known {
		x.known = true
		c.unknown--
	}
	stale, x.stale = x.stale, false
	return stale
}

// calm tells whether a target has nothing to see to: none that it named was removed, and
// nothing is left to it.
func (c *claims) calm(t *target) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.targets[t]
	return len(c.left) == 0 && (x == nil || !x.stale)
}

func (c *claims) set(x *claim, ids map[string]bool) {
	for id := range x.ids {
		if ids[id] {
			continue
		}
		if c.count[id]--; c.count[id] == 0 {
			delete(c.count, id)
		}
	}
	for id := range ids {
		if !x.ids[id] {
			c.count[id]++
		}
	}
	x.ids = ids
}

// free gives those of the ids that no target names: none as long as that is not known
// of one but t, which names none of them.
func (c *claims) free(t *target, ids []string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := c.unknown
	if x := c.targets[t]; x != nil && !x.known {
		others--
	}
	if others > 0 {
		return nil
	}
	var free []string
	for _, id := range ids {
		if c.count[id] == 0 {
			free = append(free, id)
		}
	}
	return free
}

// removed says that t has removed a certificate. Others who name it have to look for it.
func (c *claims) removed(t *target, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[id] == 0 {
		return
	}
	for other, x := range c.targets {
		if other != t && x.ids[id] {
			x.stale = true
			if x.wake != nil {
				x.wake()
			}
		}
	}
}

// patience is how long to wait for another target to replace a certificate: it may hang,
// or have a Redis of its own.
const patience = 2 * time.Second

// alone waits until no other target replaces a certificate. over is to be called when
// that is done.
func (c *claims) alone(ctx context.Context, id string) (over func()) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.mu.Lock()
		other := c.replaced[id]
		if other == nil {
			mine := make(chan struct{})
			c.replaced[id] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				delete(c.replaced, id)
				close(mine)
			}
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return func() {}
		}
	}
}
