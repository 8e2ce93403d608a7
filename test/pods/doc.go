// Package pods is what runs in the pods of a cluster without containers (test/box): an
// app that says where it is, and beside it, where the pod has one, a sidecar that is an
// embedded gateway. So requests pass through a mesh as they do in a real cluster.
//
//	pod network, 10.128.x.x:port          loopback, 127.0.0.1:any
//
//	app        10.128.0.2:3000   ------>  an HTTP server that echoes     app.go
//	sidecar    10.128.0.2:80     ------>  the gateway, for its own app   sidecar.go
//	           10.128.0.2:9696   ------>  its control API
//	           10.128.0.2:8080   ------>  what definitions open
//
// The table of addresses is in network.go, which also finds the pods of a Service by the
// EndpointSlices of the API server. Who is in no pod comes in by a proxy (proxy.go): a
// program with HTTP_PROXY=Pods.Proxy() reaches http://10.128.0.2:9696. An API server comes
// in by a unix socket, to call a webhook by its Service, and the webhook may stand behind
// that without a pod (egress.go).
//
// What a sidecar is comes from its container: the ports and the secret from the
// environment, read from the API server; what it trusts from the ConfigMap that is
// mounted where SSL_CERT_DIR leads. Like a process in Go it reads that once, when it
// first has to know, and not again.
//
// # What is left out
//
// Images, commands and probes: a sidecar runs as soon as what its container needs is
// there, and the pod counts as ready before. Of the rules of iptables only those are
// known that the sidecar's own init container writes (intercept.go). The gateways do not
// share a Redis, and there is no Dashboard for them. DNS searches the pod's own
// namespace alone.
package pods
