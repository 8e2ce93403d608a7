package tyk

import (
	"fmt"
	"time"

	"github.com/cuegate/cuegate/engine"
)

// Report says what came of one synchronisation with one target.
type Report struct {
	Target string
	// Sidecar: the target is one, and gets definitions of the mesh alone.
	Sidecar bool
	Status  Status
	// Counts of definitions that are loaded, or gone, as they were to be.
	Created, Updated, Deleted, Unchanged int
	// Failed are the definitions that are not as they should be, each with the reason.
	Failed []Failure
	// Drift is what had changed on the target since it was pushed; it is repaired
	// unless it stands in Failed too, or its object is held.
	Drift []Drift
	// Conflicts are definitions that are not served because an older one is.
	Conflicts []engine.Conflict
	// Held is set when nothing was pushed because the plan deletes too much.
	Held *Held
	// CertificatesAdded and CertificatesRemoved are ids.
	CertificatesAdded, CertificatesRemoved []string
	// Certificates that cannot be served, each with the reason.
	Certificates []CertificateProblem
	// Err ended the synchronisation; a later one goes on from there.
	Err error
	// Took is how long it took.
	Took time.Duration
	// Reloads counts those that were asked for, and ReloadsFailed those that failed.
	Reloads, ReloadsFailed int
	// Generation counts the calls of Fleet.Want up to the one that said what was
	// wanted here; 0 for Fleet.Sync.
	Generation uint64
}

// Failure is a definition that a target does not have as it should.
type Failure struct {
	ID    string
	Owner engine.Ref
	Err   error
}

// CertificateProblem is a certificate that a target cannot serve.
type CertificateProblem struct {
	ID string
	// Secret is "namespace/name"; "" of one that should be gone.
	Secret string
	Err    error
}

// Held says that a plan waits to be confirmed.
type Held struct {
	Deletes, Live int
}

func (h Held) String() string {
	return fmt.Sprintf("the plan deletes %d of %d definitions, which looks like a mistake; nothing is pushed until that is confirmed", h.Deletes, h.Live)
}

// Changed tells whether anything was pushed.
func (r Report) Changed() bool {
	return r.Created+r.Updated+r.Deleted+len(r.CertificatesAdded)+len(r.CertificatesRemoved) > 0
}

// OK tells whether the target has all that it should.
func (r Report) OK() bool {
	return r.Err == nil && r.Held == nil && len(r.Failed) == 0 && len(r.Certificates) == 0
}

// Progress is told while a push goes on.
type Progress struct {
	Target string
	// Phase is writing, reloading or verifying.
	Phase string
	// Done of Total calls; both 0 where they are not counted.
	Done, Total int
}
