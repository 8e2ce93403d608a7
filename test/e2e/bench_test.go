//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The size of the benchmark: two routes for each Ingress.
const (
	many     = 5000
	changes  = 100
	creators = 8
)

// BenchmarkConverge makes many Ingresses at full speed, without a controller and with
// one, and then changes one at a time. It reports, besides, how long the API server
// alone took (accept-s), how long it took with the controller until everything was
// served (converge-s), the ratio of the two, the calls made, the memory of the
// controller, and the latency of a change with and without the gateway's tick.
func BenchmarkConverge(b *testing.B) {
	for range b.N {
		alone := newWorld(b, "rbac.yaml")
		alone.service("shop", "web", 80)
		floor := alone.createMany(b)
		if err := alone.box.Stop(); err != nil {
			b.Fatal(err)
		}

		w := newWorld(b, "rbac.yaml")
		w.service("shop", "web", 80)
		c := w.start("--drift-interval", "5m", "--leader-elect=false").ready()
		begin := time.Now()
		w.createMany(b)
		within(b, 10*time.Minute, "everything served", func() bool {
			return c.metric(`cuegate_definitions_live{target="`+w.gateway.URL()+`"}`) == strconv.Itoa(2*many)
		})
		converged := time.Since(begin)
		b.ReportMetric(floor.Seconds(), "accept-s")
		b.ReportMetric(converged.Seconds(), "converge-s")
		b.ReportMetric(converged.Seconds()/floor.Seconds(), "ratio")
		b.ReportMetric(float64(w.gateway.writes()), "tyk-writes")
		b.ReportMetric(float64(w.gateway.Calls()["GET /tyk/reload"]), "tyk-reloads")
		b.ReportMetric(memory(b, c, "VmHWM"), "peak-MiB")

		// Status and Events come after the routes; a change is measured when they are through.
		within(b, 10*time.Minute, "all told", func() bool { return w.told(b) == many })
		b.ReportMetric(time.Since(begin).Seconds(), "told-s")
		latencies := w.changeOneByOne(b)
		b.ReportMetric(memory(b, c, "VmRSS"), "steady-MiB")
		for _, p := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}} {
			l := latencies[int(p.at*float64(len(latencies)-1))]
			b.ReportMetric(float64(l.Microseconds())/1000, p.name+"-ms")
			b.ReportMetric(max(0, float64((l-tickOf(b)).Microseconds())/1000), p.name+"-less-tick-ms")
		}
	}
}

// createMany makes the Ingresses and tells how long that took.
func (w *world) createMany(b *testing.B) time.Duration {
	b.Helper()
	begin := time.Now()
	numbers := make(chan int, many)
	for i := range many {
		numbers <- i
	}
	close(numbers)
	var all sync.WaitGroup
	for range creators {
		all.Go(func() {
			for i := range numbers {
				if _, err := w.client.NetworkingV1().Ingresses("shop").Create(b.Context(), twoRoutes(i, "/b"), metav1.CreateOptions{}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

func twoRoutes(i int, path string) *networkingv1.Ingress {
	class, prefix := "tyk", networkingv1.PathTypePrefix
	to := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("many-%d", i), Namespace: "shop"},
		Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: fmt.Sprintf("many-%d.example.com", i),
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
				{Path: "/a", PathType: &prefix, Backend: to}, {Path: path, PathType: &prefix, Backend: to},
			}}},
		}}},
	}
}

// told counts the Ingresses that say they are served.
func (w *world) told(b *testing.B) int {
	b.Helper()
	list, err := w.client.NetworkingV1().Ingresses("shop").List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, i := range list.Items {
		if strings.Contains(i.Annotations["cuegate.dev/status"], `"served"`) {
			n++
		}
	}
	time.Sleep(500 * time.Millisecond) // lists are large
	return n
}

// changeOneByOne moves a route of one Ingress after the other, and gives the times from
// the answer of the API server to the first request that is served, in order.
func (w *world) changeOneByOne(b *testing.B) []time.Duration {
	b.Helper()
	var all []time.Duration
	for i := range changes {
		path := fmt.Sprintf("/moved-%d", i)
		ing := twoRoutes(i, path)
		if _, err := w.client.NetworkingV1().Ingresses("shop").Update(b.Context(), ing, metav1.UpdateOptions{}); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		host := ing.Spec.Rules[0].Host
		for {
			if status, _ := w.gateway.get(host, path); status == 200 {
				break
			}
			if time.Since(begin) > time.Minute {
				b.Fatalf("%s%s is not served", host, path)
			}
			time.Sleep(time.Millisecond)
		}
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	return all
}

// memory is a line of the controller's /proc/PID/status, in MiB.
func memory(b *testing.B, c *controller, field string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			kB, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kB / 1024
		}
	}
	b.Fatalf("no %s", field)
	return 0
}
