package tyk

import (
	"context"
	"errors"
	"fmt"
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
// gateway does not read an unchanged file again.
//
// A definition that the target refuses is its own problem, and so is one that
// never loads. A target that cannot be reached ends the batch.

const (
	maxRounds = 6
	// readSingly is up to how many definitions are verified by their ids.
	readSingly = 50
	// maxFailures is after how many calls without an answer a target counts as gone.
	// Each has had its attempts already.
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
	// touched counts the writes with a change of no meaning.
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

// touchedPath is in the ownership mark, and the hash there does not count it.
const touchedPath = "config_data.cuegate.touched"

// batch carries out the changes of one plan.
type batch struct {
	dialect     dialect
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
		if err := b.dialect.Reload(ctx); err != nil {
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
	for _, list := range [][]*job{deletes, others} {
		err := b.each(ctx, list, func(ctx context.Context, j *job) error {
			err := b.writeOne(ctx, j)
			b.progress("writing", int(done.Add(1)), total)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeOne makes one job's call. The error is one of the target; a refusal is the
// job's own.
func (b *batch) writeOne(ctx context.Context, j *job) error {
	err := b.send(ctx, j)
	switch {
	case err == nil:
		j.write, j.waited = false, false
	case ofTarget(err):
		return err
	default:
		j.err = err
	}
	return nil
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

// each calls do for every job, several at once, and ends when the target is gone:
// after some failures. The error is the first.
func (b *batch) each(ctx context.Context, jobs []*job, do func(context.Context, *job) error) error {
	var g errgroup.Group
	g.SetLimit(b.concurrency)
	var failures atomic.Int64
	for _, j := range jobs {
		if failures.Load() >= maxFailures {
			break
		}
		g.Go(func() error {
			err := do(ctx, j)
			if err != nil {
				failures.Add(1)
			}
			return err
		})
	}
	return g.Wait()
}
