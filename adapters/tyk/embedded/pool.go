package embedded

import (
	"crypto/tls"
	"strings"
)

// A pool is what a listener can present: the certificates of all loaded APIs by
// their own names, whatever the domains of those APIs.
type pool struct {
	byID   map[string]*certificate
	byName map[string]*tls.Certificate
}

// fillPool collects the certificates of the specs. Ids that Redis does not know are
// skipped; while Redis is down, the gateway has those that it knew before.
func (g *Gateway) fillPool(specs []*spec, before pool) pool {
	p := pool{byID: map[string]*certificate{}, byName: map[string]*tls.Certificate{}}
	down := g.store.redisDown()
	for _, s := range specs {
		if s.def.api.DomainDisabled {
			continue
		}
		for _, id := range s.def.api.Certificates {
			c := g.store.certificate(id)
			if down {
				c = before.byID[id]
			}
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
func (p *pool) add(c *certificate) {
	p.byID[c.id] = c
	names := c.leaf.DNSNames
	if cn := c.leaf.Subject.CommonName; cn != "" {
		names = append([]string{cn}, names...)
	}
	for _, name := range names {
		p.byName[strings.ToLower(name)] = c.pair
	}
}

// choose finds the certificate of a server name, or of the wildcard one label
// above. It returns nil when there is none.
func (p *pool) choose(server string) *tls.Certificate {
	name := strings.ToLower(strings.TrimSuffix(server, "."))
	if name == "" {
		return nil
	}
	if c := p.byName[name]; c != nil {
		return c
	}
	_, parent, _ := strings.Cut(name, ".")
	return p.byName["*."+parent]
}
