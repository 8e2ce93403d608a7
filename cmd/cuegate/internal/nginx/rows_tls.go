package nginx

// Encryption towards the caller.

const noRedirect = "The gateway redirects nothing. With spec.tls the definition gets protocol https: plain HTTP is not served at all (404). Accept ssl-redirect where what stands before the gateway redirects."

func tlsRows() []Row {
	return []Row{
		{Name: "ssl-redirect", Outcome: Approximated, Note: noRedirect, convert: sslRedirect},
		{Name: "force-ssl-redirect", Outcome: Approximated, Accept: "ssl-redirect", Note: "As ssl-redirect. Without spec.tls TLS ends before the gateway, which cannot tell what came in clear.", convert: forceSSLRedirect},
		{Name: "ssl-passthrough", Outcome: LeftOut, Note: "The gateway would end TLS where the service did. Use a Service of type LoadBalancer, or let the gateway have the certificate.", convert: boolean},
		{Name: "ssl-ciphers", Outcome: Unsupported, Note: "A setting of the gateway: http_server_options.ssl_ciphers in tyk.conf."},
		{Name: "ssl-prefer-server-ciphers", Outcome: Needless, Note: "The gateway, a program in Go, chooses the cipher itself."},
	}
}

// sslRedirect says what was done by httpsOnly, which heeds the default too.
func sslRedirect(d *draft, value string) verdict {
	switch {
	case value != "true":
		return verdict{outcome: Mapped, note: "Plain HTTP is served as well."}
	case len(d.shape.tlsHosts) == 0:
		return verdict{outcome: Needless, note: "ingress-nginx redirects only hosts of spec.tls, and there are none."}
	case d.accepts("ssl-redirect"):
		return verdict{note: "Plain HTTP is served as well, where the gateway has such a port: accepted."}
	}
	return verdict{note: "Plain HTTP is not redirected, and not served (404): the definition has protocol https."}
}

func forceSSLRedirect(d *draft, value string) verdict {
	switch {
	case value != "true":
		return verdict{outcome: Needless, note: "It is switched off."}
	case d.accepts("ssl-redirect"):
		return verdict{note: "Nothing is redirected: accepted."}
	case len(d.shape.tlsHosts) > 0:
		return verdict{outcome: Approximated, note: "Plain HTTP is not redirected, and not served (404): the definition has protocol https."}
	}
	return verdict{}
}

// httpsOnly gives the hosts of which plain HTTP was redirected, by the annotations or the
// defaults of the controller.
func (d *draft) httpsOnly() []string {
	a := d.in.annotations
	switch {
	case d.accepts("ssl-redirect"):
		return nil
	case a["force-ssl-redirect"] == "true", a["ssl-redirect"] == "true":
	case a["ssl-redirect"] != "", !d.global.sslRedirect:
		return nil
	}
	return d.shape.tlsHosts
}
