package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
)

// A huge annotation refuses its object and nothing else, and no message repeats
// it. The values stand here because a story cannot hold them comfortably.
func TestLargeAnnotation(t *testing.T) {
	const size = 1 << 20
	long := strings.Repeat("x", size)
	for _, c := range []struct{ name, key, value string }{
		{"setter", "string.service.tyk.io/name", long},
		{"JSON", "object.service.tyk.io/config-data", `{"text": "` + long + `"}`},
		{"brackets", "array.service.tyk.io/tags", strings.Repeat("[", size)},
		{"own", "cuegate.dev/override", strings.Repeat("{a: ", size/4)},
		{"template", "template.service.tyk.io", long},
		{"foreign", "example.com/note", long},
		{"key", "string.service.tyk.io/" + long, "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := fmt.Sprintf(largeManifests, c.key, c.value)
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), []string{"render", "-f", "-", "-o", "json"}, strings.NewReader(in), &stdout, &stderr)
			if code != exitRefused {
				t.Errorf("exit code %d, want %d", code, exitRefused)
			}
			if out := stdout.String(); !strings.Contains(out, `"id": "annotations-too-large"`) ||
				!strings.Contains(out, `"object": "Ingress/default/large"`) {
				t.Error("the object was not refused for its annotations")
			}
			if !strings.Contains(stdout.String(), `"owner": "Ingress/default/small"`) {
				t.Error("the other object did not go on")
			}
			if n := stdout.Len() + stderr.Len(); n > 10_000 {
				t.Errorf("the output has %d bytes", n)
			}
		})
	}
}

const largeManifests = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: large
  annotations: {? %q : %q}
spec:
  ingressClassName: tyk
  defaultBackend: {service: {name: large, port: {number: 80}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: small
spec:
  ingressClassName: tyk
  rules:
    - host: small.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: small, port: {number: 80}}}}]}
`
