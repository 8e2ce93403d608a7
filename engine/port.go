package engine

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// port finds a port of the Service, and the scheme that the gateway speaks with it.
// msg says why there is none.
func (s service) port(name string, want networkingv1.ServiceBackendPort) (scheme string, number int, msg string) {
	wanted := fmt.Sprintf("port %d", want.Number)
	if want.Name != "" {
		wanted = fmt.Sprintf("port named %q", clip(want.Name))
	}
	protocol := ""
	for _, p := range s.ports {
		if (want.Name != "" && p.Name == want.Name) || (want.Name == "" && p.Port == want.Number) {
			// DNS has one number for TCP and UDP, so another entry may still do.
			if protocol = portProtocol(p); protocol == "TCP" {
				return portScheme(p), int(p.Port), ""
			}
		}
	}
	if protocol != "" {
		return "", 0, fmt.Sprintf("Service %q has a %s, but for %s; the gateway sends requests over TCP alone.", name, wanted, clip(protocol))
	}
	// An ExternalName Service needs no ports; whether it may be used, policy says.
	if s.kind == "ExternalName" && want.Name == "" {
		return "http", int(want.Number), ""
	}
	return "", 0, fmt.Sprintf("Service %q has no %s; it has %s.", name, wanted, s.describePorts())
}

// portProtocol gives the transport protocol of a port; TCP is the default.
func portProtocol(p corev1.ServicePort) string {
	if p.Protocol == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(p.Protocol)
}

// portScheme follows the port's appProtocol, as the Kubernetes documentation of
// Services defines it. The gateway takes web sockets for a kind of HTTP.
func portScheme(p corev1.ServicePort) string {
	if p.AppProtocol == nil {
		return "http"
	}
	switch *p.AppProtocol {
	case "https", "kubernetes.io/wss":
		return "https"
	case "kubernetes.io/h2c":
		return "h2c"
	}
	return "http" // "kubernetes.io/ws" and what nothing is known of
}

func (s service) describePorts() string {
	var texts []string
	for _, p := range s.ports {
		text := fmt.Sprint(p.Port)
		if protocol := portProtocol(p); protocol != "TCP" {
			text += "/" + clip(protocol)
		}
		if p.Name != "" {
			text += fmt.Sprintf(" (%s)", p.Name)
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		return "none"
	}
	return strings.Join(texts, ", ")
}
