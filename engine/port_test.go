package engine

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

func TestServicePort(t *testing.T) {
	app := func(s string) *string { return &s }
	s := service{ports: []corev1.ServicePort{
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
		{Name: "syslog", Port: 514, Protocol: corev1.ProtocolUDP},
		{Name: "sctp", Port: 3868, Protocol: corev1.ProtocolSCTP},
		{Name: "web", Port: 80},
		{Name: "tls", Port: 443, AppProtocol: app("https")},
		{Name: "h2c", Port: 81, AppProtocol: app("kubernetes.io/h2c")},
		{Name: "ws", Port: 82, AppProtocol: app("kubernetes.io/ws")},
		{Name: "wss", Port: 83, AppProtocol: app("kubernetes.io/wss")},
		{Name: "other", Port: 84, AppProtocol: app("example.com/own")},
	}}
	const ports = "53/UDP (dns), 53 (dns-tcp), 514/UDP (syslog), 3868/SCTP (sctp), 80 (web), 443 (tls), 81 (h2c), 82 (ws), 83 (wss), 84 (other)"
	for _, test := range []struct {
		want        networkingv1.ServiceBackendPort
		scheme, msg string
		number      int
	}{
		{want: networkingv1.ServiceBackendPort{Number: 80}, scheme: "http", number: 80},
		{want: networkingv1.ServiceBackendPort{Name: "tls"}, scheme: "https", number: 443},
		{want: networkingv1.ServiceBackendPort{Name: "h2c"}, scheme: "h2c", number: 81},
		{want: networkingv1.ServiceBackendPort{Name: "ws"}, scheme: "http", number: 82},
		{want: networkingv1.ServiceBackendPort{Name: "wss"}, scheme: "https", number: 83},
		{want: networkingv1.ServiceBackendPort{Name: "other"}, scheme: "http", number: 84},
		{want: networkingv1.ServiceBackendPort{Number: 53}, scheme: "http", number: 53},
		{want: networkingv1.ServiceBackendPort{Name: "dns"}, msg: `Service "s" has a port named "dns", but for UDP; the gateway sends requests over TCP alone.`},
		{want: networkingv1.ServiceBackendPort{Number: 514}, msg: `Service "s" has a port 514, but for UDP; the gateway sends requests over TCP alone.`},
		{want: networkingv1.ServiceBackendPort{Number: 3868}, msg: `Service "s" has a port 3868, but for SCTP; the gateway sends requests over TCP alone.`},
		{want: networkingv1.ServiceBackendPort{Number: 1}, msg: `Service "s" has no port 1; it has ` + ports + `.`},
	} {
		scheme, number, msg := s.port("s", test.want)
		if scheme != test.scheme || number != test.number || msg != test.msg {
			t.Errorf("%+v is %s %d %s", test.want, scheme, number, msg)
		}
	}
}
