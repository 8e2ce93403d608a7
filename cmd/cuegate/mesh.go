package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/cuegate/cuegate/engine"
)

// speaksOfMesh tells whether an object says anything to the mesh, or was changed by it.
func speaksOfMesh(o engine.Object) bool { return bytes.Contains(o.JSON, []byte("injector.tyk.io/")) }

// isNotAsked tells whether the mesh has nothing to do with an object.
func isNotAsked(d engine.Desired) bool {
	return d.Outcome == engine.Ignored && allReasons(d.Reasons, "not-asked")
}

// isPending tells whether an object waits for certificates of the mesh, which is no
// fault of its author.
func isPending(d engine.Desired) bool {
	return d.Outcome == engine.Held && allReasons(d.Reasons, "mesh-certificate-pending")
}

func allReasons(reasons []engine.Reason, id string) bool {
	return len(reasons) > 0 && !slices.ContainsFunc(reasons, func(r engine.Reason) bool { return r.ID != id })
}

// pendingHint says how to decide such objects where no controller is.
func pendingHint(namespace string) string {
	return fmt.Sprintf("The controller issues the certificates of the mesh. To decide these objects whole, give them too: kubectl get secret -n %s -l cuegate.dev/mesh -o yaml", namespace)
}

// templateOf gives the template of a definition. Of a workload, the way in comes first,
// and its template as well.
func templateOf(d engine.Desired, definition int) string {
	if definition >= len(d.Definitions) || d.Definitions[definition].Scope == "" {
		return d.Template
	}
	inbound, mesh, several := strings.Cut(d.Template, ", ")
	if several && definition > 0 {
		return mesh
	}
	return inbound
}
