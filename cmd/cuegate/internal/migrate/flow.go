package migrate

import (
	"slices"
	"strings"
	"text/template/parse"
)

// Code is a template followed in order, without the calls of other templates, without
// variables, and without what is decided already. It is a list of steps:
//
//	stepText     prints a text
//	stepPrint    prints an expression
//	stepIf       opens two branches; stepElse begins the second, stepEnd ends both
//	stepRange    opens a body, which stepEnd ends
//	stepComment  {{/* ... */}}
//	stepStuck    cannot be converted

type stepKind uint8

const (
	stepText stepKind = iota
	stepPrint
	stepIf
	stepElse
	stepEnd
	stepRange
	stepComment
	stepStuck
)

type step struct {
	kind stepKind
	at   place
	// text of a text or a comment, or why the template is stuck.
	text string
	// src and offset say where a text begins.
	src    *source
	offset int
	// expr is what is printed, or the condition.
	expr *expr
	loop *loop
	// of is the stepIf or stepRange that an else or an end belongs to.
	of int
	// els and end of an if or a range; els is end where there is no second branch.
	els, end int
}

// maxNodes bounds the nodes that are followed, maxCode the steps that come of them, and
// maxCalls the templates that one calls through another.
const (
	maxNodes = 50000
	maxCode  = 50000
	maxCalls = 50
)

// follower follows a template.
type follower struct {
	frame
	code []step
	// calls are the names of the templates that are followed.
	calls []string
	// nodes counts those that were followed, and loops the loops, for their numbers.
	nodes, loops int
	// inlined are the templates that were called.
	inlined map[string]bool
}

// follow gives the code of a template, and the templates that it calls.
func follow(all *sources, d *defined) ([]step, map[string]bool) {
	rootExpr := &expr{op: opRoot, kind: root}
	f := &follower{
		frame:   frame{sources: all, src: d.src, dot: rootExpr, vars: []variable{{"$", rootExpr}}},
		calls:   []string{d.name},
		inlined: map[string]bool{},
	}
	f.list(d.tree.Root)
	return f.code, f.inlined
}

func (f *follower) add(s step) int {
	f.code = append(f.code, s)
	return len(f.code) - 1
}

func (f *follower) stuck(at place, why string) {
	f.add(step{kind: stepStuck, at: at, text: why})
}

func (f *follower) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		if f.nodes++; f.nodes > maxNodes || len(f.code) > maxCode {
			f.stuck(f.place(n), "the template grows beyond any use by the templates that it calls")
			return
		}
		f.node(n)
	}
}

func (f *follower) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.TextNode:
		f.add(step{kind: stepText, at: f.place(n), text: string(n.Text), src: f.src, offset: int(n.Pos)})
	case *parse.CommentNode:
		text := strings.TrimSuffix(strings.TrimPrefix(n.Text, "/*"), "*/")
		f.add(step{kind: stepComment, at: f.place(n), text: strings.TrimSpace(text)})
	case *parse.ActionNode:
		value := f.pipeline(n.Pipe)
		if len(n.Pipe.Decl) > 0 {
			f.set(n.Pipe.Decl[0].Ident[0], value, n.Pipe.IsAssign)
			return
		}
		f.print(value, f.place(n))
	case *parse.IfNode:
		f.branch(&n.BranchNode, false)
	case *parse.WithNode:
		f.branch(&n.BranchNode, true)
	case *parse.RangeNode:
		f.rangeOver(n)
	case *parse.TemplateNode:
		f.template(n)
	case *parse.BreakNode:
		f.stuck(f.place(n), "{{break}} is converted only where it ends every round of its loop")
	case *parse.ContinueNode:
		f.stuck(f.place(n), "{{continue}} is converted only where it ends a branch of its loop")
	default:
		f.stuck(f.place(n), "this action is not understood")
	}
}

func (f *follower) set(name string, value *expr, assign bool) {
	if !assign {
		f.vars = append(f.vars, variable{name, value})
		return
	}
	for i := len(f.vars) - 1; i >= 0; i-- {
		if f.vars[i].name == name {
			f.vars[i].value = value
			return
		}
	}
}

// print adds what is printed: constants become text, and what depends on a condition
// becomes branches.
func (f *follower) print(e *expr, at place) {
	switch {
	case e.op == opPick:
		f.either(e.args[0], at,
			func() { f.print(e.args[1], at) },
			func() { f.print(e.args[2], at) })
	case e.op == opJoined:
		for _, part := range e.args {
			f.print(part, at)
		}
	case e.kind.isList():
		f.print(asText(e), at)
	case e.isLiteral():
		f.add(step{kind: stepText, at: at, text: e.printed()})
	default:
		f.add(step{kind: stepPrint, at: at, expr: e})
	}
}

// either adds two branches, or the one that is taken for certain.
func (f *follower) either(c *expr, at place, then, otherwise func()) {
	switch {
	case c.is(true):
		then()
		return
	case c.is(false):
		otherwise()
		return
	}
	start := f.add(step{kind: stepIf, at: at, expr: c})
	then()
	f.code[start].els = f.add(step{kind: stepElse, at: at, of: start})
	otherwise()
	f.code[start].end = f.add(step{kind: stepEnd, at: at, of: start})
}

// branch follows {{if}} and {{with}}.
func (f *follower) branch(n *parse.BranchNode, with bool) {
	inSight := len(f.vars)
	defer func() { f.vars = f.vars[:inSight] }()
	at := f.place(n)
	value := f.pipeline(n.Pipe)
	if len(n.Pipe.Decl) > 0 {
		f.set(n.Pipe.Decl[0].Ident[0], value, n.Pipe.IsAssign)
	}
	before := slices.Clone(f.vars)
	var then []variable
	c := truthOf(value)
	f.either(c, at, func() {
		dot := f.dot
		if with {
			f.dot = value
		}
		f.list(n.List)
		f.dot, then = dot, slices.Clone(f.vars[:len(before)])
		if !c.isLiteral() {
			f.vars = slices.Clone(before)
		}
	}, func() { f.list(n.ElseList) })
	f.vars = f.vars[:len(before)]
	if c.isLiteral() {
		return
	}
	for i := range f.vars {
		f.vars[i].value = pick(c, then[i].value, f.vars[i].value)
	}
}

func (f *follower) rangeOver(n *parse.RangeNode) {
	inSight := len(f.vars)
	at := f.place(n)
	list := f.pipeline(n.Pipe)
	defer func() { f.vars = f.vars[:inSight] }()
	switch {
	case list.op == opBad:
		f.stuck(list.at, list.why)
		return
	case list.kind == whole && list.op == opLen:
		list = &expr{op: opIndices, kind: wholes, args: list.args}
	case list.kind == whole && list.isLiteral() && list.literal.(int64) <= 1000:
		var all []int64
		for i := range list.literal.(int64) {
			all = append(all, i)
		}
		list = literal(all)
	case list.op == opPick && list.kind == unknown:
		f.stuck(at, "what {{range}} goes over is not of one kind")
		return
	case !list.kind.isList():
		f.stuck(at, "the original fails here: range cannot go over "+list.kind.String())
		return
	}
	f.loops++
	l := &loop{id: f.loops, list: list}
	body := withoutContinue(n.List)
	first := false
	if body, first = untilBreak(body); first {
		// One round at most.
		f.either(truthOf(list), at, func() {
			f.round(n.Pipe, body, literal(int64(0)), &expr{op: opIndex, kind: list.kind.elem(), args: []*expr{list, literal(int64(0))}, at: at})
		}, func() { f.list(n.ElseList) })
		return
	}
	for _, name := range assigned(body) {
		f.blur(name, at)
	}
	if p := n.Pipe; p.IsAssign {
		for _, d := range p.Decl {
			f.blur(d.Ident[0], at)
		}
	} else if len(p.Decl) > 0 {
		l.elem = p.Decl[len(p.Decl)-1].Ident[0]
		if len(p.Decl) > 1 {
			l.key = p.Decl[0].Ident[0]
		}
	}
	start := f.add(step{kind: stepRange, at: at, loop: l})
	key, elem := &expr{op: opKey, kind: whole, loop: l, at: at}, &expr{op: opElem, kind: list.kind.elem(), loop: l, at: at}
	if list.kind == wholes {
		// 0, 1, 2, ...
		elem, l.key, l.elem = key, l.elem, ""
	}
	f.round(n.Pipe, body, key, elem)
	end := f.add(step{kind: stepEnd, at: at, of: start})
	f.code[start].els, f.code[start].end = end, end
	for _, name := range assigned(body) {
		f.blur(name, at)
	}
	if n.ElseList != nil {
		f.vars = f.vars[:inSight]
		f.either(truthOf(list), at, func() {}, func() { f.list(n.ElseList) })
	}
}

// round follows the body of a loop for one element.
func (f *follower) round(p *parse.PipeNode, body *parse.ListNode, key, elem *expr) {
	inSight, dot := len(f.vars), f.dot
	f.dot = elem
	values := []*expr{elem}
	if len(p.Decl) > 1 {
		values = []*expr{key, elem}
	}
	for i, d := range p.Decl {
		f.set(d.Ident[0], values[i], p.IsAssign)
	}
	f.list(body)
	f.vars, f.dot = f.vars[:inSight], dot
}

// blur forgets the value of a variable that differs from round to round.
func (f *follower) blur(name string, at place) {
	f.set(name, bad(at, "%s is assigned in this loop, so it differs from one element to the next", name), true)
}

func (f *follower) template(n *parse.TemplateNode) {
	at := f.place(n)
	d, ok := f.sources.templates[n.Name]
	switch {
	case !ok:
		f.stuck(at, "there is no template "+n.Name)
		return
	case len(f.calls) > maxCalls || slices.Contains(f.calls, n.Name):
		f.stuck(at, "the template "+n.Name+" calls itself")
		return
	}
	dot := bad(at, "the template %s is called without a value", n.Name)
	if n.Pipe != nil {
		dot = f.pipeline(n.Pipe)
	}
	f.inlined[n.Name] = true
	before := f.frame
	f.frame = frame{sources: f.sources, src: d.src, dot: dot, vars: []variable{{"$", dot}}}
	f.calls = append(f.calls, n.Name)
	f.list(d.tree.Root)
	f.calls = f.calls[:len(f.calls)-1]
	f.frame = before
}

// withoutContinue rewrites the body of a loop: what follows an {{if}} with a {{continue}}
// is moved into its branches, and goes away behind the {{continue}}.
func withoutContinue(body *parse.ListNode) *parse.ListNode {
	if body == nil {
		return nil
	}
	out := &parse.ListNode{NodeType: parse.NodeList, Pos: body.Pos}
	for i, n := range body.Nodes {
		if n.Type() == parse.NodeContinue {
			break
		}
		if b := branchOf(n); b == nil || n.Type() == parse.NodeRange || !continues(b.List) && !continues(b.ElseList) {
			out.Nodes = append(out.Nodes, n)
			continue
		}
		n = n.Copy()
		b := branchOf(n)
		if b.ElseList == nil {
			b.ElseList = &parse.ListNode{NodeType: parse.NodeList, Pos: b.Pos}
		}
		for _, branch := range []**parse.ListNode{&b.List, &b.ElseList} {
			(*branch).Nodes = append((*branch).Nodes, body.Nodes[i+1:]...)
			*branch = withoutContinue(*branch)
		}
		out.Nodes = append(out.Nodes, n)
		break
	}
	return out
}

// continues tells whether a {{continue}} of the loop around stands in a list.
func continues(l *parse.ListNode) bool {
	return l != nil && slices.ContainsFunc(l.Nodes, func(n parse.Node) bool {
		b := branchOf(n)
		return n.Type() == parse.NodeContinue ||
			b != nil && n.Type() != parse.NodeRange && (continues(b.List) || continues(b.ElseList))
	})
}

// untilBreak cuts the body of a loop at a {{break}} that every round comes to.
func untilBreak(body *parse.ListNode) (*parse.ListNode, bool) {
	if body == nil {
		return nil, false
	}
	for i, n := range body.Nodes {
		if n.Type() == parse.NodeBreak {
			return &parse.ListNode{NodeType: parse.NodeList, Pos: body.Pos, Nodes: body.Nodes[:i]}, true
		}
	}
	return body, false
}
