// Package whatif compares what two sets of rules make of the same objects.
//
//	compare.go     both decide, and what the old ones serve is what the new ones find (Compare)
//	fields.go      two documents, field by field
//	pods.go        what a sidecar changes in workloads and Services
//	origin.go      who wrote a field
//	definition.go  what a definition asks of callers, and where it listens and sends
//	exposure.go    the rules by which a change opens something
//	podexposure.go those for workloads
//	successor.go   who gets the requests of a definition that is gone
//	text.go        the report for people, markdown.go for reviews
//
// Values are compared as they are and told as engine.Shown lets them.
package whatif
