package k8s

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cuegate/cuegate/engine"
)

// atOnce is how many Secrets are read at the same time.
const atOnce = 8

// secrets reads the TLS Secrets that objects of ours name. Private keys of others
// never come into this process.
type secrets struct {
	client kubernetes.Interface
	// versions are the resource versions of those that were read, by
	// "namespace/name". The loop's goroutine alone uses it.
	versions map[string]string
}

func newSecrets(client kubernetes.Interface) *secrets {
	return &secrets{client: client, versions: map[string]string{}}
}

// fetch reads the Secrets that the decided objects name and that are new, and gives
// the objects to decide about again, and those whose Secrets cannot be read now.
func (s *secrets) fetch(ctx context.Context, l *loop, results map[engine.Ref]result) (again set, failed map[engine.Ref]error) {
	again, failed = set{}, map[engine.Ref]error{}
	wanted := group{}
	for ref, r := range results {
		if r.desired.Outcome == engine.Ignored {
			continue
		}
		for _, name := range l.index.links[ref].secrets {
			if s.isNew(l, name) {
				wanted.add(name, ref)
			}
		}
	}
	read := s.readAll(ctx, wanted)
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, refs := range wanted {
		a := read[name]
		switch {
		case apierrors.IsNotFound(a.err):
			s.forget(l, name)
		case a.err != nil:
			for ref := range refs {
				failed[ref] = fmt.Errorf("reading the Secret %s: %w", name, a.err)
			}
			continue
		default:
			l.put(a.secret)
			s.versions[name] = a.secret.ResourceVersion
		}
		for ref := range refs {
			again[ref] = struct{}{}
		}
	}
	for ref := range failed {
		delete(again, ref)
	}
	return again, failed
}

// isNew tells whether there is such a Secret, and it is not the one that was read.
func (s *secrets) isNew(l *loop, name string) bool {
	x, there := l.watch.get(secretRef(name))
	if !there || l.isCertificate(name) {
		return false
	}
	m, ok := x.(*metav1.PartialObjectMetadata)
	return ok && m.ResourceVersion != s.versions[name]
}

type secretAnswer struct {
	secret *corev1.Secret
	err    error
}

func (s *secrets) readAll(ctx context.Context, wanted group) map[string]secretAnswer {
	answers := make(map[string]secretAnswer, len(wanted))
	var mu sync.Mutex
	var reading sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for name := range wanted {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			ref := secretRef(name)
			secret, err := s.client.CoreV1().Secrets(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
			mu.Lock()
			defer mu.Unlock()
			answers[name] = secretAnswer{secret, err}
		})
	}
	reading.Wait()
	return answers
}

func secretRef(name string) engine.Ref {
	namespace, name, _ := strings.Cut(name, "/")
	return engine.Ref{Kind: kindSecret, Namespace: namespace, Name: name}
}

// changed forgets a Secret that is gone. One that is another now is read when an
// object needs it; until then the old one serves. The caller holds the loop's lock.
func (s *secrets) changed(l *loop, ref engine.Ref) {
	if _, there := l.watch.get(ref); !there {
		s.forget(l, ref.Namespace+"/"+ref.Name)
	}
}

func (s *secrets) forget(l *loop, name string) {
	delete(s.versions, name)
	if !l.isCertificate(name) {
		l.neighbours.Delete(head(secretRef(name)))
	}
}

// forgetUnused lets go of the Secrets that no object of ours names any more. The caller
// holds the loop's lock.
func (s *secrets) forgetUnused(l *loop) {
	for name := range s.versions {
		used := false
		for ref := range l.index.bySecret[name] {
			d, ok := l.desired[ref]
			used = used || ok && d.Outcome != engine.Ignored
		}
		if !used {
			s.forget(l, name)
		}
	}
}
