package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/cuegate/cuegate/engine"
)

// clock is one that a test moves.
type clock struct{ unix atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.unix.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Unix())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(c.unix.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.unix.Add(int64(d / time.Second)) }

// newSelf gives one that looks often, as the clock of a test wakes nobody.
func newSelf(t testing.TB, c *cluster, clock *clock, log *slog.Logger) *Self {
	t.Helper()
	s, err := NewSelf(SelfOptions{
		Client: c, Namespace: testNamespace, Secret: testSecret, Service: testService, Configuration: testConfiguration,
		Interval: 5 * time.Millisecond, Now: clock.now, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.pace.SetLimit(1000)
	return s
}

// TestSelf: from an empty namespace to a webhook that is trusted.
func TestSelf(t *testing.T) {
	c, clock := newCluster(t), newClock()
	log := &lockedBuffer{}
	s := newSelf(t, c, clock, slog.New(slog.NewTextHandler(log, nil)))
	follow(t, s)
	eventually(t, "a certificate is served, though there is no configuration", func() bool { _, err := s.GetCertificate(nil); return err == nil })
	c.configure()
	eventually(t, "the CA is told", func() bool { return bytes.Equal(c.bundle(), c.authority().bundle()) })
	a := c.authority()
	if !serves(s, a) {
		t.Error("something else is served")
	}
	for i, want := range [][]byte{a.bundle(), []byte("theirs"), []byte("theirs"), a.bundle()} {
		w := c.configuration().Webhooks[i]
		if !bytes.Equal(w.ClientConfig.CABundle, want) {
			t.Errorf("%s has the CA %q", w.Name, w.ClientConfig.CABundle)
		}
		if i == 2 && (w.ClientConfig.URL == nil || w.ClientConfig.Service != nil) {
			t.Error("more than the CA was changed")
		}
	}
	secret := c.secret()
	if secret.Type != corev1.SecretTypeTLS || !bytes.Equal(secret.Data["ca.crt"], a.bundle()) {
		t.Errorf("the Secret is of type %s, its ca.crt %q", secret.Type, secret.Data["ca.crt"])
	}
	if n := c.written("create secrets") + c.written("update secrets") + c.written("patch mutatingwebhookconfigurations"); n != 2 {
		t.Errorf("it took %d writes: %q", n, c.writes)
	}

	// Somebody applies the configuration again as it was.
	wiped := c.configuration()
	wiped.Webhooks[3].ClientConfig.CABundle = nil
	if _, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), wiped, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the CA is told again", func() bool { return bytes.Equal(c.configuration().Webhooks[3].ClientConfig.CABundle, a.bundle()) })

	// Somebody removes it, and installs it again.
	if err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(t.Context(), testConfiguration, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.configure()
	eventually(t, "the CA is told to the new one", func() bool { return bytes.Equal(c.bundle(), a.bundle()) })

	// ca.crt is for others: it is kept right.
	secret = c.secret()
	secret.Data["ca.crt"] = []byte("wrong")
	if _, err := c.CoreV1().Secrets(testNamespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ca.crt is right again", func() bool { return bytes.Equal(c.secret().Data["ca.crt"], a.bundle()) })
	if !serves(s, a) {
		t.Error("the certificate changed without need")
	}
	if text := log.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "PRIVATE") {
		t.Errorf("it logged\n%s", text)
	}
}

// TestRace: replicas that start at the same moment agree on one certificate.
func TestRace(t *testing.T) {
	for range 20 {
		c, clock := newCluster(t), newClock()
		c.configure()
		replicas := make([]*Self, 4)
		for i := range replicas {
			replicas[i] = newSelf(t, c, clock, nil)
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, s := range replicas {
			all.Go(func() { _ = s.Run(ctx) })
		}
		eventually(t, "all serve what the Secret holds, and the API server knows its CA", func() bool {
			a := c.authority()
			for _, s := range replicas {
				if a == nil || !serves(s, a) {
					return false
				}
			}
			return bytes.Equal(c.bundle(), a.bundle())
		})
		stop()
		all.Wait()
		if made, changed := c.written("create secrets"), c.written("update secrets"); made != 1 || changed != 0 {
			t.Fatalf("the Secret was made %d times and changed %d times", made, changed)
		}
		if told := c.written("patch mutatingwebhookconfigurations"); told != 1 {
			t.Fatalf("the CA was told %d times", told)
		}
	}
}

// TestSuppliedSecret: what is the user's is served, told, and never written.
func TestSuppliedSecret(t *testing.T) {
	c, clock := newCluster(t), newClock()
	c.configure()
	one, two := made(t, clock.now()), made(t, clock.now())
	supply := func(data map[string][]byte) {
		t.Helper()
		x := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: testSecret, Namespace: testNamespace}, Data: data}
		if c.secret() == nil {
			if _, err := c.CoreV1().Secrets(testNamespace).Create(t.Context(), x, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		} else if _, err := c.CoreV1().Secrets(testNamespace).Update(t.Context(), x, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	data := files(t, one)
	data["ca.crt"] = one.bundle()
	supply(data)
	log := &lockedBuffer{}
	s := newSelf(t, c, clock, slog.New(slog.NewTextHandler(log, nil)))
	follow(t, s)
	eventually(t, "it is served and told", func() bool { return serves(s, one) && bytes.Equal(c.bundle(), one.bundle()) })

	supply(files(t, two)) // without ca.crt: who made it tells the API server
	eventually(t, "its successor is served", func() bool { return serves(s, two) })

	broken := files(t, one)
	broken["tls.key"] = []byte("rubbish")
	supply(broken)
	eventually(t, "it says what is wrong", func() bool { return strings.Contains(log.String(), "is not ours") })
	clock.advance(100 * day) // and even when it is long over
	again := strings.Count(log.String(), "is not ours")
	eventually(t, "it was looked at again", func() bool { return strings.Count(log.String(), "is not ours") > again })
	if !serves(s, two) {
		t.Error("the last good one did not stay")
	}
	if !bytes.Equal(c.bundle(), one.bundle()) {
		t.Error("what was told changed although no CA was named")
	}
	if string(c.secret().Data["tls.key"]) != "rubbish" || len(c.secret().Labels) > 0 || c.written("create secrets") != 1 || c.written("update secrets") != 2 {
		t.Errorf("it was written: %q", c.writes)
	}
}

// TestRubbish: a Secret of ours that cannot be read is replaced, by what is served where
// there is something.
func TestRubbish(t *testing.T) {
	c, clock := newCluster(t), newClock()
	c.configure()
	rubbish := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: testSecret, Namespace: testNamespace, Labels: map[string]string{ManagedLabel: "managed", "app": "x"}},
		Data:       map[string][]byte{"tls.crt": []byte("rubbish"), "more": []byte("rubbish")},
	}
	if _, err := c.CoreV1().Secrets(testNamespace).Create(t.Context(), rubbish, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := newSelf(t, c, clock, nil)
	follow(t, s)
	eventually(t, "a certificate is served, and its CA told", func() bool {
		_, err := s.GetCertificate(nil)
		return err == nil && bytes.Equal(c.bundle(), c.authority().bundle())
	})
	a := c.authority()
	if secret := c.secret(); !serves(s, a) || secret.Labels["app"] != "x" || secret.Data["more"] != nil {
		t.Errorf("the Secret has labels %v and %d values", secret.Labels, len(secret.Data))
	}
	secret := c.secret()
	secret.Data["signer.key"] = nil
	if _, err := c.CoreV1().Secrets(testNamespace).Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is whole again", func() bool { return len(c.secret().Data["signer.key"]) > 0 })
	if !serves(s, a) || !c.authority().signer.Leaf.Equal(a.signer.Leaf) {
		t.Error("another certificate is served, which callers do not know")
	}
}

// TestErrors: while the API server refuses, what is served stays; all is done later.
func TestErrors(t *testing.T) {
	c, clock := newCluster(t), newClock()
	c.configure()
	forbidden := func(verb string) func(string) error {
		return func(what string) error {
			if strings.HasPrefix(what, verb) {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "x"}, "y", errors.New("no "+verb+" for you"))
			}
			return nil
		}
	}
	c.failing(forbidden("create"))
	log := &lockedBuffer{}
	s := newSelf(t, c, clock, slog.New(slog.NewTextHandler(log, nil)))
	follow(t, s)
	eventually(t, "it says that it may not make the Secret", func() bool { return strings.Contains(log.String(), "no create for you") })
	if _, err := s.GetCertificate(nil); err == nil {
		t.Error("what could not be kept is served: each replica would serve another one")
	}
	c.failing(forbidden("patch"))
	eventually(t, "it says that it may not tell the CA", func() bool { return strings.Contains(log.String(), "no patch for you") })
	a := c.authority()
	if !serves(s, a) {
		t.Error("the certificate is not served because its CA could not be told")
	}
	c.failing(nil)
	eventually(t, "the CA is told", func() bool { return bytes.Equal(c.bundle(), a.bundle()) })

	// A next CA that nobody can be told of does not sign, however long that lasts.
	clock.advance(4 * 365 * day)
	c.failing(forbidden("patch"))
	eventually(t, "a next CA is made", func() bool { return c.authority().next != nil })
	for range 3 {
		clock.advance(20 * day)
		eventually(t, "the certificate does not get old", func() bool { return !due(c.authority().leaf, clock.now()) && serves(s, c.authority()) })
	}
	if b := c.authority(); !b.signer.Leaf.Equal(a.signer.Leaf) || trusted(b, c.bundle(), testHost, clock.now()) != nil {
		t.Error("a CA signs that nobody knows")
	}
	c.failing(nil)
	next := c.authority().next.Leaf
	eventually(t, "the next CA is told", func() bool { return bytes.Contains(c.bundle(), certificatePEM(next)) })
	if !c.authority().signer.Leaf.Equal(a.signer.Leaf) {
		t.Error("the next CA signs at once, and not when all have heard of it")
	}
	eventually(t, "the next CA signs", func() bool {
		clock.advance(time.Minute)
		return c.authority().signer.Leaf.Equal(next) && serves(s, c.authority())
	})
}

// TestNobodyCalls: a configuration that calls another Service is most likely a mistake.
func TestNobodyCalls(t *testing.T) {
	c, clock := newCluster(t), newClock()
	c.configure()
	x := c.configuration()
	x.Webhooks = x.Webhooks[1:3]
	if _, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(t.Context(), x, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	s := newSelf(t, c, clock, slog.New(slog.NewTextHandler(log, nil)))
	follow(t, s)
	eventually(t, "it says so", func() bool {
		return strings.Contains(log.String(), "no webhook of the MutatingWebhookConfiguration cuegate calls the Service cuegate/webhook")
	})
}

func TestSelfOptions(t *testing.T) {
	good := SelfOptions{Namespace: "a", Secret: "b", Service: "c", Configuration: "d"}
	for name, spoil := range map[string]func(*SelfOptions){
		"no namespace":     func(o *SelfOptions) { o.Namespace = "" },
		"no Secret":        func(o *SelfOptions) { o.Secret = "" },
		"no Service":       func(o *SelfOptions) { o.Service = "" },
		"no configuration": func(o *SelfOptions) { o.Configuration = "" },
		"a hasty CA":       func(o *SelfOptions) { o.LeafLifetime, o.CALifetime = day, 3*day-1 },
		"a negative life":  func(o *SelfOptions) { o.LeafLifetime = -day },
	} {
		o := good
		spoil(&o)
		if _, err := NewSelf(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	s, err := NewSelf(good)
	if err != nil || s.rules.leaf != 90*day || s.rules.ca != 5*365*day {
		t.Errorf("by default it is %v, %v", s, err)
	}
}

// load calls replicas again and again, each time with a new connection and with what the
// API server knew of their CA shortly before.
type load struct {
	c     *cluster
	clock *clock
	// rounds is how often each client has called all replicas.
	rounds []atomic.Int64
	failed atomic.Pointer[string]
}

// settled waits until every client has called every replica, twice, with what it knew
// after now: an API server that is behind by more than the time of Settle is none.
func (l *load) settled(t *testing.T) {
	t.Helper()
	for i := range l.rounds {
		start := l.rounds[i].Load()
		eventually(t, "the clients go on", func() bool { return l.failed.Load() != nil || l.rounds[i].Load() > start+2 })
	}
	if f := l.failed.Load(); f != nil {
		t.Fatal(*f)
	}
}

func (l *load) run(ctx context.Context, i int, addresses []string) {
	body := []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","object":{"metadata":{"name":"tea"}}}}`)
	for ctx.Err() == nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(l.c.bundle())
		for _, address := range addresses {
			transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: testHost, Time: l.clock.now}}
			r, err := (&http.Client{Transport: transport, Timeout: patience}).Post("https://"+address+"/mutate", "application/json", bytes.NewReader(body))
			if err == nil {
				r.Body.Close()
				if r.StatusCode != http.StatusOK {
					err = errors.New(r.Status)
				}
			}
			if err != nil && ctx.Err() == nil {
				text := fmt.Sprintf("at %s a client was not served: %s", l.clock.now(), err)
				l.failed.CompareAndSwap(nil, &text)
				return
			}
		}
		l.rounds[i].Add(1)
	}
}

// TestRotationUnderLoad replaces leaf and CA of two replicas while clients call them.
// None of them ever fails.
func TestRotationUnderLoad(t *testing.T) {
	c, clock := newCluster(t), newClock()
	c.configure()
	replicas := []*Self{newSelf(t, c, clock, nil), newSelf(t, c, clock, nil)}
	var addresses []string
	for _, s := range replicas {
		s.rules.ca = 300 * day
		addresses = append(addresses, run(t, Options{Certificates: s, Now: clock.now, Decide: deciding(engine.Desired{Patch: []byte(somePatch)}, nil)}).address)
	}
	all := func(what string, ok func(a *authority) bool) *authority {
		t.Helper()
		var a *authority
		eventually(t, what, func() bool {
			a = c.authority()
			return a != nil && ok(a) && serves(replicas[0], a) && serves(replicas[1], a) && bytes.Equal(c.bundle(), a.bundle())
		})
		return a
	}
	first := all("the first certificate is served", func(*authority) bool { return true })

	l := &load{c: c, clock: clock, rounds: make([]atomic.Int64, 3)}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range l.rounds {
		clients.Go(func() { l.run(ctx, i, addresses) })
	}
	defer clients.Wait()
	defer stop()
	l.settled(t)

	clock.advance(61 * day)
	second := all("the leaf is replaced", func(a *authority) bool { return !a.leaf.Leaf.Equal(first.leaf.Leaf) })
	if !second.signer.Leaf.Equal(first.signer.Leaf) {
		t.Error("the CA was replaced with the leaf")
	}
	l.settled(t)

	// Not at once: leaves have to be replaced on the way.
	for !due(first.signer, clock.now()) {
		clock.advance(61 * day)
		all("the leaf is replaced", func(a *authority) bool { return !due(a.leaf, clock.now()) })
		l.settled(t)
	}
	third := all("the next CA is told", func(a *authority) bool { return a.next != nil })
	l.settled(t)
	if a := c.authority(); !a.signer.Leaf.Equal(first.signer.Leaf) {
		t.Error("the next CA signs before all have heard of it")
	}
	// An hour from when this was heard of.
	fourth := all("the next CA signs", func(a *authority) bool { clock.advance(time.Minute); return a.signer.Leaf.Equal(third.next.Leaf) })
	if !bytes.Contains(c.bundle(), certificatePEM(first.signer.Leaf)) {
		t.Error("the old CA is told no more, although leaves of it may be in use")
	}
	l.settled(t)
	clock.advance(61 * day)
	all("the leaf of the new CA is replaced", func(a *authority) bool { return !a.leaf.Leaf.Equal(fourth.leaf.Leaf) })
	l.settled(t)
	clock.advance(30 * day)
	last := all("the old CA is told no more", func(a *authority) bool { return len(a.old) == 0 })
	if bytes.Contains(c.bundle(), certificatePEM(first.signer.Leaf)) || !last.signer.Leaf.Equal(third.next.Leaf) {
		t.Error("the old CA is told still")
	}
	l.settled(t)

	// Whoever wants a new CA removes the Secret.
	if err := c.CoreV1().Secrets(testNamespace).Delete(t.Context(), testSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	asked := all("the Secret is made again, with a next CA", func(a *authority) bool { return a.next != nil })
	l.settled(t)
	all("the CA that was asked for signs", func(a *authority) bool { clock.advance(time.Minute); return a.signer.Leaf.Equal(asked.next.Leaf) })
	l.settled(t)
}

// TestPace: somebody who always writes what we do not want is answered, but not as fast
// as he writes.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.configure()
		s, err := NewSelf(SelfOptions{Client: c, Namespace: testNamespace, Secret: testSecret, Service: testService, Configuration: testConfiguration})
		if err != nil {
			t.Fatal(err)
		}
		configurations := c.AdmissionregistrationV1().MutatingWebhookConfigurations()
		w, err := configurations.Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = s.Run(ctx) })
		all.Go(func() {
			for e := range w.ResultChan() {
				x := e.Object.(*admissionregistrationv1.MutatingWebhookConfiguration)
				if x.Webhooks[0].ClientConfig.CABundle == nil {
					continue // our own doing
				}
				x = x.DeepCopy()
				x.Webhooks[0].ClientConfig.CABundle = nil
				_, _ = configurations.Update(ctx, x, metav1.UpdateOptions{})
			}
		})
		time.Sleep(time.Minute) // of this test's own clock
		if told := c.written("patch mutatingwebhookconfigurations"); told < 10 || told > 20+60 {
			t.Errorf("it was told %d times in a minute", told)
		}
		stop()
		w.Stop()
		all.Wait()
	})
}
