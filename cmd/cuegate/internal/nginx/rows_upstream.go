package nginx

import (
	"strconv"
	"strings"
)

// The way to the service.

func upstreamRows() []Row {
	const tlsName = "The gateway asks for the name of the Service, SERVICE.NAMESPACE, in TLS."
	const responses = "The gateway passes cookies and redirects of the service as they are. Correct them in the service, or with a template of your own."
	const retries = "The gateway asks once, at the address of the Service."
	return []Row{
		{Name: "backend-protocol", Outcome: Mapped, Note: "HTTP, or HTTPS: a target with https, whose certificate the gateway verifies (ingress-nginx does not by default), for the name SERVICE.NAMESPACE. Others leave the Ingress out.", convert: backendProtocol},
		{Name: "upstream-vhost", Outcome: Mapped, Note: "The name of the Service becomes preserve_host_header false. The gateway sends no other Host: any other value leaves the Ingress out.", convert: upstreamHost},
		{Name: "service-upstream", Outcome: Mapped, Note: "The gateway always asks the address of the Service.", convert: serviceUpstream},
		{Name: "proxy-connect-timeout", Outcome: Approximated, Note: "The gateway takes one time for connecting and for the head of the answer: that of proxy-read-timeout.", convert: seconds(false)},
		{Name: "proxy-read-timeout", Outcome: Approximated, Note: "hard_timeouts, for the usual methods: the time until the head of the answer, where nginx takes that between two reads. ingress-nginx's 60 s stand in the template.", convert: seconds(true)},
		{Name: "proxy-send-timeout", Outcome: Approximated, Note: "The gateway has none for sending.", convert: seconds(false)},
		{Name: "proxy-body-size", Outcome: Approximated, Note: "size_limits for POST, PUT and PATCH, by Content-Length: the gateway answers 400 where nginx answered 413, and 411 without that header. ingress-nginx's 1m stands in the template; 0 means any.", convert: bodySize},

		{Name: "proxy-ssl-secret", Outcome: LeftOut, Note: "The service wants a client certificate of the gateway. Upload it, set upstream_certificates in a template of your own, and remove the annotation."},
		{Name: "proxy-ssl-verify", Outcome: Mapped, Note: "The gateway always verifies, by the authorities that its machine trusts.", convert: sslVerify},
		{Name: "proxy-ssl-verify-depth", Outcome: Needless, Note: "The gateway follows a chain of any length."},
		{Name: "proxy-ssl-name", Outcome: Unsupported, Note: tlsName},
		{Name: "proxy-ssl-server-name", Outcome: Mapped, Note: tlsName},
		{Name: "proxy-ssl-ciphers", Outcome: Unsupported, Note: "See proxy.transport.ssl_ciphers, with the names of Go, for a template of your own."},
		{Name: "proxy-ssl-protocols", Outcome: Unsupported, Note: "The gateway speaks TLS 1.2 and newer; see proxy.transport.ssl_min_version for a template of your own."},

		{Name: "proxy-cookie-domain", Outcome: Unsupported, Note: responses, convert: offNeedsNothing},
		{Name: "proxy-cookie-path", Outcome: Unsupported, Note: responses, convert: offNeedsNothing},
		{Name: "proxy-redirect-from", Outcome: Unsupported, Note: responses, convert: offNeedsNothing},
		{Name: "proxy-redirect-to", Outcome: Unsupported, Note: responses, convert: offNeedsNothing},
		{Name: "proxy-http-version", Outcome: Mapped, Note: "1.1 is what the gateway speaks.", convert: httpVersion},
		{Name: "proxy-next-upstream", Outcome: Unsupported, Note: retries, convert: offNeedsNothing},
		{Name: "proxy-next-upstream-timeout", Outcome: Unsupported, Note: retries},
		{Name: "proxy-next-upstream-tries", Outcome: Unsupported, Note: retries},
		{Name: "connection-proxy-header", Outcome: Unsupported, Note: "The gateway sets the header Connection itself."},

		{Name: "fastcgi-index", Outcome: LeftOut, Note: "The gateway does not speak FastCGI. Put a web server before the service."},
		{Name: "fastcgi-params-configmap", Outcome: LeftOut, Note: "The gateway does not speak FastCGI. Put a web server before the service."},
	}
}

func backendProtocol(d *draft, value string) verdict {
	switch strings.ToUpper(value) {
	case "HTTP":
		return verdict{}
	case "HTTPS":
		d.shape.https = true
		return verdict{outcome: Approximated, note: "https to the service, whose certificate the gateway verifies for the name SERVICE.NAMESPACE, where ingress-nginx by default took any."}
	}
	return verdict{outcome: LeftOut, note: "Of " + quoteShort(value) + " Cuegate knows no way to the service. Write a template of your own, and remove the annotation."}
}

func upstreamHost(d *draft, value string) verdict {
	for _, service := range d.in.services {
		if name := service + "." + d.in.namespace; value != name && value != name+".svc" && value != name+".svc.cluster.local" {
			return verdict{outcome: LeftOut, note: "The gateway sends the Host of the request, or the name of the Service. Let the service answer to one of these."}
		}
	}
	d.shape.ownHost = true
	return verdict{note: "The service sees its own name: preserve_host_header is false."}
}

func serviceUpstream(_ *draft, value string) verdict {
	if value == "true" {
		return verdict{}
	}
	return verdict{outcome: Approximated, note: "The gateway asks the address of the Service, where ingress-nginx asked its pods."}
}

// seconds reads a time; kept is that of the answer.
func seconds(kept bool) func(*draft, string) verdict {
	return func(d *draft, value string) verdict {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), "s"))
		if err != nil || n < 1 {
			return verdict{outcome: Unsupported, note: quoteShort(value) + " is no number of seconds of 1 or more; the default stays."}
		}
		if kept {
			d.shape.timeout = n
		}
		return verdict{}
	}
}

func bodySize(d *draft, value string) verdict {
	n, ok := byteSize(value)
	if !ok {
		return verdict{outcome: Unsupported, note: quoteShort(value) + " is no size of nginx; the default stays."}
	}
	d.shape.body = n
	return verdict{}
}

// byteSize reads a size of nginx: 8m, 512k, 1g.
func byteSize(value string) (int64, bool) {
	value = strings.ToLower(strings.TrimSpace(value))
	unit := int64(1)
	for suffix, u := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if rest, ok := strings.CutSuffix(value, suffix); ok {
			value, unit = rest, u
			break
		}
	}
	n, err := strconv.ParseInt(value, 10, 33)
	return n * unit, err == nil && n >= 0
}

func sslVerify(_ *draft, value string) verdict {
	if value == "on" {
		return verdict{}
	}
	return verdict{outcome: Approximated, note: "The gateway verifies the certificate of the service all the same."}
}

func offNeedsNothing(_ *draft, value string) verdict {
	if value == "off" || value == "default" {
		return verdict{outcome: Needless, note: "It is switched off."}
	}
	return verdict{}
}

func httpVersion(_ *draft, value string) verdict {
	if value == "1.1" {
		return verdict{}
	}
	return verdict{outcome: Unsupported, note: "The gateway speaks HTTP/1.1 with the service."}
}
