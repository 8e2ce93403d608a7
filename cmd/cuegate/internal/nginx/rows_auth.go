package nginx

import "strings"

// Who may call: everything here protects.

const (
	externalAuth = "The gateway asks no other service before a request. Check tokens with the template jwt or tokenAuth, or with a plugin in a template of your own; then remove the auth-* annotations."
	clientCert   = "The gateway lets in client certificates by their ids, not by the authority that signed them. Upload the certificates, use the template mutualTLS with client_certificates, and remove the auth-tls-* annotations."
	htpasswd     = "The Secret holds an htpasswd file, which the gateway cannot read. Make a key for each user (POST /tyk/keys/NAME with basic_auth_data.password and rights on the API), then accept basic-auth: the Ingress gets basic authentication and refuses everybody until there are users."
)

func authRows() []Row {
	rows := []Row{
		{Name: "auth-type", Outcome: Approximated, Accept: "basic-auth", Note: htpasswd, convert: authType},
		{Name: "auth-secret", Outcome: Approximated, Accept: "basic-auth", Note: "See auth-type: the users are left to you.", convert: withAuthType},
		{Name: "auth-secret-type", Outcome: Needless, Note: "The users are left to you, see auth-type."},
		{Name: "auth-realm", Outcome: Approximated, Note: "The gateway names the API as the realm."},

		{Name: "auth-url", Outcome: LeftOut, Hidden: true, Note: externalAuth},
		{Name: "auth-snippet", Outcome: LeftOut, Hidden: true, Note: "A detail of auth-url: see there."},
		{Name: "auth-signin", Outcome: LeftOut, Hidden: true, Note: "A detail of auth-url: see there."},
		{Name: "enable-global-auth", Outcome: Needless, Note: "No global-auth-url is set in the ConfigMap of the controller.", convert: globalAuth},

		{Name: "auth-tls-secret", Outcome: LeftOut, Note: clientCert, convert: clientCertificates},
		{Name: "auth-tls-verify-client", Outcome: LeftOut, Note: "A detail of auth-tls-secret: see there.", convert: clientCertificates},
		{Name: "auth-tls-match-cn", Outcome: LeftOut, Note: "A detail of auth-tls-secret: see there.", convert: clientCertificates},
		{Name: "auth-tls-verify-depth", Outcome: LeftOut, Note: "A detail of auth-tls-secret: see there.", convert: clientCertificates},
		{Name: "auth-tls-error-page", Outcome: LeftOut, Note: "A detail of auth-tls-secret: see there.", convert: clientCertificates},
		{Name: "auth-tls-pass-certificate-to-upstream", Outcome: LeftOut, Note: "A detail of auth-tls-secret: see there.", convert: clientCertificates},

		{Name: "satisfy", Outcome: Mapped, Note: "all is what the gateway does. With any, one of two checks is enough, which the gateway cannot do: the Ingress is left out.", convert: satisfy},
	}
	for _, name := range []string{
		"auth-method", "auth-signin-redirect-param", "auth-response-headers", "auth-proxy-set-headers", "auth-request-redirect", "auth-cache-key", "auth-cache-duration",
		"auth-always-set-cookie", "auth-keepalive", "auth-keepalive-requests", "auth-keepalive-share-vars", "auth-keepalive-timeout",
	} {
		rows = append(rows, Row{Name: name, Outcome: LeftOut, Note: "A detail of auth-url: see there."})
	}
	return rows
}

func authType(d *draft, value string) verdict {
	if value != "basic" {
		return verdict{outcome: LeftOut, note: "The gateway knows basic authentication, and no other of HTTP. Choose a template with authentication, and remove the annotation."}
	}
	d.shape.basicAuth = true
	if d.accepts("basic-auth") {
		return verdict{note: "Basic authentication with the users of the gateway; without any, nobody gets in. The users of the Secret are left to you."}
	}
	return verdict{}
}

// withAuthType: ingress-nginx heeds the Secret only beside a type, and who left that out
// believes that there is a password.
func withAuthType(d *draft, _ string) verdict {
	if d.in.annotations["auth-type"] == "" {
		return verdict{outcome: LeftOut, note: "There is no auth-type beside it, so ingress-nginx asks for no password. If that is what is meant, remove the annotation."}
	}
	return verdict{}
}

func globalAuth(d *draft, value string) verdict {
	switch {
	case value == "false":
		return verdict{note: "The Ingress is without global authentication as before."}
	case d.global.read:
		return verdict{} // global-auth-url itself was looked at
	}
	return verdict{outcome: LeftOut, note: "Whether there is a global-auth-url, the ConfigMap of the controller says: give it with -f. " + externalAuth}
}

func clientCertificates(d *draft, _ string) verdict {
	if strings.EqualFold(d.in.annotations["auth-tls-verify-client"], "off") {
		return verdict{outcome: Needless, note: "auth-tls-verify-client is off: no certificate is asked for."}
	}
	return verdict{}
}

func satisfy(_ *draft, value string) verdict {
	if value == "all" {
		return verdict{}
	}
	return verdict{outcome: LeftOut, note: "With " + quoteShort(value) + " one of two checks is enough, which the gateway cannot do. Choose one of them, and remove the other with this annotation."}
}
