package whatif

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/cuegate/cuegate/engine"
)

// Side is one set of rules.
type Side struct {
	Rules  Rules
	Engine *engine.Engine
	Config engine.Config
}

// Rules of a comparison
//
// Both sides decide every object, from the same view of the cluster. What the old side
// would serve on a gateway that has nothing is what the new side finds there: what is
// created, changed and deleted is what a controller would do that changes over, the
// definitions of refused objects included, which stay. Conflicts between objects are
// decided by each side for itself.

// Compare gives what becomes different when the new side decides and not the old one. The
// sides are of one cluster: with another clusterID nothing would be the same, and what was
// there be left behind.
func Compare(ctx context.Context, objects []engine.Object, around engine.Cluster, old, new Side) (*Report, error) {
	if old.Config.ClusterID != new.Config.ClusterID {
		return nil, errors.New("the configurations have different clusterIDs: every definition would be another one, and those of before be left behind")
	}
	c := &comparison{ctx: ctx, around: around, objects: objects, old: side{Side: old}, new: side{Side: new}}
	for _, s := range []*side{&c.old, &c.new} {
		if err := c.decide(s); err != nil {
			return nil, err
		}
	}
	c.settle()
	if err := c.explain(); err != nil {
		return nil, err
	}
	return c.report(), nil
}

// comparison is a Compare on its way.
type comparison struct {
	ctx      context.Context
	around   engine.Cluster
	objects  []engine.Object
	old, new side
	live     []engine.Live
	changes  map[engine.Ref][]engine.Change
	// served is what the new side serves.
	served byHost
	// unchanged counts definitions.
	unchanged int
}

// side is what one set of rules makes of the objects.
type side struct {
	Side
	// desired are in the order of the objects.
	desired []engine.Desired
	// definitions by id, and those of them that are served.
	definitions map[string]*served
	serves      map[string]*served
	// conflicts by the id of the definition that lost.
	conflicts map[string]engine.Conflict
	// owners are the objects of which any is served.
	owners map[engine.Ref]bool
	// origins by the id of the definition.
	origins map[string]origins
}

func (c *comparison) decide(s *side) error {
	s.desired = make([]engine.Desired, len(c.objects))
	err := each(c.ctx, c.objects, func(i int, o engine.Object) {
		// An object that cannot be decided is held, which says everything.
		s.desired[i], _, _ = s.Engine.Decide(c.ctx, o, c.around)
	})
	s.definitions = map[string]*served{}
	for _, d := range s.desired {
		for i, def := range d.Definitions {
			s.definitions[def.ID] = &served{owner: d.Object, def: def, doc: decode(def.JSON), template: templateOf(d, i)}
		}
	}
	return err
}

// each calls do for all objects, on all cores.
func each(ctx context.Context, objects []engine.Object, do func(int, engine.Object)) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, o := range objects {
		g.Go(func() error {
			do(i, o)
			return ctx.Err()
		})
	}
	return g.Wait()
}

// settle finds out what each side serves, and what changes.
func (c *comparison) settle() {
	first, lost := engine.MakePlan(c.old.desired, nil)
	c.old.serve(first.Changes, lost)
	for _, change := range first.Changes {
		if l, ours := engine.ParseLive(c.old.Config.ClusterID, change.JSON); ours {
			c.live = append(c.live, l)
		}
	}
	plan, lost := engine.MakePlan(c.new.desired, c.live)
	c.new.serve(plan.Changes, lost)
	c.unchanged = plan.Unchanged
	c.changes = map[engine.Ref][]engine.Change{}
	gone := map[string]bool{}
	for _, change := range plan.Changes {
		c.changes[change.Owner] = append(c.changes[change.Owner], change)
		gone[change.ID] = change.Action == engine.Delete
	}
	// What neither is deleted nor changed is served on.
	for id, s := range c.old.serves {
		if c.new.serves[id] == nil && !gone[id] {
			c.new.serves[id] = s
		}
	}
	c.served = newByHost(c.new.serves)
}

func (s *side) serve(changes []engine.Change, lost []engine.Conflict) {
	s.serves, s.conflicts, s.owners = map[string]*served{}, map[string]engine.Conflict{}, map[engine.Ref]bool{}
	for _, change := range changes {
		if change.Action != engine.Delete {
			s.serves[change.ID] = s.definitions[change.ID]
			s.owners[change.Owner] = true
		}
	}
	for _, l := range lost {
		s.conflicts[l.ID] = l
	}
}

// explain finds out who wrote the fields of definitions that change: of what is created
// the new side tells, of what is deleted nobody has to.
func (c *comparison) explain() error {
	for _, s := range []*side{&c.old, &c.new} {
		var changed []engine.Object
		for _, o := range c.objects {
			if slices.ContainsFunc(c.changes[o.Ref], func(x engine.Change) bool {
				return x.Action == engine.Update || x.Action == engine.Create && s == &c.new
			}) {
				changed = append(changed, o)
			}
		}
		found := make([]map[string]origins, len(changed))
		err := each(c.ctx, changed, func(i int, o engine.Object) {
			d, x, _ := s.Engine.Explain(c.ctx, o, c.around)
			found[i] = originsOf(d, x)
		})
		if err != nil {
			return err
		}
		s.origins = map[string]origins{}
		for _, all := range found {
			maps.Copy(s.origins, all)
		}
	}
	return nil
}

func (c *comparison) report() *Report {
	r := &Report{Old: c.old.Rules, New: c.new.Rules, Exposure: []Finding{}, Objects: []Object{}, Unread: []Note{}}
	r.Summary = Summary{Objects: len(c.objects), Unchanged: c.unchanged}
	for i, o := range c.objects {
		x, findings := c.object(o, c.old.desired[i], c.new.desired[i])
		r.Exposure = append(r.Exposure, findings...)
		r.Summary.count(x)
		if x.differs() {
			r.Objects = append(r.Objects, x)
		}
	}
	slices.SortStableFunc(r.Objects, func(a, b Object) int { return cmp.Compare(a.Object, b.Object) })
	order, _ := RulesOfExposure()
	slices.SortStableFunc(r.Exposure, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Rule), slices.Index(order, b.Rule)), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.At, b.At), cmp.Compare(a.Definition, b.Definition), cmp.Compare(a.Message, b.Message))
	})
	r.Summary.Different, r.Summary.Exposure = len(r.Objects), len(r.Exposure)
	return r
}

// count adds what becomes of an object.
func (s *Summary) count(x Object) {
	for _, change := range x.Definitions {
		switch change.Action {
		case engine.Create:
			s.Created++
		case engine.Update:
			s.Changed++
		case engine.Delete:
			s.Deleted++
		}
	}
	if x.isNewlyRefused() {
		s.Refused++
	}
	if len(x.Patched)+len(x.MeshService) > 0 {
		s.Patched++
	}
}

func (x Object) differs() bool {
	return len(x.Definitions)+len(x.Patched)+len(x.MeshService) > 0 || !sameState(x.Old, x.New)
}

func sameState(a, b State) bool {
	return a.Outcome == b.Outcome && a.Template == b.Template && slices.Equal(a.Reasons, b.Reasons) && slices.Equal(a.Warnings, b.Warnings)
}

// isNewlyRefused tells whether the object, or a route of it, was not refused before.
func (x Object) isNewlyRefused() bool {
	const refused = string(engine.Held)
	return x.New.Outcome == refused && x.Old.Outcome != refused ||
		x.New.Outcome == string(engine.Managed) && x.Old.Outcome == x.New.Outcome && len(x.New.Reasons) > len(x.Old.Reasons)
}

// object tells what becomes of one object, and what that opens.
func (c *comparison) object(o engine.Object, old, new engine.Desired) (Object, []Finding) {
	x := Object{Object: o.Ref.String(), Old: c.old.state(old), New: c.new.state(new)}
	x.Stays = new.Outcome == engine.Held
	var findings []Finding
	for _, change := range c.changes[o.Ref] {
		y, found := c.change(change, new)
		x.Definitions = append(x.Definitions, y)
		findings = append(findings, found...)
	}
	slices.SortStableFunc(x.Definitions, func(a, b Change) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	if !isPatchable(old) || !isPatchable(new) || o.Kind == "Ingress" {
		return x, findings
	}
	was, is := patched(o, old), patched(o, new)
	x.Patched = fieldsOf(differences(was, is))
	for _, h := range podExposure(was, is) {
		findings = append(findings, Finding{Rule: h.rule, Object: x.Object, At: h.at, Message: h.message, Fields: noFields(fieldsBelow(x.Patched, h.below))})
	}
	x.MeshService = serviceFields(decode(old.Service), decode(new.Service))
	return x, findings
}

// serviceFields compares two Services; of one that is there on one side alone it tells
// the name.
func serviceFields(old, new map[string]any) []Field {
	if (old == nil) != (new == nil) {
		name := func(s map[string]any) map[string]any {
			if s == nil {
				return nil
			}
			return map[string]any{"metadata": map[string]any{"name": at(s, "metadata", "name")}}
		}
		old, new = name(old), name(new)
	}
	return fieldsOf(differences(old, new))
}

func fieldsOf(all []difference) []Field {
	var fields []Field
	for _, d := range all {
		fields = append(fields, d.field())
	}
	return fields
}

// noFields keeps an empty list from being written as null.
func noFields(fields []Field) []Field {
	if fields == nil {
		return []Field{}
	}
	return fields
}

func (s *side) state(d engine.Desired) State {
	x := State{Outcome: string(d.Outcome), Template: d.Template, Reasons: notes(d.Reasons), Warnings: notes(d.Warnings)}
	if isPending(d) {
		x.Outcome = "pending"
	}
	for _, def := range d.Definitions {
		if lost, is := s.conflicts[def.ID]; is {
			x.Reasons = append(x.Reasons, note(lost.Reason))
		}
	}
	return x
}

func notes(reasons []engine.Reason) []Note {
	var all []Note
	for _, r := range reasons {
		all = append(all, note(r))
	}
	slices.SortStableFunc(all, func(a, b Note) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Message, b.Message)) })
	return all
}

// note puts a reason into one line: field, message, fix.
func note(r engine.Reason) Note {
	text := r.Msg
	if r.Field != "" {
		text = r.Field + ": " + text
	}
	if r.Fix != "" {
		text += " " + r.Fix
	}
	return Note{r.ID, text}
}

// change tells of a definition what becomes of it. new is the decision about its object.
func (c *comparison) change(change engine.Change, new engine.Desired) (Change, []Finding) {
	id := change.ID
	was, is := c.old.serves[id], c.new.definitions[id]
	y := Change{Action: change.Action, ID: id}
	switch change.Action {
	case engine.Delete:
		y.At, y.Why = place(was.def.Match, was.def.Scope), c.why(id, new)
		return y, c.fall(was, y.At)
	case engine.Create:
		was = nil
		y.About = about(is)
	}
	y.At = place(is.def.Match, is.def.Scope)
	p := pair{new: is.doc, role: roleOf(is.def), oldPlain: c.old.Config.PlainPaths, newPlain: c.new.Config.PlainPaths}
	var all []Field
	if was != nil {
		p.old = was.doc
		y.Fields = c.fields(id, was.doc, is.doc)
		all = y.Fields
	} else {
		all = c.fields(id, nil, is.doc)
	}
	// A workload that was in the mesh already has a way for more of its sidecars.
	p.again = was == nil && c.old.owners[change.Owner]
	p.scope = is.def.Scope
	var findings []Finding
	for _, r := range rules {
		for _, h := range r.check(p) {
			f := Finding{Rule: r.id, Object: change.Owner.String(), Definition: id, At: y.At, Message: h.message, Fields: []Field{}}
			for _, at := range h.paths {
				f.Fields = append(f.Fields, fieldsBelow(all, []string{joined(at)})...)
			}
			findings = append(findings, f)
		}
	}
	return y, findings
}

// fields gives what differs, with who wrote it. The hash in the mark says nothing, and the
// certificates there stand elsewhere as well.
func (c *comparison) fields(id string, old, new definition) []Field {
	var all, marks []Field
	for _, d := range differences(map[string]any(old), map[string]any(new)) {
		f := d.field()
		if d.hasOld {
			f.OldFrom = c.old.origins[id].of(f.Path)
		}
		if d.hasNew {
			f.NewFrom = c.new.origins[id].of(f.Path)
		}
		if strings.HasPrefix(f.Path, "config_data.cuegate.") {
			marks = append(marks, f)
		} else {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return marks
	}
	return all
}

// why says why a definition is deleted.
func (c *comparison) why(id string, new engine.Desired) *Note {
	if lost, is := c.new.conflicts[id]; is {
		n := note(lost.Reason)
		return &n
	}
	if len(new.Reasons) > 0 {
		n := note(new.Reasons[0])
		return &n
	}
	return nil
}

// fall finds out where the requests of a definition go that is gone.
func (c *comparison) fall(gone *served, at string) []Finding {
	if gone.def.Scope != "" {
		return nil
	}
	to := c.served.successor(gone)
	if to == nil {
		return nil
	}
	message := moved(gone, to)
	if message == "" {
		return nil
	}
	return []Finding{{Rule: requestsMoved, Object: gone.owner.String(), Definition: gone.def.ID, At: at, Message: message, Fields: []Field{}}}
}

func roleOf(d engine.Definition) string {
	if d.Scope == "" {
		return "ingress"
	}
	role, _, _ := strings.Cut(d.Match, " ")
	return role
}

// about says in a line what a definition does.
func about(s *served) string {
	text := "template " + s.template
	if kinds := s.doc.credentials(); len(kinds) > 0 {
		text += ", needs " + listed(kinds)
	} else {
		text += ", needs no credentials"
	}
	for _, t := range s.doc.targets() {
		return text + ", goes to " + shownText(t.path, t.scheme+"://"+t.to)
	}
	return text
}
