// Package k8s is the Kubernetes side: it watches a cluster, has the engine decide
// about what is in it, hands what is wanted to a Pusher, and tells the authors of
// the objects what became of them.
//
//	controller.go puts the parts together
//	term.go     the time in which this one pushes and tells
//	view.go     explanations and plans for whoever asks
//	watch.go    what is in the cluster, and that something changed
//	index.go    who depends on what changed
//	loop.go     decides again about what changed, and wants; takeover.go its view
//	secrets.go  the TLS Secrets that objects of ours name, and no others
//	lead.go     who of several controllers pushes and tells
//	ledger.go   what became of an object: decided, pushed, in conflict
//	tell.go     annotation and status, publish.go the addresses in it, events.go Events
//	bundles.go  bundles from a folder (folder.go) and from ConfigMaps (configmaps.go),
//	            put together in pieces.go; shadow.go a second one beside it
//	decide.go   decisions for whoever asks, such as a webhook
//	discover.go the pods of a Service, as gateways
//	metrics.go, diagnostics.go
//
// and with a mesh, for workloads,
//
//	meshterm.go what a Controller does for it
//	meshwatch.go, meshloop.go  what is in the cluster, and what follows from it
//	meshservice.go  the Services of workloads, meshservicepatch.go what differs
//	meshwatchdog.go pods without a sidecar
//	mesh.go     the certificates and secrets, in the files that it names
//
// Everything is level-triggered: an event says only that an object has to be looked
// at again.
package k8s
