package embedded

import (
	"net/http"
	"time"
)

// mutualTLS says which client certificates an API lets in.
type mutualTLS struct {
	MutualTLS          bool     `json:"use_mutual_tls_auth"`
	ClientCertificates []string `json:"client_certificates"`
}

// refuseCaller says why the API refuses the caller, whatever key the request has.
// Lists of addresses are not looked at here, and an API that relies on them shall not be
// open: it refuses everybody.
func (g *Gateway) refuseCaller(a *api, r *http.Request) string {
	if a.MutualTLS {
		if why := g.refuseClient(a.ClientCertificates, r); why != "" {
			return why
		}
	}
	if a.AllowList || a.BlockList {
		return "Access from this IP has been disallowed"
	}
	return ""
}

// refuseClient says why a request's client certificate is not among those that the
// store keeps under these ids. Only fingerprints count, not who signed: the listener
// has made sure that the caller has the key. So a renewed certificate is a stranger.
//
// None of it is measured. That fingerprints are compared is Tyk's documentation of
// static mutual TLS; the texts, and what follows, were read in its source.
//
//   - Where such an API is alone on its domain, the real gateway ends the handshake of
//     a stranger itself. Here it is always a 403.
//   - It names the allowed certificates to the caller as issuers, so that a caller in
//     Go does not show one that a CA signed, unless
//     http_server_options.skip_client_ca_announcement is set. It is set here.
//   - A CA in the list lets in all that it signed. Here it lets in nobody.
//   - Of an upload with a chain, the last certificate is compared with each that the
//     caller sends: its leaf is refused, or all that send that CA are let in. Here an
//     entry with a chain lets in nobody. Upload the leaf alone.
func (g *Gateway) refuseClient(ids []string, r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "Client TLS certificate is required"
	}
	leaf := r.TLS.PeerCertificates[0]
	sum := fingerprint(leaf.Raw)
	for _, id := range ids {
		c := g.certificate(id)
		if c == nil || c.fingerprint != sum {
			continue
		}
		if c.chained {
			g.log.Warn("a chain in client_certificates lets in nobody", "certificate", id)
			continue
		}
		if time.Now().After(leaf.NotAfter) {
			return "Certificate has expired"
		}
		return ""
	}
	return "Certificate with SHA256 " + sum + " not allowed"
}
