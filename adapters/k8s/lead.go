package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrLostLease is the cause of the end of a context whose work another controller does
// now: it must stop at once.
var ErrLostLease = errors.New("the lease is lost")

// Election says how several controllers agree on one of them, by a Lease.
type Election struct {
	Namespace, Name string
	// Identity of this controller among the others.
	Identity string
	// A Lease that was not renewed for Duration (15 s where it is 0) goes to another;
	// the holder gives up after RenewDeadline (10 s), and tries every RetryPeriod (2 s).
	Duration, RenewDeadline, RetryPeriod time.Duration
}

func (e Election) withDefaults() Election {
	if e.Duration == 0 {
		e.Duration, e.RenewDeadline, e.RetryPeriod = 15*time.Second, 10*time.Second, 2*time.Second
	}
	return e
}

// lead calls term each time that this controller is elected, until ctx ends. The
// context of a term ends with ctx, or with the cause ErrLostLease. The Lease is let go
// only when term has returned, so that two never work at once.
func (e Election) lead(ctx context.Context, client kubernetes.Interface, log *slog.Logger, term func(context.Context)) error {
	e = e.withDefaults()
	for ctx.Err() == nil {
		if err := e.once(ctx, client, log, term); err != nil {
			return err
		}
	}
	return nil
}

// Whether an election has come to a term.
const (
	waiting = iota
	elected
	ended
)

// once waits to be elected, and returns when the term is over.
func (e Election) once(ctx context.Context, client kubernetes.Interface, log *slog.Logger, term func(context.Context)) error {
	campaign, resign := context.WithCancel(context.WithoutCancel(ctx))
	defer resign()
	var state atomic.Int32
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		if state.CompareAndSwap(waiting, ended) {
			resign()
		}
	})
	defer stop()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: e.Identity},
		},
		Name:          e.Name,
		LeaseDuration: e.Duration, RenewDeadline: e.RenewDeadline, RetryPeriod: e.RetryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				defer close(over)
				if !state.CompareAndSwap(waiting, elected) {
					return
				}
				log.Info("this controller leads", "lease", e.Namespace+"/"+e.Name, "identity", e.Identity)
				t, end := context.WithCancelCause(ctx)
				defer end(nil)
				context.AfterFunc(held, func() { end(ErrLostLease) })
				term(t)
				resign()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != e.Identity {
					log.Info("another controller leads", "identity", identity)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("electing a leader: %w", err)
	}
	elector.Run(campaign)
	// A term that was to begin just when the Lease was lost must not begin any more.
	if !state.CompareAndSwap(waiting, ended) && state.Load() == elected {
		<-over
		if ctx.Err() == nil {
			log.Warn("this controller no longer leads")
		}
	}
	return nil
}
