// Package engine decides what an Ingress, or a workload of the mesh, asks of the Tyk
// gateway, and why.
//
// It is two pure functions: no I/O, no clock, no log. Decide walks one object
// through the house, each stage in the file of its name:
//
//	object.go    Object: what Kubernetes said, as JSON
//	facts.go     Facts: all that rules and templates may know
//	decide.go    Decision: Rego says whose it is, which template, which overrides
//	render.go    Definition: the CUE template of each route, with the overrides
//	override.go  ... as annotations and policies want them
//	validate.go  held to the schema and the checks, marked and hashed: Desired
//
// A workload (workload.go, meshroute.go) has two definitions, and what brings a sidecar
// into its pods (sidecar.go, patch.go); of a Service only ports change (serviceport.go).
//
// Every stage adds Steps to the Explanation, which is whole even when the object
// is refused. MakePlan (plan.go) then compares what all objects want with what
// the gateway serves.
//
// What goes wrong is one of three kinds (errors.go): Refused, the author must
// change the object; Broken, rules or program are wrong; Unreachable, which only
// adapters meet. Whatever the kind, the object yields nothing new, what is served
// for it stays, and other objects go on.
package engine
