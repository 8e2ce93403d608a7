package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/engine"
)

const exitChanges = 1

// diffDocument is what diff prints as JSON.
type diffDocument struct {
	Targets []diffTarget `json:"targets"`
}

type diffTarget struct {
	Target    string        `json:"target"`
	Changes   []diffChange  `json:"changes"`
	Unchanged int           `json:"unchanged"`
	Conflicts []reasonEntry `json:"conflicts"`
	Held      string        `json:"held,omitempty"`
	Error     string        `json:"error,omitempty"`
}

type diffChange struct {
	Action engine.Action `json:"action"`
	ID     string        `json:"id"`
	Object string        `json:"object"`
	Listen string        `json:"listen"`
	Drift  tyk.DriftKind `json:"drift,omitempty"`
	Fields []diffField   `json:"fields,omitempty"`
}

type diffField struct {
	Path   string          `json:"path"`
	Live   json.RawMessage `json:"live,omitempty"`
	Wanted json.RawMessage `json:"wanted"`
}

func newDiff() *cobra.Command {
	var p pushing
	var output string
	cmd := &cobra.Command{
		Use:   "diff -f FILE|DIR|- (--gateway URL | --dashboard URL)",
		Short: "Show what apply would change",
		Long: `Diff decides the manifests, compares them with what the gateways or the Dashboard
have, and prints what apply would create, update and delete. It changes nothing.

It exits with 0 when there is nothing to change, with 1 when there is, and with 2 when
something went wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: it is text or json", output)
			}
			out := newReporter(cmd.ErrOrStderr())
			l, all, fleet, err := p.prepare(cmd, out)
			if err != nil {
				return err
			}
			out.decisions(all, l.rejections())
			diffs, err := fleet.Diff(cmd.Context(), all)
			if err != nil {
				return err
			}
			doc := describeDiffs(diffs)
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), doc)
			} else {
				p := printer{w: cmd.OutOrStdout(), colour: hasColour(cmd.OutOrStdout())}
				p.diff(doc)
				err = p.err
			}
			if err != nil {
				return err
			}
			return diffExit(doc)
		},
	}
	p.flags(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func diffExit(doc diffDocument) error {
	code := exitOK
	for _, t := range doc.Targets {
		if t.Error != "" {
			return &exitError{code: exitUsage, message: t.Target + ": " + t.Error}
		}
		if len(t.Changes) > 0 {
			code = exitChanges
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}

func describeDiffs(diffs []tyk.Diff) diffDocument {
	doc := diffDocument{Targets: []diffTarget{}}
	for _, d := range diffs {
		t := diffTarget{Target: d.Target, Changes: []diffChange{}, Unchanged: d.Unchanged, Conflicts: []reasonEntry{}}
		for _, c := range d.Changes {
			x := diffChange{Action: c.Action, ID: c.ID, Object: c.Owner.String(), Listen: c.Listen, Drift: c.Drift}
			for _, f := range c.Fields {
				x.Fields = append(x.Fields, diffField(f))
			}
			t.Changes = append(t.Changes, x)
		}
		for _, c := range d.Conflicts {
			t.Conflicts = append(t.Conflicts, reasonEntry{c.Object.String(), c.Reason.ID, sentence(c.Reason)})
		}
		if d.Held != nil {
			t.Held = d.Held.String()
		}
		if d.Err != nil {
			t.Error = d.Err.Error()
		}
		doc.Targets = append(doc.Targets, t)
	}
	return doc
}

// signs and colours of the actions.
var diffSigns = map[engine.Action]struct {
	sign   string
	colour int
}{engine.Create: {"+", 32}, engine.Update: {"~", 33}, engine.Delete: {"-", 31}}

func (p *printer) diff(doc diffDocument) {
	for _, t := range doc.Targets {
		if t.Error != "" {
			continue
		}
		p.printf("%s: %s, %d unchanged\n", t.Target, count(len(t.Changes), "change"), t.Unchanged)
		if t.Held != "" {
			p.printf("  held: %s (--confirm-deletes)\n", t.Held)
		}
		for _, c := range t.Changes {
			s := diffSigns[c.Action]
			drift := ""
			if c.Drift != "" {
				drift = fmt.Sprintf("  (drift: %s)", c.Drift)
			}
			p.printf("  %s %s  %s  %s%s\n", p.paint(s.colour, s.sign+" "+string(c.Action)), c.ID, c.Object, c.Listen, drift)
			for _, f := range c.Fields {
				live := "none"
				if f.Live != nil {
					live = string(f.Live)
				}
				p.printf("      %s: %s -> %s\n", f.Path, live, string(f.Wanted))
			}
		}
	}
}
