package tyk

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// verify looks whether what was written is loaded, and settles what is.
func (b *batch) verify(ctx context.Context, jobs []*job) error {
	if len(jobs) > readSingly {
		b.progress("verifying", 0, len(jobs))
		if err := b.list(ctx); err != nil {
			return err
		}
		for _, j := range jobs {
			b.judge(j, b.entry(j.ID))
		}
		return nil
	}
	return b.each(ctx, jobs, func(ctx context.Context, j *job) error {
		text, err := b.dialect.Get(ctx, j.ID)
		if err != nil && !errors.Is(err, errNotFound) {
			return err
		}
		b.judge(j, observed(j, text))
		return nil
	})
}

// observed makes an entry of what was read of a definition; nil where there is none.
func observed(j *job, text []byte) *entry {
	if text == nil {
		return nil
	}
	e := &entry{
		live: engine.Live{
			ID: j.ID, Owner: j.Owner,
			Match:  gjson.GetBytes(text, markPath+".match").String(),
			Hash:   gjson.GetBytes(text, hashPath).String(),
			Listen: engine.ListenOf(text),
		},
		touched: int(gjson.GetBytes(text, touchedPath).Int()),
		meaning: meaningOf(text),
	}
	if j.definition != nil && e.live.Hash == j.definition.Hash {
		e.own = differences(j.JSON, text)
	}
	return e
}

// judge settles a job by what is loaded, or says what to try next.
func (b *batch) judge(j *job, e *entry) {
	switch {
	case j.Action == engine.Delete && e == nil:
		j.done = true
		return
	case j.Action == engine.Delete:
		j.problem = "it is still loaded; the gateway cannot delete a definition whose file is not named after its api_id"
	case e == nil:
		j.loaded, j.problem = false, "it is not loaded"
	case e.live.Hash != j.definition.Hash || e.touched < j.touched:
		j.loaded, j.problem = true, "an older one is loaded"
	case e.live.Listen != j.definition.Listen:
		j.loaded, j.problem = true, fmt.Sprintf("it listens at %q, because another API has its domain and listen path", clip(e.live.Listen))
		j.touched = e.touched + 1
		j.write, j.waited = true, false
		return
	default:
		j.done, j.seen = true, e
		return
	}
	// First another reload alone, then another write.
	j.write = j.waited
	j.waited = !j.waited
}

func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "..."
	}
	return s
}
