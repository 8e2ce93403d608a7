package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

// reporter tells people what a push does: lines, and on a terminal one line that
// moves while a push is long.
type reporter struct {
	w        io.Writer
	terminal bool
	mu       sync.Mutex
	// moving is set while the last line is one that moves.
	moving bool
	told   map[string]time.Time // when progress was last told, by target
	said   map[string]string    // what was last said of trouble, by target
	met    map[string]string    // the version of each target
}

func newReporter(w io.Writer) *reporter {
	return &reporter{w: w, terminal: isTerminal(w), told: map[string]time.Time{}, said: map[string]string{}, met: map[string]string{}}
}

// isTerminal tells whether w is a terminal that moves its cursor.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *reporter) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(format, args...)
}

// write wants the lock.
func (p *reporter) write(format string, args ...any) {
	if p.moving {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.moving = false
	}
	fmt.Fprintln(p.w, printable(fmt.Sprintf(format, args...)))
}

// Pauses between two tellings of one push's progress.
const (
	terminalPause = 100 * time.Millisecond
	linePause     = 5 * time.Second
)

func (p *reporter) progress(x tyk.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := linePause
	if p.terminal {
		pause = terminalPause
	}
	last, begun := p.told[x.Target]
	if !begun {
		// A push that is over at once needs no telling.
		p.told[x.Target] = time.Now()
		return
	}
	if time.Since(last) < pause {
		return
	}
	p.told[x.Target] = time.Now()
	text := fmt.Sprintf("%s: %s", x.Target, x.Phase)
	if x.Total > 0 {
		text += fmt.Sprintf(" %d of %d", x.Done, x.Total)
	}
	if !p.terminal {
		p.write("%s", text)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", printable(text))
	p.moving = true
}

// warn tells what is unsafe about the settings of targets.
func (p *reporter) warn(all []tyk.Settings) {
	for _, s := range all {
		for _, f := range s.Warnings() {
			p.line("warning: %s: %s (%s)", cmp.Or(s.Name, s.URL), f.Msg, f.ID)
		}
	}
}

// introduce tells once who answers, and again when that changes.
func (p *reporter) introduce(r tyk.Report) {
	if r.Status.Mode == "" || p.met[r.Target] == r.Status.Version {
		return
	}
	p.met[r.Target] = r.Status.Version
	if r.Target != embeddedName {
		p.write("%s: a %s of version %s answers", r.Target, r.Status.Mode, cmp.Or(r.Status.Version, "unknown"))
	}
}

// report tells of a synchronisation in which something happened. Trouble that stays the
// same is told once.
func (p *reporter) report(r tyk.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.told, r.Target)
	p.introduce(r)
	if r.Changed() {
		p.write("%s: %d created, %d updated, %d deleted, %d unchanged, in %s", r.Target, r.Created, r.Updated, r.Deleted, r.Unchanged, r.Took.Round(time.Millisecond))
	}
	for _, d := range r.Drift {
		p.write("%s: drift: %s of %s was %s; repaired", r.Target, d.ID, d.Owner, d.Kind)
	}
	trouble := p.trouble(r)
	key := fmt.Sprint(trouble)
	if p.said[r.Target] == key {
		return
	}
	p.said[r.Target] = key
	for _, text := range trouble {
		p.write("%s: %s", r.Target, text)
	}
}

// trouble lists what is not as it should be.
func (p *reporter) trouble(r tyk.Report) []string {
	var texts []string
	if r.Err != nil {
		texts = append(texts, fmt.Sprintf("failed: %s", r.Err))
	}
	if r.Held != nil {
		texts = append(texts, fmt.Sprintf("held: %s (--confirm-deletes)", r.Held))
	}
	for _, f := range r.Failed {
		texts = append(texts, fmt.Sprintf("not served: %s of %s: %s", f.ID, f.Owner, f.Err))
	}
	for _, c := range r.Certificates {
		texts = append(texts, fmt.Sprintf("no certificate: that of Secret %s: %s", c.Secret, c.Err))
	}
	if r.Err == nil && !r.Status.Healthy && r.Status.Detail != "" {
		texts = append(texts, "unhealthy: "+r.Status.Detail)
	}
	return texts
}

// decisions tells what became of objects, where that is not plainly served.
func (p *reporter) decisions(all []engine.Desired, rejected []reasonEntry) {
	for _, e := range rejected {
		p.line("refused: %s: %s (%s)", e.Object, e.Message, e.ID)
	}
	for _, d := range all {
		what := "ignored"
		switch {
		case isPending(d):
			what = "pending"
		case d.Outcome == engine.Held:
			what = "refused"
		}
		for _, r := range d.Reasons {
			if r.ID != "kind-unknown" {
				p.line("%s: %s: %s (%s)", what, d.Object, sentence(r), r.ID)
			}
		}
	}
	_, conflicts := engine.MakePlan(all, nil)
	for _, c := range conflicts {
		p.line("refused: %s: %s (%s)", c.Object, sentence(c.Reason), c.Reason.ID)
	}
}

// unloaded tells of workloads whose definitions are for sidecars, and that no target loads.
func (p *reporter) unloaded(all []engine.Desired, targets []tyk.Settings) {
	var names []string
	for _, d := range all {
		if len(d.Definitions) > 0 && !slices.ContainsFunc(d.Definitions, func(x engine.Definition) bool { return loads(targets, x.Scope) }) {
			names = append(names, d.Object.String())
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	n := len(names)
	if n > 3 {
		names = append(names[:3], "...")
	}
	p.line("mesh: %s part of the mesh, whose definitions are for sidecars, and no target is one: %s; cuegate inject writes manifests with sidecars, cuegate route --tags tells what they serve",
		isOrAre(n, "workload"), strings.Join(names, ", "))
}

// loads tells whether one of the targets may get definitions of the scope.
func loads(targets []tyk.Settings, scope string) bool {
	return scope == "" || slices.ContainsFunc(targets, func(s tyk.Settings) bool { return s.Mode != tyk.Gateway || slices.Contains(s.Tags, scope) })
}
