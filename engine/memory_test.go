package engine_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

// maxSlope is the most by which the live heap may grow for each Decide, in
// bytes. Whatever is kept of an object is more: CUE's table of labels keeps 90
// bytes for each distinct key that it meets, and a compiled value 2 kB and up.
// What the measurement itself swings by was below 2 bytes for each of 20,000.
const maxSlope = 10

// decides is how many objects the test decides about; CUEGATE_TEST_DECIDES sets it.
func decides(t *testing.T) int {
	if text := os.Getenv("CUEGATE_TEST_DECIDES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			t.Fatalf("CUEGATE_TEST_DECIDES is %q, not a number of 1000 or more", text)
		}
		return n
	}
	if testing.Short() || underRace() {
		return 2000
	}
	return 100_000
}

// underRace tells whether the test was built with the race detector, which makes
// everything several times slower.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}

// liveHeap is what is still in use after a collection, in bytes. The second one
// frees what finalizers and pools held on to during the first.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// heapSlope calls work with 0, 1, ... n-1 on all cores, measures the live heap at
// points evenly spread, and returns the slope of the straight line that fits them
// best, in bytes for each call. Calls before the first point warm up what is
// cached on purpose.
func heapSlope(n int, work func(i int)) (slope float64, heap []float64) {
	const points = 10
	next := 0
	run := func(upTo int) {
		workers := runtime.GOMAXPROCS(0)
		from := next
		next = upTo
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := from + w; i < upTo; i += workers {
					work(i)
				}
			})
		}
		wg.Wait()
	}
	run(n / 10)
	at := []float64{float64(next)}
	heap = []float64{liveHeap()}
	for p := 1; p <= points; p++ {
		run(n/10 + (n-n/10)*p/points)
		at, heap = append(at, float64(next)), append(heap, liveHeap())
	}
	var meanX, meanY, xy, xx float64
	for i := range at {
		meanX, meanY = meanX+at[i]/float64(len(at)), meanY+heap[i]/float64(len(at))
	}
	for i := range at {
		xy += (at[i] - meanX) * (heap[i] - meanY)
		xx += (at[i] - meanX) * (at[i] - meanX)
	}
	return xy / xx, heap
}

// distinctIngress shares no name, key, value, host, path or label with another.
// Of eight, one is refused for an annotation that means nothing, one because an
// annotation contradicts its template, and one has values set; the others are plain,
// as most are, and cost less.
func distinctIngress(t *testing.T, i int) (o engine.Object, served bool) {
	annotations := map[string]string{fmt.Sprintf("example.com/key-%d", i): fmt.Sprintf("value-%d", i)}
	switch i % 8 {
	case 0:
		annotations[fmt.Sprintf("string.service.tyk.io/bogus-%d", i)] = "x"
	case 1:
		annotations["template.service.tyk.io"] = "tokenAuth"
		annotations["bool.service.tyk.io/use-keyless"] = "true"
	case 2:
		annotations["string.service.tyk.io/proxy.target-url"] = fmt.Sprintf("https://upstream-%d.example.com", i)
		annotations["array.service.tyk.io/tags"] = fmt.Sprintf(`["tag-%d"]`, i)
		annotations[fmt.Sprintf("object.service.tyk.io/config-data.key-%d", i)] = fmt.Sprintf(`{"inner-%d": %d}`, i, i)
	}
	doc := routed(fmt.Sprintf("tea-%d", i), fmt.Sprintf("host-%d.example.com", i), fmt.Sprintf("/path-%d", i), "Prefix", annotations)
	doc["metadata"].(map[string]any)["labels"] = map[string]any{fmt.Sprintf("label-%d", i): fmt.Sprintf("value-%d", i)}
	return ingressObject(t, doc), i%8 > 1
}

func TestMemoryDoesNotGrow(t *testing.T) {
	e, around, n := builtinEngine(), neighbourhood(t), decides(t)
	slope, heap := heapSlope(n, func(i int) {
		o, served := distinctIngress(t, i)
		d, _, err := e.Decide(context.Background(), o, around)
		if (err == nil) != served || (d.Outcome == engine.Managed) != served {
			t.Errorf("object %d is %s: %v", i, d.Outcome, err)
		}
	})
	t.Logf("%.2f bytes for each of %d objects; live heap in kB: %s", slope, n, kilobytes(heap))
	// Over few objects the noise, some 20 kB in all, weighs more.
	if limit := max(maxSlope, 60e3/float64(n)); slope > limit {
		t.Errorf("the live heap grows by %.1f bytes for each object, more than %.0f", slope, limit)
	}
}

// TestMemoryMeasurementCanFail: a string kept for each object is found.
func TestMemoryMeasurementCanFail(t *testing.T) {
	var mu sync.Mutex
	kept := map[string]bool{}
	slope, _ := heapSlope(20000, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		kept[fmt.Sprintf("object-%d", i)] = true
	})
	if slope < maxSlope {
		t.Errorf("a map of %d strings grows by %.1f bytes for each of them, less than %d", len(kept), slope, maxSlope)
	}
	runtime.KeepAlive(kept)
}

func kilobytes(heap []float64) string {
	text := ""
	for _, h := range heap {
		text += fmt.Sprintf("%.0f ", h/1000)
	}
	return text
}
