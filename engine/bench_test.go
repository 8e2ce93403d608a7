package engine_test

import (
	"context"
	"os"
	"testing"

	"github.com/cuegate/cuegate"
	"github.com/cuegate/cuegate/engine"
)

func BenchmarkDecideX(b *testing.B) {
	bundle, err := engine.LoadBundle(context.Background(), cuegate.Builtin(), nil)
	if err != nil {
		b.Fatal(err)
	}
	e := engine.New(bundle, engine.Config{ClusterID: "c", OrgID: "o"})
	data, _ := os.ReadFile("../examples/01-cafe/cafe.yaml")
	objs, _ := engine.ParseManifests("x", data)
	cl, _ := engine.NewCluster(objs)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := e.Decide(context.Background(), objs[1], cl); err != nil {
			b.Fatal(err)
		}
	}
}
