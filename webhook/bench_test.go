package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

// largePatch is about as large as the one that injects a sidecar.
var largePatch = append(append([]byte(`[{"op":"add","path":"/spec/template/spec/initContainers","value":[{"name":"tyk-mesh","env":"`), bytes.Repeat([]byte("x"), 3000)...), `"}]}]`...)

// bin takes an answer and keeps its status alone.
type bin struct {
	header http.Header
	status int
}

func (b *bin) Header() http.Header         { return b.header }
func (b *bin) WriteHeader(status int)      { b.status = status }
func (b *bin) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkHandler measures what an admission costs beside the decision.
func BenchmarkHandler(b *testing.B) {
	server := newServer(b, Options{Decide: deciding(engine.Desired{Outcome: engine.Managed, Patch: largePatch}, nil)}).Handler()
	for _, name := range []string{"create-v1", "update-v1", "status-v1"} {
		b.Run(name, func(b *testing.B) {
			body := sent(b, name)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequest(http.MethodPost, "/mutate?timeout=3s", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				w := &bin{header: http.Header{}, status: http.StatusOK}
				server.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

// BenchmarkServeTLS measures whole admissions of a new Deployment through connections that
// are kept, as the API server keeps them: with the engine, and with an answer that is known,
// which is the floor. Clients and server share the processors.
//
// In clients=N each client asks again as soon as it has its answer, so that latencies are
// those of a server that has more to do than it can. In paced=N/s the 200 clients together
// begin as many admissions a second, each at its time whether or not others have ended, and
// waiting for that counts.
func BenchmarkServeTLS(b *testing.B) {
	for _, by := range []struct {
		name   string
		decide func(context.Context, engine.Object) (engine.Desired, error)
	}{
		{"known", deciding(engine.Desired{Outcome: engine.Managed, Patch: largePatch}, nil)},
		{"engine", builtin(b)},
	} {
		a := made(b, time.Now())
		r := run(b, Options{Certificates: newFixed(a), Decide: by.decide})
		c := caller(b, r.address, a.bundle(), func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		admission := &admission{client: c, body: sent(b, "create-v1")}
		for _, clients := range []int{1, 32, 200} {
			b.Run(fmt.Sprintf("%s/clients=%d", by.name, clients), func(b *testing.B) { admission.bench(b, clients, 0) })
		}
		b.Run(by.name+"/paced=500/s", func(b *testing.B) { admission.bench(b, 200, 500) })
	}
}

// builtin decides by the built-in bundle.
func builtin(tb testing.TB) func(context.Context, engine.Object) (engine.Desired, error) {
	tb.Helper()
	bundle, err := engine.LoadBundle(tb.Context(), cuegate.Builtin(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	e := engine.New(bundle, engine.Config{ClusterID: "bench", OrgID: "bench", MeshNamespace: "cuegate"})
	return func(ctx context.Context, o engine.Object) (engine.Desired, error) {
		d, _, err := e.Decide(ctx, o, engine.Cluster{})
		if err == nil && d.Patch == nil {
			err = fmt.Errorf("%s is %s: %v", o.Ref, d.Outcome, d.Reasons)
		}
		return d, err
	}
}

// admission is one that is asked for again and again.
type admission struct {
	client *http.Client
	body   []byte
}

func (a *admission) ask() error {
	answer, err := a.client.Post("https://"+testHost+"/mutate?timeout=3s", "application/json", bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	text, err := io.ReadAll(answer.Body)
	if err == nil && !bytes.Contains(text, []byte(`"patch":`)) {
		err = fmt.Errorf("no patch: %.300s", text)
	}
	return err
}

// bench has the clients ask b.N times together, rate times a second; as fast as they can
// where it is 0.
func (a *admission) bench(b *testing.B, clients, rate int) {
	took := make([][]time.Duration, clients)
	work := func(n, rate int) {
		var next atomic.Int64
		var all sync.WaitGroup
		start := time.Now()
		for i := range clients {
			took[i] = took[i][:0]
			all.Go(func() {
				for {
					turn := next.Add(1)
					if turn > int64(n) {
						return
					}
					began := time.Now()
					if rate > 0 {
						began = start.Add(time.Duration(turn) * time.Second / time.Duration(rate))
						time.Sleep(time.Until(began))
					}
					if err := a.ask(); err != nil {
						b.Error(err)
						return
					}
					took[i] = append(took[i], time.Since(began))
				}
			})
		}
		all.Wait()
	}
	work(4*clients, 0) // connects
	b.ReportAllocs()
	b.ResetTimer()
	work(b.N, rate)
	b.StopTimer()
	if b.Failed() {
		return
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(all[len(all)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "admissions/s")
}
