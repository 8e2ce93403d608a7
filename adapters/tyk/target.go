package tyk

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine"
)

// target is one place that definitions are pushed to. Its methods are called one
// at a time.
type target struct {
	settings  Settings
	options   Options
	dialect   dialect // nil until the mode is known
	status    Status
	inventory *inventory
	// listed is when the inventory was; the zero time when it is not to be trusted.
	listed time.Time
	// again: the target is to be listed by the next push.
	again bool
	// interval is how long the list may be trusted.
	interval time.Duration
	refused  map[string]refusal // by api_id
	certs    certificates
	// rest is how the last push left a sidecar; nil when there is more to do.
	rest *rest
	// reloads counts those of the present sync, and reloadsFailed those that failed.
	reloads, reloadsFailed int
}

func newTarget(s Settings, o Options) (*target, error) {
	s = s.withDefaults()
	if err := s.check(); err != nil {
		return nil, err
	}
	if _, err := newCaller(s); err != nil {
		return nil, err
	}
	return &target{settings: s, options: o, inventory: newInventory(), refused: map[string]refusal{}}, nil
}

// sync makes the target have what is wanted.
func (t *target) sync(ctx context.Context, w *wants) Report {
	begun := t.options.Now()
	r := Report{Target: t.settings.Name, Sidecar: t.settings.Sidecar}
	t.reloads, t.reloadsFailed = 0, 0
	r.Err = t.push(ctx, w, &r)
	if r.Err != nil {
		t.listed = time.Time{}
	}
	r.Reloads, r.ReloadsFailed = t.reloads, t.reloadsFailed
	r.Status, r.Took = t.status, max(0, t.options.Now().Sub(begun)) // the clock may be set back
	return r
}

// reload makes what was written take effect.
func (t *target) reload(ctx context.Context) error {
	err := t.dialect.Reload(ctx)
	t.reloads++
	if err != nil {
		t.reloadsFailed++
	}
	return err
}

// close lets go of the target; another sync opens it again.
func (t *target) close() {
	if t.dialect != nil {
		t.dialect.Close()
	}
}

func (t *target) push(ctx context.Context, w *wants, r *Report) error {
	due := t.due()
	if !due && t.rests(w, r) {
		return nil
	}
	t.rest = nil
	if due {
		if err := t.open(ctx); err != nil {
			return err
		}
	}
	mine := t.mine(w)
	wanted := definitions(mine)
	t.claim(t.names(mine), false)
	if due {
		if err := t.refresh(ctx, wanted, r); err != nil {
			return err
		}
		t.claim(t.names(mine), true)
	}
	all := t.keep(w, mine)
	plan, conflicts := engine.MakePlan(all, t.inventory.live())
	r.Conflicts, r.Unchanged = conflicts, plan.Unchanged
	if r.Held = t.held(plan); r.Held != nil {
		return nil
	}
	if err := t.carryOut(ctx, plan, all, wanted, r); err != nil {
		return err
	}
	if err := t.removeCertificates(ctx, w, mine, r); err != nil {
		return err
	}
	t.settled(w, len(all) > len(mine), r)
	return nil
}

// carryOut makes the changes of a plan, and what they need besides.
func (t *target) carryOut(ctx context.Context, plan engine.Plan, want []engine.Desired, wanted map[string]*engine.Definition, r *Report) error {
	added, err := t.addCertificates(ctx, want, r)
	if err != nil {
		return err
	}
	t.pardon(plan)
	jobs := t.jobs(plan, wanted, r)
	switch {
	case len(jobs) > 0:
		err = t.batch(jobs, wanted, r).run(ctx)
	case added:
		err = t.reload(ctx)
	}
	t.settle(jobs, r)
	return err
}

// due tells whether the target is to be listed. A clock that was set back counts as
// an interval that has passed.
func (t *target) due() bool {
	past := t.options.Now().Sub(t.listed)
	return t.listed.IsZero() || t.again || past >= t.interval || past < 0
}

// refresh lists what the target has. After an error, and at the beginning, it reloads
// before: what was written and never loaded shows then.
func (t *target) refresh(ctx context.Context, wanted map[string]*engine.Definition, r *Report) error {
	if t.listed.IsZero() || t.again {
		if err := t.reload(ctx); err != nil {
			return err
		}
	}
	drift, err := t.list(ctx, wanted)
	if err != nil {
		return err
	}
	r.Drift, t.again = drift, false
	t.certs.forget()
	return nil
}

func (t *target) list(ctx context.Context, wanted map[string]*engine.Definition) ([]Drift, error) {
	t.inventory.whole = t.status.Mode == Gateway
	drift, err := t.inventory.list(ctx, t.dialect, t.options.ClusterID, t.status.Version, wanted)
	if err != nil {
		return nil, err
	}
	t.listed = t.options.Now()
	// Many that begin at once are not listed at once for ever.
	t.interval = t.options.DriftInterval - time.Duration(rand.Float64()*float64(t.options.DriftInterval)/4)
	for _, e := range t.inventory.entries {
		t.certs.own(e.live.Certificates)
	}
	return drift, nil
}

// held tells whether the plan deletes so much that it is more likely a mistake.
func (t *target) held(plan engine.Plan) *Held {
	if t.options.ConfirmDeletes {
		return nil
	}
	h := Held{Live: len(t.inventory.entries)}
	for _, c := range plan.Changes {
		if c.Action == engine.Delete {
			h.Deletes++
		}
	}
	if h.Deletes <= t.options.DeleteFloor || float64(h.Deletes) <= t.options.DeleteShare*float64(h.Live) {
		return nil
	}
	return &h
}

// jobs makes jobs of the changes, but for those that were refused a short while ago,
// and those whose id is somebody else's: to create one is to overwrite it.
func (t *target) jobs(plan engine.Plan, wanted map[string]*engine.Definition, r *Report) []*job {
	var jobs []*job
	for _, c := range plan.Changes {
		j := &job{Change: c, write: true, loaded: c.Action != engine.Create}
		if c.Action != engine.Delete {
			j.definition = wanted[c.ID]
		}
		if x, ok := t.refused[c.ID]; ok && x.hash == j.hash() && t.waits(x.until) {
			r.Failed = append(r.Failed, Failure{c.ID, c.Owner, x.err})
			continue
		}
		if c.Action == engine.Create && t.inventory.others[c.ID] {
			r.Failed = append(r.Failed, Failure{c.ID, c.Owner, errForeign})
			continue
		}
		if e := t.inventory.entries[c.ID]; e != nil && e.drift != "" && c.Action == engine.Update {
			j.touched = e.touched + 1
		}
		jobs = append(jobs, j)
	}
	return jobs
}

func (t *target) batch(jobs []*job, wanted map[string]*engine.Definition, r *Report) *batch {
	ids := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		ids[j.ID] = true
	}
	return &batch{
		dialect: t.dialect, reload: t.reload, concurrency: t.settings.Concurrency, jobs: jobs,
		list: func(ctx context.Context) error {
			drift, err := t.list(ctx, wanted)
			for _, x := range drift {
				if !ids[x.ID] {
					r.Drift = append(r.Drift, x)
					t.again = true
				}
			}
			return err
		},
		entry: func(id string) *entry { return t.inventory.entries[id] },
		progress: func(phase string, done, total int) {
			t.options.Progress(Progress{t.settings.Name, phase, done, total})
		},
	}
}

// settle writes down what came of the jobs. What a call without an answer has done,
// the next push has to find out.
func (t *target) settle(jobs []*job, r *Report) {
	for _, j := range jobs {
		switch {
		case j.err != nil:
			r.Failed = append(r.Failed, Failure{j.ID, j.Owner, j.err})
			t.refuse(j)
			t.inventory.doubt(j.ID)
			t.again = t.again || isUnreachable(j.err)
			continue
		case !j.done:
			t.inventory.doubt(j.ID)
			continue
		case j.Action == engine.Delete:
			r.Deleted++
			delete(t.inventory.entries, j.ID)
		default:
			t.inventory.pushed(j)
			if j.Action == engine.Create {
				r.Created++
			} else {
				r.Updated++
			}
		}
		delete(t.refused, j.ID)
	}
	slices.SortFunc(r.Failed, func(a, b Failure) int { return strings.Compare(a.ID, b.ID) })
}

// check looks at one definition, another one each time, and at one certificate that it
// names, and tells whether the target still has them: a gateway that was wiped or
// restarted, or lost its Redis, is found so long before the next list.
func (t *target) check(ctx context.Context) bool {
	if t.dialect == nil {
		return true
	}
	for id, e := range t.inventory.entries { // in random order
		text, err := t.dialect.Get(ctx, id)
		if err != nil || gjson.GetBytes(text, hashPath).String() != e.live.Hash {
			t.listed = time.Time{}
			return false
		}
		return t.checkCertificate(ctx, e.live.Certificates)
	}
	return true
}

func (t *target) checkCertificate(ctx context.Context, ids []string) bool {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { _, there := t.certs.present[id]; return !there })
	if len(ids) == 0 {
		return true
	}
	_, err := t.dialect.HasCertificate(ctx, ids[rand.IntN(len(ids))])
	if !errors.Is(err, errNotFound) {
		return true
	}
	t.certs.forget()
	t.certs.missed, t.rest = true, nil
	return false
}
