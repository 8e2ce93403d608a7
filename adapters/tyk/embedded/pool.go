package embedded

import (
	"crypto/tls"
	"strings"
)

// findCertificates gives those that the specs name. Ids that Redis does not know are
// skipped; while Redis is down, the gateway has those that it knew before.
func (g *Gateway) findCertificates(specs []*spec, before map[string]*certificate) map[string]*certificate {
	certs := map[string]*certificate{}
	down := g.store.redisDown()
	find := func(id string) {
		c := before[id]
		if !down {
			c = g.store.certificate(id)
		}
		if c != nil {
			certs[id] = c
		}
	}
	for _, s := range specs {
		a := &s.def.api
		for _, id := range a.Certificates {
			find(id)
		}
		for _, id := range a.ClientCertificates {
			find(id)
		}
		for _, id := range a.UpstreamCertificates {
			find(id)
		}
	}
	return certs
}

// certificate is what is known of an id at the time of a request, nil for nothing.
func (g *Gateway) certificate(id string) *certificate {
	if g.store.redisDown() {
		return g.now.Load().certs[id]
	}
	return g.store.certificate(id)
}

// A pool is what a listener can present: the certificates of all APIs on it by their
// own names, whatever the domains of those APIs.
type pool map[string]*tls.Certificate

func (g *Gateway) fillPool(specs []*spec, certs map[string]*certificate) pool {
	p := pool{}
	for _, s := range specs {
		if s.def.api.DomainDisabled {
			continue
		}
		for _, id := range s.def.api.Certificates {
			c := certs[id]
			if c == nil || c.pair == nil {
				continue
			}
			if !c.servable() {
				g.log.Error("found unknown private key type in PKCS#8 wrapping", "certificate", id)
				continue
			}
			p.add(c)
		}
	}
	return p
}

// add makes a certificate the one for its names: the last that is added wins.
func (p pool) add(c *certificate) {
	names := c.leaf.DNSNames
	if cn := c.leaf.Subject.CommonName; cn != "" {
		names = append([]string{cn}, names...)
	}
	for _, name := range names {
		p[strings.ToLower(name)] = c.pair
	}
}

// choose finds the certificate of a server name, or of the wildcard one label
// above. It returns nil when there is none.
func (p pool) choose(server string) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(server, "."))
	if name == "" {
		return nil
	}
	if c := p[name]; c != nil {
		return c
	}
	_, parent, _ := strings.Cut(name, ".")
	return p["*."+parent]
}
