package tyk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cuegate/cuegate/engine"
)

// benchSize is the number of definitions that the benchmarks push.
const benchSize = 12000

// BenchmarkFullSync pushes everything into an empty gateway; its floor is the bare
// calls, without a plan, a reload or a verification.
func BenchmarkFullSync(b *testing.B) {
	want := many(benchSize, 1)
	b.Run("cuegate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			g := newDouble(b)
			x := newTestTarget(b, g.settings(), Options{})
			runtime.GC()
			b.StartTimer()
			peak := watchHeap()
			r := mustPush(b, x, want...)
			b.ReportMetric(float64(peak())/1e6, "peak-MB")
			if r.Created != benchSize {
				b.Fatalf("%+v", r)
			}
			b.StopTimer()
			g.kill()
			b.StartTimer()
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			g := newDouble(b)
			runtime.GC()
			b.StartTimer()
			bareWrites(b, g.URL, want)
			b.StopTimer()
			g.kill()
			b.StartTimer()
		}
	})
}

// bareWrites posts all definitions, as many at once as a target does.
func bareWrites(b *testing.B, url string, want []engine.Desired) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	var g errgroup.Group
	g.SetLimit(8)
	for _, o := range want {
		for _, d := range o.Definitions {
			g.Go(func() error {
				req, err := http.NewRequest("POST", url+"/tyk/apis/", bytes.NewReader(d.JSON))
				if err != nil {
					return err
				}
				req.Header.Set("x-tyk-authorization", testSecret)
				resp, err := client.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.Copy(io.Discard, resp.Body)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkUnchanged pushes what is there already, between two lists of the target
// and with one.
func BenchmarkUnchanged(b *testing.B) {
	g, c, x, want := benchTarget(b)
	for name, past := range map[string]time.Duration{"known": 0, "listed": time.Hour} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.add(past)
				g.ResetCalls()
				if r := mustPush(b, x, want...); r.Unchanged != benchSize || writes(g.Calls()) > 0 {
					b.Fatalf("%+v, %v", r, g.Calls())
				}
			}
		})
	}
}

// BenchmarkOneChange changes one definition among all; its floor is the write, the
// reload and the read alone.
func BenchmarkOneChange(b *testing.B) {
	g, _, x, want := benchTarget(b)
	calls := map[string]int{"PUT /tyk/apis/{id}": 1, "GET /tyk/reload": 1, "GET /tyk/apis/{id}": 1}
	version := 1
	b.Run("cuegate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			version++
			want[benchSize/2] = desired(want[benchSize/2].Object.Name, version, "/")
			g.ResetCalls()
			mustPush(b, x, want...)
			if !maps.Equal(g.Calls(), calls) {
				b.Fatal(g.Calls())
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		ctx := context.Background()
		for b.Loop() {
			version++
			d := desired(want[benchSize/2].Object.Name, version, "/").Definitions[0]
			if err := x.dialect.Update(ctx, d.ID, d.JSON); err != nil {
				b.Fatal(err)
			}
			if err := x.dialect.Reload(ctx); err != nil {
				b.Fatal(err)
			}
			if _, err := x.dialect.Get(ctx, d.ID); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkList reads the list of everything from a server that has it ready, which is
// what a process does that starts anew. Its floor is json.Decoder, element by element,
// over the same text in memory.
func BenchmarkList(b *testing.B) {
	g, _, _, want := benchTarget(b)
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	fmt.Fprint(w, g.mustCall(b, "GET", "/tyk/apis", ""))
	_ = w.Flush()
	g.kill()
	server := newPort(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text.Bytes()) }))
	s := g.settings()
	s.URL, s.Mode = server.URL, Gateway
	wanted := definitions(want)
	b.Run("cuegate", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(text.Len()))
		for b.Loop() {
			d, err := newGatewayAPI(s.withDefaults())
			if err != nil {
				b.Fatal(err)
			}
			inv := newInventory()
			runtime.GC()
			peak, live := watchHeap(), heap()
			if _, err := inv.list(context.Background(), d, "test", "v", wanted); err != nil || len(inv.entries) != benchSize {
				b.Fatal(len(inv.entries), err)
			}
			b.ReportMetric(float64(peak())/1e6, "peak-MB")
			runtime.GC()
			b.ReportMetric(float64(heap()-live)/1e6, "live-MB")
			runtime.KeepAlive(inv)
			d.Close()
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(text.Len()))
		for b.Loop() {
			dec := json.NewDecoder(bytes.NewReader(text.Bytes()))
			if _, err := dec.Token(); err != nil {
				b.Fatal(err)
			}
			n := 0
			for ; dec.More(); n++ {
				var element json.RawMessage
				if err := dec.Decode(&element); err != nil {
					b.Fatal(err)
				}
			}
			if n != benchSize {
				b.Fatal(n)
			}
		}
	})
}

// benchTarget is a gateway that has everything.
func benchTarget(b *testing.B) (*double, *clock, *target, []engine.Desired) {
	b.Helper()
	g, c := newDouble(b), newClock()
	x := newTestTarget(b, g.settings(), Options{Now: c.Now})
	want := many(benchSize, 1)
	mustPush(b, x, want...)
	return g, c, x, want
}

func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchHeap looks at the heap until the function that it gives is called, which tells
// by how much it had grown at the most.
func watchHeap() func() int64 {
	before, most := heap(), int64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				most = max(most, heap()-before)
			}
		}
	}()
	return func() int64 { close(stop); <-stopped; return most }
}
