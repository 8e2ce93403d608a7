package whatif

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cuegate/cuegate/engine"
)

// Comparing 1,000 Ingresses of which every definition changes, or goes.
func BenchmarkCompare(b *testing.B) {
	var text strings.Builder
	for i := range 1000 {
		text.WriteString(ingress("cafe", fmt.Sprintf("tea-%d", i), "a.example.com", fmt.Sprintf("/tea-%d", i), "", nil))
	}
	objects := objectsOf(b, text.String())
	around, _ := engine.NewCluster(objects)
	open, closed, none := rulesOf(b, "", ""), rulesOf(b, "", keyed), rulesOf(b, "watch: {namespaces: [bar]}", "")
	for _, c := range []struct {
		name     string
		old, new Side
	}{{"same", open, open}, {"changed", open, closed}, {"gone", open, none}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Compare(b.Context(), objects, around, c.old, c.new); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/object")
		})
	}
}
