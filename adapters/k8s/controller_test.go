package k8s

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// quietPusher wants everything and pushes nothing.
type quietPusher struct{}

func (quietPusher) Want([]engine.Desired)         {}
func (quietPusher) Targets() []Target             { return nil }
func (quietPusher) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (quietPusher) Plan(context.Context, []engine.Desired) (any, error) {
	return nil, errors.New("there is none")
}

func newController(t *testing.T, o Options) *Controller {
	t.Helper()
	kinds := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(kinds); err != nil {
		t.Fatal(err)
	}
	o.Client, o.Metadata, o.Builtin = fake.NewClientset(), metadatafake.NewSimpleMetadataClient(kinds), cuegate.Builtin()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A controller that cannot push ends, and does not keep others from it.
func TestControllerThatCannotPush(t *testing.T) {
	c := newController(t, Options{NewPusher: func(func(Pushed)) (Pusher, error) { return nil, errors.New("no secret") }})
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing can be pushed: no secret") {
		t.Errorf("the controller ended with %v", err)
	}
}

// Why no targets are found is logged once, and again when it is something else.
func TestControllerLogsATroubleOnce(t *testing.T) {
	var log bytes.Buffer
	c := newController(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	term := &pushTerm{pusher: quietPusher{}, ledger: newLedger()}
	c.beginPush(term)
	for _, text := range []string{"away", "away", "forbidden", "forbidden"} {
		c.pushed(term, Pushed{Err: errors.New(text)})
	}
	if n := strings.Count(log.String(), "a push failed"); n != 2 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}

// What a pusher reports whose time is over counts no more.
func TestControllerPassesOverLateReports(t *testing.T) {
	c := newController(t, Options{})
	c.beginPush(&pushTerm{pusher: quietPusher{}, ledger: newLedger()})
	c.pushed(&pushTerm{pusher: quietPusher{}, ledger: newLedger()}, Pushed{Target: "gateway", Generation: 1})
	if c.pushedOnce.Load() {
		t.Error("a late report counts as a push")
	}
}

// Who tells forgets what is gone: names that come and go must not fill the memory.
func TestControllerForgetsWhatIsGone(t *testing.T) {
	c := newController(t, Options{})
	c.beginPush(&pushTerm{pusher: quietPusher{}, ledger: newLedger()})
	c.telling = newTeller(tellerOptions{Object: c.object, Verdict: c.verdict})
	ref := engine.Ref{Kind: kindIngress, Namespace: "shop", Name: "web"}
	c.telling.remember(ref, told{})
	c.gone(ref)
	c.telling.next(t.Context())
	if n := len(c.telling.told); n != 0 {
		t.Errorf("%d objects are remembered", n)
	}
}
