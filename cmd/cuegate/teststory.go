package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/cmd/cuegate/internal/bundletest"
	"github.com/cuegate/cuegate/engine"
	"github.com/spf13/cobra"
)

// ask loads the files of a story.
func ask(_ context.Context, b *engine.Bundle, s *bundletest.Story) (bundletest.Answers, error) {
	c, err := readConfig("")
	if err != nil {
		return nil, err
	}
	if s.Config != nil {
		f, err := parseConfigFile("config.yaml", s.Config)
		if err == nil {
			err = c.take(f)
		}
		if err == nil {
			err = c.check()
		}
		if err != nil {
			return nil, err
		}
	}
	l := &loaded{config: c, bundle: b, engine: engine.New(b, c.engine())}
	for _, f := range s.Manifests {
		l.parse(f.Name, f.Data)
	}
	l.texts = nil
	l.dropRepeated()
	var bad []engine.Rejected
	l.cluster, bad = engine.NewCluster(l.objects)
	l.rejected = append(l.rejected, bad...)
	return storyAnswers{l}, nil
}

// storyAnswers are the answers to one story.
type storyAnswers struct{ *loaded }

func (a storyAnswers) Want(ctx context.Context, w bundletest.Want) (string, error) {
	var b bytes.Buffer
	if object, field, ok := w.Explain(); ok {
		if err := a.tellExplanation(ctx, &b, object, field); err != nil {
			return "", err
		}
		return masked(b.String()), nil
	}
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	doc, _, err := a.render(cmd)
	if err != nil {
		return "", err
	}
	if err := a.tellOutcomes(ctx, &b); err != nil {
		return "", err
	}
	if w.Name == bundletest.WantAll {
		if err := tellDefinitions(&b, doc); err != nil {
			return "", err
		}
	}
	return masked(b.String()), nil
}

func (a storyAnswers) tellExplanation(ctx context.Context, w io.Writer, object, field string) error {
	ref, err := engine.ParseRef(object)
	if err != nil {
		return err
	}
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	x, err := a.explain(cmd, ref)
	if err != nil {
		return err
	}
	if field != "" && !keepField(&x, field) {
		return fmt.Errorf("no definition of %s has a value at %s", ref, field)
	}
	p := printer{w: w}
	p.explanation(x, field)
	return p.err
}

// tellOutcomes tells what became of each object, and why. Objects that ask for nothing
// are left out.
func (a storyAnswers) tellOutcomes(ctx context.Context, w io.Writer) error {
	all, err := a.decideAll(ctx)
	if err != nil {
		return err
	}
	_, conflicts := engine.MakePlan(all, nil)
	slices.SortStableFunc(all, func(x, y engine.Desired) int { return cmp.Compare(x.Object.String(), y.Object.String()) })
	p := printer{w: w}
	for _, r := range a.rejected {
		p.printf("%s is refused\n", r.Source)
		p.reason("  ", r.Reason)
	}
	for _, d := range all {
		var lost []engine.Reason
		for _, c := range conflicts {
			if c.Object == d.Object {
				lost = append(lost, c.Reason)
			}
		}
		switch {
		case d.Outcome == engine.Ignored && len(d.Reasons) == 0:
			continue
		case isPending(d):
			p.printf("%s is pending\n", d.Object.String())
		case d.Outcome == engine.Managed && len(lost) > 0:
			p.printf("%s is managed by %s, but %s not served\n", d.Object.String(), templates(d), isOrAre(len(lost), "route"))
		case d.Outcome == engine.Managed:
			p.printf("%s is managed by %s\n", d.Object.String(), templates(d))
		default:
			p.printf("%s is %s\n", d.Object.String(), string(d.Outcome))
		}
		for _, r := range slices.Concat(d.Reasons, lost) {
			p.reason("  ", r)
		}
		for _, r := range d.Warnings {
			r.ID = "warning " + r.ID
			p.reason("  ", r)
		}
	}
	return p.err
}

// templates names those of an object.
func templates(d engine.Desired) string {
	switch {
	case d.Template == "":
		return "no template"
	case strings.Contains(d.Template, ", "):
		return "the templates " + d.Template
	}
	return "the template " + d.Template
}

// tellDefinitions prints what render prints of the objects that are managed.
func tellDefinitions(w io.Writer, doc document) error {
	made := struct {
		APIs     []apiEntry     `json:"apis,omitempty"`
		Patches  []patchEntry   `json:"patches,omitempty"`
		Services []serviceEntry `json:"services,omitempty"`
	}{doc.APIs, doc.Patches, doc.Services}
	if len(made.APIs)+len(made.Patches)+len(made.Services) == 0 {
		return nil
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return printYAML(w, made)
}

var digests = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\bsha256:[0-9a-f]{64}`), "sha256:..."},
	{regexp.MustCompile(`(?m)^( +hash: )[0-9a-f]{64}$`), "${1}..."},
	{regexp.MustCompile(`(?m)^( +config_data\.cuegate\.hash +")[0-9a-f]{64}"`), `${1}..."`},
	{regexp.MustCompile(`(<- .* cue/[\w/]+\.cue):\d+`), "$1"},
}

// masked leaves out digests of what is written there anyway, or in the bundle, and the
// lines of what is built in: they are others in each version.
func masked(text string) string {
	for _, d := range digests {
		text = d.what.ReplaceAllString(text, d.with)
	}
	return text
}
