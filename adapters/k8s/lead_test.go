package k8s

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func election(identity string) Election {
	return Election{Namespace: "cuegate", Name: "cuegate", Identity: identity, Duration: time.Second, RenewDeadline: 600 * time.Millisecond, RetryPeriod: 100 * time.Millisecond}
}

// The Lease is let go only when the work is over, and then at once.
func TestLeadEndsInOrder(t *testing.T) {
	client := fake.NewClientset()
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	begun, finish, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		_ = election("a").lead(ctx, client, log, func(ctx context.Context) {
			close(begun)
			<-ctx.Done()
			<-finish
		})
	}()
	<-begun
	stop()
	holder := func() string {
		l, err := client.CoordinationV1().Leases("cuegate").Get(t.Context(), "cuegate", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return *l.Spec.HolderIdentity
	}
	if holder() != "a" {
		t.Error("the Lease was let go before the work was over")
	}
	close(finish)
	<-over
	if h := holder(); h != "" {
		t.Errorf("the Lease is held by %q after the end", h)
	}
}

// Who cannot renew the Lease stops at once, is told why, and leads again later.
func TestLeadLosesTheLease(t *testing.T) {
	client := fake.NewClientset()
	var away atomic.Bool
	client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		return away.Load(), nil, errors.New("the server is away")
	})
	ctx, stop := context.WithCancel(t.Context())
	causes, over := make(chan error, 2), make(chan struct{})
	var terms atomic.Int32
	go func() {
		defer close(over)
		_ = election("a").lead(ctx, client, slog.New(slog.DiscardHandler), func(ctx context.Context) {
			if terms.Add(1) == 1 {
				away.Store(true)
			}
			<-ctx.Done()
			causes <- context.Cause(ctx)
		})
	}()
	if cause := <-causes; !errors.Is(cause, ErrLostLease) {
		t.Errorf("the cause is %v", cause)
	}
	away.Store(false)
	until(t, "leading again", func() bool { return terms.Load() == 2 })
	stop()
	if cause := <-causes; errors.Is(cause, ErrLostLease) {
		t.Errorf("the cause of an orderly end is %v", cause)
	}
	<-over
}

// Who has not been elected ends when asked to.
func TestLeadEndsWhileWaiting(t *testing.T) {
	client := fake.NewClientset()
	log := slog.New(slog.DiscardHandler)
	first, stopFirst := context.WithCancel(t.Context())
	leads, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		_ = election("a").lead(first, client, log, func(ctx context.Context) { close(leads); <-ctx.Done() })
	}()
	<-leads
	second, stopSecond := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stopSecond()
	if err := election("b").lead(second, client, log, func(context.Context) { t.Error("both lead") }); err != nil {
		t.Error(err)
	}
	stopFirst()
	<-over
}
