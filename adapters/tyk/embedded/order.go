package embedded

import (
	"cmp"
	"strings"
)

// compareSpecs orders APIs as the gateway tries them (Tyk Gateway v5.11.1,
// measured): those with a domain first, whatever it is, so that an exact host does
// not beat a wildcard; then the longer listen path.
//
// The real gateway's sort is unstable, so the order of equals is arbitrary, though
// constant, there; it mostly is that of the file names, which is the order here.
func compareSpecs(a, b *spec) int {
	aHas, bHas := a.def.api.domain() != "", b.def.api.domain() != ""
	switch {
	case aHas && !bHas:
		return -1
	case !aHas && bHas:
		return 1
	}
	return cmp.Compare(pathLength(b.listenPath), pathLength(a.listenPath))
}

// pathLength of a listen path: its slashes, and the bytes of every segment between
// slashes but those that begin with "{" and end with "}". A slash inside the
// braces separates like any other.
func pathLength(listenPath string) int {
	n := len(listenPath)
	for segment := range strings.SplitSeq(listenPath, "/") {
		if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
			n -= len(segment)
		}
	}
	return n
}
