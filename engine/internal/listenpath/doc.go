// Package listenpath writes what an Ingress rule matches (host, path, pathType)
// as the domain and listen_path of a Tyk API definition, so that the gateway
// sends each request where Kubernetes says it should go.
//
// # What the gateway does
//
// Source: Tyk Gateway v5.11.1, measured. The gateway matches with gorilla/mux,
// Host(domain) and PathPrefix(listen_path), on the decoded path, and takes the
// first API that matches in this order: APIs with a domain before those
// without, then the longer listen path first, as [Length] counts it. Equal
// lengths come in no defined order. Every listen path is a prefix, and an exact
// host has no precedence over a wildcard host.
//
// # What Kubernetes wants
//
// An exact host before a wildcard host before no host; within one of these the
// longest path that matches, Exact before Prefix; when nothing of a host
// matches, the next one is asked; the default backend comes last. Prefix goes
// element by element and a trailing slash means nothing in it; Exact is the
// whole path. ImplementationSpecific is taken as Prefix.
//
// # The encoding
//
// Only the length decides, so each route is given a length that depends on
// nothing but itself: a new Ingress never changes another's listen path. P is
// the decoded path, L is P without its trailing slash, n is the number of the
// path's elements, and lengths are in bytes.
//
//	host      path              listen_path                           length
//	none      default backend   /                                     1
//	wildcard  Prefix /          /{p:/{0}}                             5
//	wildcard  Prefix            /{p_n:/{0}REGEXP(?:\x2f|$)}           5 + n
//	wildcard  Exact             /{p_n+1:/{0}REGEXP$}                  6 + n
//	others    Prefix /          /{path_prefix:(?:|/)}                 21
//	others    Prefix            L{path_prefix:(?:/|$)}                21 + len(L)
//	others    Exact             P{path_exactly:$(?:/|$)}              23 + len(P)
//
// Of the routes of one host that match one request, those of type Prefix are
// nested, so a longer path has a longer L, and the Exact one is the whole
// request path, so it is longer than all of them.
//
// Wildcard hosts stay below every exact host: p_n stands for "p" and n
// underscores, and the cap [MaxWildcardElements] keeps their length at 20 or
// less. The regexp /{0} matches nothing, but the gateway splits the listen path
// at its slash, and what follows begins with "{" and ends with "}", so it counts
// nothing. REGEXP is L or P, or rather what follows its first slash, with
// regexp characters quoted and slashes as \x2f.
//
// A run of characters that cannot stand as they are (white space, what does not
// print, and any of {}%?#) becomes a variable, such as {c1:\x20}, or a hex escape
// in REGEXP. The gateway counts nothing for a segment that begins and ends with
// such a variable, so the name of the last variable is padded with as many
// underscores as were lost:
//
//	pad = sum of len(segment) over the "/"-separated segments of the text of
//	      L or P, the last one excepted, that begin with "{" and end with "}"
//
// The last one is excepted because the final variable is part of it, and its
// text always counts. With the pad, the length is 21 or 23 plus the length of the
// text of L or P, just as above, and the text of a nested path begins with the
// text of its parent.
//
// # Plain mode
//
// People read listen paths in the Dashboard. Where the gateway is known to run
// strict routes and no wildcard host is in play, [Plain] writes the Prefix paths
// of an exact host as L, and their root as "/". The price: a strict gateway
// answers 404 for /foobar when only /foo and / exist, instead of going on to /.
// No request reaches a wrong backend.
//
// Routes without a host keep the templates even then: the default backend owns
// "/", and nothing shorter than "/a" is left for Prefix /.
package listenpath
