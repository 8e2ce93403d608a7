// Package webhook answers the API server, which asks about objects before it stores
// them, with what the engine decides: a patch, a refusal, or nothing. It never pushes,
// so a question that is asked twice, or only to try, leaves nothing behind.
//
//	server.go        Server: listens with TLS, drains at the end
//	handler.go       one request, and what goes wrong with it
//	review.go        AdmissionReview -> engine.Object
//	answer.go        engine.Desired or its error -> AdmissionReview
//	certificates.go  where the serving certificate comes from:
//	files.go         ... two files, such as those of a mounted Secret
//	self.go          ... a Secret that we keep ourselves, whose CA the API server is told
//	authority.go     a CA of our own, how it and its leaf are replaced
//	metrics.go       what is counted
//
// # Rights
//
// The handler and Files need none. Self needs, in the namespace of its Secret,
//
//   - apiGroups: [""]
//     resources: [secrets]
//     verbs: [create] # cannot be granted by name
//   - apiGroups: [""]
//     resources: [secrets]
//     resourceNames: [<the Secret>]
//     verbs: [get, list, watch, update]
//
// and in the cluster
//
//   - apiGroups: [admissionregistration.k8s.io]
//     resources: [mutatingwebhookconfigurations]
//     resourceNames: [<the configuration>]
//     verbs: [get, list, watch, patch]
package webhook
