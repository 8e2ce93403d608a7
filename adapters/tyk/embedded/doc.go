// Package embedded is a small gateway that behaves as a real Tyk Gateway v5.11.1,
// in file mode, was measured to behave: its control API, its reloads and their
// pitfalls, its routing, and how it proxies. It is the double that the pusher is
// tested against, and what serves an Ingress when no other gateway is named.
//
// # The way of a definition
//
//	POST, PUT, DELETE --> Store (files)          control.go, apis.go, store.go
//	                        |
//	GET /tyk/reload --> the next tick            reload.go
//	                        |
//	                    read, sort, collide      load.go, order.go
//	                        |
//	                    generation               swapped as a whole: requests never wait
//	                      |        |
//	GET /tyk/apis <-- specs    router, ports     router.go, ports.go
//	                               |
//	          request --> route --> version          route.go
//	                      |         client's certificate, key   mutualtls.go, keys.go
//	                      |
//	                      upstream                   dataplane.go, upstream.go
//
// Nothing that was written is seen, by the control API or by traffic, before a
// reload. A definition that did not change is not looked at again by a reload,
// which is why a listen path that was changed because of a collision stays so.
//
// # What was not measured
//
// The gateway that was measured had one port, no client certificates and no keys. What
// is there for a mesh of sidecars follows Tyk's documentation and source, and has yet to
// be held against a real gateway: other ports (Config.Listen), mutual TLS, certificates
// for upstreams (Config.UpstreamCAs, Config.Dial) and keys that are let in
// (Config.Keys). Without these settings, and definitions that ask for it, nothing of it
// is seen. Where it is simpler than the real gateway, it refuses: see the comments in
// mutualtls.go.
//
// # What is left out
//
// Middleware: an API without use_keyless wants a key and refuses all but Config.Keys, and
// these too where it wants more than an auth token; one with IP lists refuses everybody,
// since it must not be open; transforms, limits, caches, lists of endpoints and plugins
// do nothing.
// Versions in the URL. Everything of the control API but definitions, reloads,
// certificates and health: /tyk/apis/oas and the others are 404. Of the
// validation of definitions, only the list of a load balancer is checked. Ports
// of TCP and h2c, pinned public keys, and tags, which file mode ignores anyway.
//
// Two things are simpler than measured. A Gateway has loaded its files when [New]
// returns, so /ready has no time of waiting for the first reload; and the health
// of Redis shows at once rather than at the next check.
package embedded
