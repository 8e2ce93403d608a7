package k8s

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/engine"
)

// Rules of a bundle that changes
//
// It is loaded and checked whole, beside the one that is in use, and takes its place
// only when nothing is wrong with it. One that is broken is refused, and the old one
// stays. Where there is no old one, nothing is decided: the built-in bundle alone
// would open what the operator's closes. A source that is named and gives nothing is
// broken too.

const (
	// bundleQuiet is how long the sources have to be quiet before they are read:
	// editors and kubectl write in bursts.
	bundleQuiet = 200 * time.Millisecond
	// bundleAgain is how often they are read although nothing was heard of them: a
	// folder may be on a file system that tells of nothing.
	bundleAgain = 10 * time.Second
)

// bundleOptions are what bundles needs. With neither folder nor ConfigMaps the bundle is
// the built-in one alone; what both give is merged.
type bundleOptions struct {
	Builtin fs.FS
	// Dir is a folder of the operator's files, or "".
	Dir string
	// Selector is a label selector as kubectl takes it, "cuegate.dev/bundle=active", of
	// ConfigMaps in Namespace that hold files (pieces.go tells how); "" is none.
	Namespace, Selector string
	// Client is needed for ConfigMaps only.
	Client kubernetes.Interface
	// Swap is given each bundle that takes the place of another, and the first. It is
	// called by one goroutine.
	Swap func(*engine.Bundle)
	// Event writes an Event, and tells whether it did: it does nothing when another
	// controller is the one to tell. It may be nil.
	Event func(about *corev1.ConfigMap, eventtype, reason, message string) bool
	// Metrics may be nil.
	Metrics bundleMetrics
	Log     *slog.Logger

	quiet, again time.Duration // bundleQuiet and bundleAgain where they are 0
}

// bundleMetrics counts what became of bundles.
type bundleMetrics interface {
	// bundleLoaded says which bundle is in use, and that nothing is wrong with the
	// sources. generation counts the bundles that were in use, from 1.
	bundleLoaded(digest string, generation uint64)
	// bundleRefused says that the sources hold a broken bundle.
	bundleRefused()
}

// bundles loads the bundle, and again whenever its sources change.
type bundles struct {
	o      bundleOptions
	folder *folderWatch
	maps   *configMaps
	dirty  chan struct{}

	// Of the goroutine that runs.
	tried [sha256.Size]byte
	late  bool // it was warned of that
	// untold are the ConfigMaps whose refusal no Event tells of yet.
	untold  []*corev1.ConfigMap
	refusal string
	looked  atomic.Int64 // how often the sources were read

	mu    sync.Mutex
	state bundleState
}

// bundleState is what became of the bundle.
type bundleState struct {
	bundle     *engine.Bundle
	generation uint64
	// problems are those of the bundle that was refused last; none when the sources
	// hold what is in use.
	problems []engine.Problem
}

func newBundles(o bundleOptions) (*bundles, error) {
	b := followBundle(o)
	if o.Selector != "" {
		var err error
		if b.maps, err = newConfigMaps(o.Client, o.Namespace, o.Selector, b.wake); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// followBundle is newBundles without ConfigMaps.
func followBundle(o bundleOptions) *bundles {
	o.quiet, o.again = cmp.Or(o.quiet, bundleQuiet), cmp.Or(o.again, bundleAgain)
	if o.Event == nil {
		o.Event = func(*corev1.ConfigMap, string, string, string) bool { return true }
	}
	return &bundles{o: o, dirty: make(chan struct{}, 1)}
}

// run loads the bundle and follows its sources until ctx ends.
func (b *bundles) run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	if b.o.Dir != "" {
		b.follow(ctx, &all)
	}
	if b.maps != nil {
		all.Go(func() { b.maps.run(ctx) })
		if !b.maps.wait(ctx) {
			return nil
		}
	}
	b.look(ctx)
	again := time.NewTicker(b.o.again)
	defer again.Stop()
	quiet := time.NewTimer(b.o.quiet)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.dirty:
			quiet.Reset(b.o.quiet)
		case <-quiet.C:
			b.look(ctx)
		case <-again.C:
			b.look(ctx)
		}
	}
}

// follow watches the folder, where the machine can: else it is read every so often.
func (b *bundles) follow(ctx context.Context, all *sync.WaitGroup) {
	w, err := newFolderWatch(b.o.Dir)
	if err != nil {
		b.isLate(err)
		return
	}
	b.folder = w
	all.Go(func() { w.run(ctx, b.wake) })
}

// isLate warns once that the folder cannot be watched, and is only read every so often.
func (b *bundles) isLate(err error) {
	if !b.late {
		b.late = true
		b.o.Log.Warn("changes of the bundle are found late: its folder cannot be watched", "dir", b.o.Dir, "error", err)
	}
}

func (b *bundles) wake() {
	select {
	case b.dirty <- struct{}{}:
	default:
	}
}

// look reads the sources, and loads what they hold if it is not what they held before.
func (b *bundles) look(ctx context.Context) {
	defer b.looked.Add(1)
	if b.folder != nil {
		// Before reading, so that what comes later is heard of.
		if err := b.folder.watch(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.isLate(err)
		}
	}
	pieces, problems := b.gather()
	print := fingerprint(pieces, problems)
	if print == b.tried {
		b.tellLate()
		return
	}
	var loaded *engine.Bundle
	if len(problems) == 0 {
		loaded, problems = b.load(ctx, pieces)
	}
	switch {
	case ctx.Err() != nil:
	case len(problems) > 0:
		b.tried = print
		b.refuse(pieces, problems)
	default:
		b.tried = print
		b.accept(pieces, loaded)
	}
}

// gather reads all sources.
func (b *bundles) gather() ([]piece, []engine.Problem) {
	var pieces []piece
	var problems []engine.Problem
	if dir := b.o.Dir; dir != "" {
		found, err := readFolder(dir)
		switch {
		case err != nil:
			problems = append(problems, engine.Problem{Message: fmt.Sprintf("reading the folder of the bundle: %s", err)})
		case len(found) == 0:
			problems = append(problems, engine.Problem{Message: fmt.Sprintf("the folder of the bundle, %s, holds no files", dir)})
		}
		pieces = append(pieces, found...)
	}
	if b.maps != nil {
		found := b.maps.pieces()
		if len(found) == 0 {
			problems = append(problems, engine.Problem{Message: fmt.Sprintf("no ConfigMap with a file is in namespace %s with labels %s", b.o.Namespace, b.o.Selector)})
		}
		pieces = append(pieces, found...)
	}
	sortPieces(pieces)
	return pieces, problems
}

// load makes a bundle of sorted pieces. What makes a library panic is a problem of
// the bundle, and no end of the program.
func (b *bundles) load(ctx context.Context, pieces []piece) (loaded *engine.Bundle, problems []engine.Problem) {
	defer func() {
		if p := recover(); p != nil {
			loaded, problems = nil, []engine.Problem{{Message: fmt.Sprintf("loading the bundle failed: %v", p)}}
		}
	}()
	var operator fs.FS
	if b.o.Dir != "" || b.maps != nil {
		if operator, problems = assemble(pieces); len(problems) > 0 {
			return nil, problems
		}
	}
	loaded, err := engine.LoadBundle(ctx, b.o.Builtin, operator)
	var broken *engine.BundleError
	switch {
	case errors.As(err, &broken):
		return nil, broken.Problems
	case err != nil:
		return nil, []engine.Problem{{Message: err.Error()}}
	}
	return loaded, loaded.Check()
}

// accept puts a bundle in use, unless it is the one that is.
func (b *bundles) accept(pieces []piece, loaded *engine.Bundle) {
	b.untold = nil
	before := b.now()
	same := before.bundle != nil && before.bundle.Digest() == loaded.Digest()
	after := bundleState{bundle: before.bundle, generation: before.generation}
	if !same {
		after.bundle = loaded
		after.generation++
		b.o.Swap(loaded)
	}
	b.set(after)
	if b.o.Metrics != nil {
		b.o.Metrics.bundleLoaded(loaded.Digest(), after.generation)
	}
	if same && len(before.problems) == 0 {
		return
	}
	b.o.Log.Info("bundle loaded", "digest", loaded.Digest(), "generation", after.generation, "templates", len(loaded.Templates()))
	// One that was there at the start is no news: a restart tells nothing.
	if before.bundle != nil || len(before.problems) > 0 {
		for _, c := range owners(pieces) {
			b.o.Event(c, corev1.EventTypeNormal, "BundleLoaded", "The bundle is in use: "+loaded.Digest())
		}
	}
}

// refuse leaves what is in use as it is, and says what is wrong with the new one.
func (b *bundles) refuse(pieces []piece, problems []engine.Problem) {
	after := b.now()
	after.problems = problems
	b.set(after)
	if b.o.Metrics != nil {
		b.o.Metrics.bundleRefused()
	}
	what := "the one before stays in use"
	if after.bundle == nil {
		what = "nothing is decided until it is mended"
	}
	b.o.Log.Error("bundle refused: "+what, "problems", someProblems(problems), "count", len(problems))
	b.untold = atFault(problems, pieces)
	b.refusal = clipText(fmt.Sprintf("The bundle is broken: %s.\n%s", what, texts(problems)))
	b.tellLate()
}

// tellLate tells of a refusal when this is the one to tell: who is not so now may be
// later, with the bundle still broken.
func (b *bundles) tellLate() {
	b.untold = slices.DeleteFunc(b.untold, func(c *corev1.ConfigMap) bool {
		return b.o.Event(c, corev1.EventTypeWarning, "BundleRefused", b.refusal)
	})
}

func (b *bundles) now() bundleState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

func (b *bundles) set(s bundleState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
}

// ready tells whether a bundle is in use; the error says why not.
func (b *bundles) ready() error {
	switch s := b.now(); {
	case s.bundle != nil:
		return nil
	case len(s.problems) > 0:
		return fmt.Errorf("the bundle is broken: %s", clipText(texts(s.problems)))
	}
	return errors.New("no bundle is loaded yet")
}

// Bounds of what is told of a broken bundle: one mistake may make a hundred problems,
// and an Event holds 1024 bytes.
const (
	maxProblems = 20
	maxText     = 1000
)

func texts(problems []engine.Problem) string {
	return (&engine.BundleError{Problems: problems}).Error()
}

// someProblems gives as many as are told of, each on a line of its own.
func someProblems(problems []engine.Problem) []string {
	var some []string
	for _, p := range problems[:min(len(problems), maxProblems)] {
		some = append(some, clipText(p.String()))
	}
	return some
}

// clipText cuts a text that is too long for an Event.
func clipText(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText - len("...")
	for cut > 0 && text[cut]&0xC0 == 0x80 { // not within a character
		cut--
	}
	return text[:cut] + "..."
}

// bundleView is a bundleState as /debug/bundle gives it.
type bundleView struct {
	// Digest is "" while no bundle is in use.
	Digest     string   `json:"digest"`
	Generation uint64   `json:"generation"`
	Templates  []string `json:"templates"`
	// Refused is what is wrong with what the sources hold now; none when that is in
	// use. Problems counts all of it.
	Refused  []string `json:"refused,omitempty"`
	Problems int      `json:"problems,omitempty"`
}

func (b *bundles) view() bundleView {
	s := b.now()
	v := bundleView{Generation: s.generation, Templates: []string{}, Refused: someProblems(s.problems), Problems: len(s.problems)}
	if s.bundle != nil {
		v.Digest, v.Templates = s.bundle.Digest(), slices.Clone(s.bundle.Templates())
	}
	return v
}
