package migrate

import (
	"slices"
	"text/template/parse"

	"github.com/cuegate/cuegate/engine"
)

// variableOf is a variable that the old controller gave to its templates.
type variableOf struct {
	kind kind
	// cue is the expression that has its value here.
	cue string
	// value is what the old controller would have given for a route.
	value func(engine.TemplateInput) any
	// note says what is assumed about it; "" for what is certain.
	note string
}

const (
	hostName      = "HostName"
	certificateID = "CertificateID"
	listenPath    = "ListenPath"
)

func variables() map[string]variableOf {
	return map[string]variableOf{
		"Name":        {kind: text, cue: "in.name", value: func(in engine.TemplateInput) any { return in.Name }},
		"Slug":        {kind: text, cue: "in.slug", value: func(in engine.TemplateInput) any { return in.Slug }},
		"Org":         {kind: text, cue: "in.org", value: func(in engine.TemplateInput) any { return in.Org }},
		listenPath:    {kind: text, cue: "in.path", value: func(in engine.TemplateInput) any { return in.Path }},
		"Target":      {kind: text, cue: "in.target", value: func(in engine.TemplateInput) any { return in.Target }},
		"GatewayTags": {kind: texts, cue: "in.tags", value: func(in engine.TemplateInput) any { return in.Tags }},
		hostName:      {kind: text, cue: "in.host", value: func(in engine.TemplateInput) any { return in.Host }},
		certificateID: {kind: texts, cue: "in.certificates", value: func(in engine.TemplateInput) any { return in.Certificates }},
	}
}

// variablesOf finds out what the variables are that templates in use take for one text
// or for a list: that differed from version to version.
func variablesOf(all *sources) map[string]variableOf {
	vars := variables()
	listed, printed := map[string]bool{}, map[string]bool{}
	for _, d := range all.order {
		eachNode(d.tree.Root, func(n parse.Node) {
			switch n := n.(type) {
			case *parse.RangeNode:
				noteNames(listed, lastArgs(n.Pipe))
			case *parse.CommandNode:
				if f, ok := n.Args[0].(*parse.IdentifierNode); ok && (f.Ident == "index" || f.Ident == "slice") && len(n.Args) > 1 {
					noteNames(listed, n.Args[1:2])
				}
			case *parse.ActionNode:
				if len(n.Pipe.Decl) == 0 {
					noteNames(printed, lastArgs(n.Pipe))
				}
			}
		})
	}
	if listed[hostName] {
		vars[hostName] = variableOf{
			kind: texts, cue: `[if in.host != "" {in.host}]`,
			value: func(in engine.TemplateInput) any {
				if in.Host == "" {
					return []string{}
				}
				return []string{in.Host}
			},
			note: "a template takes .HostName for a list, so it is the list of the one host",
		}
	}
	if printed[certificateID] && !listed[certificateID] {
		vars[certificateID] = variableOf{
			kind: text, cue: `[for id in in.certificates {id}, ""][0]`,
			value: func(in engine.TemplateInput) any {
				if len(in.Certificates) == 0 {
					return ""
				}
				return in.Certificates[0]
			},
			note: "templates take .CertificateID for one text, so it is the first certificate",
		}
	}
	return vars
}

// lastArgs are the args of a pipeline that is one value and nothing else.
func lastArgs(p *parse.PipeNode) []parse.Node {
	if p == nil || len(p.Cmds) == 0 || len(p.Cmds[0].Args) != 1 {
		return nil
	}
	return p.Cmds[0].Args
}

// noteNames notes the variables that are named as .X or $.X.
func noteNames(names map[string]bool, args []parse.Node) {
	for _, a := range args {
		switch a := a.(type) {
		case *parse.FieldNode:
			if len(a.Ident) == 1 {
				names[a.Ident[0]] = true
			}
		case *parse.VariableNode:
			if len(a.Ident) == 2 && a.Ident[0] == "$" {
				names[a.Ident[1]] = true
			}
		}
	}
}

// eachNode visits a node and all below it.
func eachNode(n parse.Node, visit func(parse.Node)) {
	if isNil(n) {
		return
	}
	visit(n)
	switch n := n.(type) {
	case *parse.ListNode:
		for _, x := range n.Nodes {
			eachNode(x, visit)
		}
	case *parse.ActionNode:
		eachNode(n.Pipe, visit)
	case *parse.TemplateNode:
		eachNode(n.Pipe, visit)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			eachNode(c, visit)
		}
	case *parse.CommandNode:
		for _, a := range n.Args {
			eachNode(a, visit)
		}
	case *parse.ChainNode:
		eachNode(n.Node, visit)
	}
	if b := branchOf(n); b != nil {
		eachNode(b.Pipe, visit)
		eachNode(b.List, visit)
		eachNode(b.ElseList, visit)
	}
}

func branchOf(n parse.Node) *parse.BranchNode {
	switch n := n.(type) {
	case *parse.IfNode:
		return &n.BranchNode
	case *parse.WithNode:
		return &n.BranchNode
	case *parse.RangeNode:
		return &n.BranchNode
	}
	return nil
}

// isNil tells whether there is no node: the parser keeps pointers that are nil.
func isNil(n parse.Node) bool {
	switch n := n.(type) {
	case nil:
		return true
	case *parse.ListNode:
		return n == nil
	case *parse.PipeNode:
		return n == nil
	}
	return false
}

// assigned are the variables that are assigned in a list of nodes, but not those that
// are declared there.
func assigned(list *parse.ListNode) []string {
	var names []string
	eachNode(list, func(n parse.Node) {
		if p, ok := n.(*parse.PipeNode); ok && p.IsAssign {
			for _, d := range p.Decl {
				if !slices.Contains(names, d.Ident[0]) {
					names = append(names, d.Ident[0])
				}
			}
		}
	})
	return names
}
