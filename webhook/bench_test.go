package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// BenchmarkServeTLS measures whole admissions through connections that are kept, as the
// API server keeps them. Clients and server share the processors.
func BenchmarkServeTLS(b *testing.B) {
	a := made(b, time.Now())
	r := run(b, Options{Certificates: newFixed(a), Decide: deciding(engine.Desired{Outcome: engine.Managed, Patch: largePatch}, nil)})
	body := sent(b, "update-v1")
	for _, clients := range []int{1, 32, 200} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			c := caller(b, r.address, a.bundle(), func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
			c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
			admit := func() error {
				answer, err := c.Post("https://"+testHost+"/mutate?timeout=3s", "application/json", bytes.NewReader(body))
				if err != nil {
					return err
				}
				defer answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					return fmt.Errorf("status %s", answer.Status)
				}
				_, err = io.Copy(io.Discard, answer.Body)
				return err
			}
			took := make([][]time.Duration, clients)
			var next atomic.Int64
			work := func(n int) {
				next.Store(0)
				var all sync.WaitGroup
				for i := range clients {
					took[i] = took[i][:0]
					all.Go(func() {
						for next.Add(1) <= int64(n) {
							began := time.Now()
							if err := admit(); err != nil {
								b.Error(err)
								return
							}
							took[i] = append(took[i], time.Since(began))
						}
					})
				}
				all.Wait()
			}
			work(4 * clients) // connects
			b.ReportAllocs()
			b.ResetTimer()
			work(b.N)
			b.StopTimer()
			all := slices.Concat(took...)
			slices.Sort(all)
			for _, p := range []int{50, 99} {
				b.ReportMetric(float64(all[len(all)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "admissions/s")
		})
	}
}
