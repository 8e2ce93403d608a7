package engine_test

import (
	"testing"

	"github.com/cuegate/cuegate/engine"
)

func meshCluster(tb testing.TB) engine.Cluster { return engine.Cluster{} }
