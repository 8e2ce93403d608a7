package k8s

import (
	"context"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// Pusher keeps gateways at what is wanted. It is adapters/tyk's Fleet; the command
// puts the two together.
type Pusher interface {
	// Want says what shall be served from now on. It returns at once, and keeps all.
	// The first call has generation 1, the next 2, and so on.
	Want(all []engine.Desired)
	// Run pushes until ctx ends, and a while longer if that brings a batch to its end;
	// not so when the cause is ErrLostLease.
	Run(ctx context.Context) error
	// Targets are the gateways that there are now.
	Targets() []Target
	// Plan says what a push would change now, as something that makes good JSON and
	// holds no secret.
	Plan(ctx context.Context, all []engine.Desired) (any, error)
}

// Target is a gateway that is pushed to.
type Target struct {
	Name string
	// Scopes are those whose definitions a sidecar of the mesh gets, as engine.Definition
	// has them; nil is a gateway that is none.
	Scopes []string
}

func namesOf(targets []Target) []string {
	var names []string
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return names
}

// Pushed says what came of bringing one target to what is wanted.
type Pushed struct {
	Target string
	// Generation of what was wanted, as Pusher.Want counts.
	Generation uint64
	// Err ended it; it is tried again. Held is why nothing was pushed until someone
	// confirms, or "".
	Err  error
	Held string
	// Created, Updated, Deleted and Unchanged count definitions.
	Created, Updated, Deleted, Unchanged int
	// Failed are definitions that are not as they should be.
	Failed []PushFailure
	// Conflicts are definitions that are not served because an older one is.
	Conflicts []engine.Conflict
	// Certificates that cannot be served.
	Certificates []CertificateFailure
	// Drift counts what had changed on the target since it was pushed, and is repaired.
	Drift int
	// Reloads counts those asked for, and ReloadsFailed those of them that failed.
	Reloads, ReloadsFailed int
	Took                   time.Duration
}

// PushFailure is a definition that a target does not have as it should.
type PushFailure struct {
	Object engine.Ref
	ID     string
	Err    error
}

// CertificateFailure is a certificate that a target cannot serve.
type CertificateFailure struct {
	// Secret is "namespace/name".
	Secret string
	Err    error
}
