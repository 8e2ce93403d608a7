// Package nginx turns Ingresses of ingress-nginx, the controller that was retired in
// March 2026, into Ingresses of Cuegate and a bundle with the templates that they need.
//
// The walk, a stage per file:
//
//	read.go       manifests as YAML nodes, so that comments and order stay: Ingresses, and
//	              the ConfigMap of the controller
//	table.go      a row per annotation (rows_*.go): what becomes of it, and why
//	convert.go    the rows applied to each Ingress, and the paths (path.go): regular
//	              expressions and rewrites, as listen paths and rewrites of the gateway
//	bundle.go     what an Ingress needs beyond overrides, as CUE templates
//	write.go      the manifests, with the old annotations gone and the new ones there
//	prove.go      the engine decides what was written, with the bundle that was written
//
// An annotation that protects and cannot be carried over as it was leaves its Ingress
// out: nothing that was closed is ever served open. Where a carrying over is only nearly
// the same and the difference weakens a protection, it takes a name that the caller has
// accepted (Options.Accept).
//
// Sources: the annotations are those of ingress-nginx v1.12 (docs/user-guide/
// nginx-configuration/annotations.md and annotations-risk.md of its repository), those
// that its changelogs up to v1.15.1 speak of, and those that older versions had; what the gateway does was measured, or read, of Tyk
// Gateway v5.11.
package nginx
