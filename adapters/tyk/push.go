package tyk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tidwall/sjson"
	"golang.org/x/sync/errgroup"

	"github.com/cuegate/cuegate/engine"
)

// Rules of a push
//
// A batch is all changes of a plan. It goes round at most maxRounds times:
//
//	write   every job that needs it: POST what is not loaded, PUT what is, DELETE
//	reload  once
//	verify  what was written is read back: each by its id, or all by a list
//
// A job whose definition is loaded as it was written is done. One that is not
// loaded, or still the old one, first waits for another reload (the gateway answers
// 200 to a reload that its Redis swallowed), then is written again, and so on. One
// that the gateway moved to another listen path is written again with a change: the
// gateway does not read an unchanged file again. So is one that was edited: its hash
// does not tell whether the repair was lost, but the change does.
//
// A definition that the target refuses is its own problem, and so is one that
// never loads, or whose calls alone have no answer. A target that is gone ends the
// batch: one that refuses us, or does not answer maxFailures calls in a row.

const (
	maxRounds = 6
	// readSingly is up to how many definitions are verified by their ids.
	readSingly = 50
	// maxFailures is after how many calls in a row without an answer a target counts
	// as gone. Each has had its attempts already.
	maxFailures = 3
)

// job is one change on its way.
type job struct {
	engine.Change
	definition *engine.Definition // nil for a delete
	// loaded tells which of POST and PUT is right.
	loaded bool
	// write: it is to be written, and not only to be verified.
	write bool
	// touched is a change of no meaning; 0 where there is none.
	touched int
	// waited: a reload alone was tried since the last write.
	waited bool
	// problem is what the last look at it said.
	problem string
	done    bool
	// seen is what is loaded in the end; nil for a delete.
	seen *entry
	err  error // final
}

func (j *job) open() bool { return !j.done && j.err == nil }

// hash of what is to be there; "" for a delete.
func (j *job) hash() string {
	if j.definition == nil {
		return ""
	}
	return j.definition.Hash
}

// text is what to write.
func (j *job) text() []byte {
	if j.touched == 0 {
		return j.JSON
	}
	text, err := sjson.SetBytes(j.JSON, touchedPath, j.touched)
	if err != nil {
		return j.JSON // not reached: a definition is JSON, and the path a constant
	}
	return text
}

// Paths of the ownership mark; the hash there does not count touched.
const (
	markPath    = "config_data.cuegate"
	clusterPath = markPath + ".cluster"
	hashPath    = markPath + ".hash"
	touchedPath = markPath + ".touched"
)

// batch carries out the changes of one plan.
type batch struct {
	dialect     dialect
	reload      func(context.Context) error
	concurrency int
	jobs        []*job
	// list lists the target again, for the verification of many.
	list func(context.Context) error
	// entry is what the target has under an id, as of the last list.
	entry func(id string) *entry
	// progress is told how many of a phase are done.
	progress func(phase string, done, total int)
}

// run goes round until no job is open. The error is one of the target as a whole.
func (b *batch) run(ctx context.Context) error {
	for range maxRounds {
		open := b.open()
		if len(open) == 0 {
			return nil
		}
		if err := b.write(ctx, open); err != nil {
			return err
		}
		if open = b.open(); len(open) == 0 {
			return nil
		}
		b.progress("reloading", 0, 0)
		if err := b.reload(ctx); err != nil {
			return err
		}
		if err := b.verify(ctx, open); err != nil {
			return err
		}
	}
	for _, j := range b.open() {
		j.err = fmt.Errorf("the target took it and does not have it: %s", j.problem)
	}
	return nil
}

func (b *batch) open() []*job {
	var open []*job
	for _, j := range b.jobs {
		if j.open() {
			open = append(open, j)
		}
	}
	return open
}

// write makes the calls of the jobs that need one: deletes first, because on a
// Dashboard a write takes effect at once, and a route that moves must not meet
// itself.
func (b *batch) write(ctx context.Context, open []*job) error {
	var deletes, others []*job
	for _, j := range open {
		switch {
		case !j.write:
		case j.Action == engine.Delete:
			deletes = append(deletes, j)
		default:
			others = append(others, j)
		}
	}
	var done atomic.Int64
	total := len(deletes) + len(others)
	one := func(ctx context.Context, j *job) error {
		err := b.send(ctx, j)
		if err == nil {
			j.write, j.waited = false, false
		}
		b.progress("writing", int(done.Add(1)), total)
		return err
	}
	if err := b.each(ctx, deletes, one); err != nil {
		return err
	}
	return b.each(ctx, b.clear(deletes, others), one)
}

// clear leaves out the jobs whose domain and listen path one is still using that
// could not be deleted: the gateway would move both.
func (b *batch) clear(deletes, others []*job) []*job {
	taken := map[string]string{}
	for _, j := range deletes {
		if e := b.entry(j.ID); j.err != nil && e != nil {
			taken[e.live.Listen] = j.ID
		}
	}
	if len(taken) == 0 {
		return others
	}
	return slices.DeleteFunc(others, func(j *job) bool {
		id, ok := taken[j.definition.Listen]
		if ok {
			j.err = fmt.Errorf("%s has its domain and listen path, and could not be deleted", id)
		}
		return ok
	})
}

func (b *batch) send(ctx context.Context, j *job) error {
	switch {
	case j.Action == engine.Delete:
		err := b.dialect.Delete(ctx, j.ID)
		// It is gone already, or its file is; the reload will show.
		if errors.Is(err, errNotFound) || errors.Is(err, errDeleteFailed) {
			return nil
		}
		return err
	case j.loaded:
		err := b.dialect.Update(ctx, j.ID, j.text())
		if !errors.Is(err, errNotFound) {
			return err
		}
		j.loaded = false
	}
	return b.dialect.Create(ctx, j.ID, j.text())
}

// each calls do for every job, several at once. What it says is the job's own
// error, unless the target is gone: then each ends, and its error is that.
func (b *batch) each(ctx context.Context, jobs []*job, do func(context.Context, *job) error) error {
	var g errgroup.Group
	g.SetLimit(b.concurrency)
	var row, answered atomic.Int64
	var gone atomic.Bool
	for _, j := range jobs {
		if gone.Load() {
			break
		}
		g.Go(func() error {
			err := do(ctx, j)
			if isUnreachable(err) {
				j.err = err
				if row.Add(1) < maxFailures {
					return nil
				}
			} else {
				row.Store(0)
				answered.Add(1)
				if !refusesAll(err) {
					j.err = err
					return nil
				}
			}
			gone.Store(true)
			return err
		})
	}
	if err := g.Wait(); err != nil || len(jobs) == 0 || answered.Load() > 0 {
		return err
	}
	// Too few failed to tell, and none did not: ask.
	_, err := b.dialect.Probe(ctx)
	return err
}
