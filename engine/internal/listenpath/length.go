package listenpath

import "strings"

// Length returns the length of a listen path in bytes as the gateway counts it
// when it puts its routes in order, longest first (Tyk Gateway v5.11.1,
// measured). Without "{" that is the length of the text. With it, a segment
// between slashes that begins with "{" and ends with "}" counts nothing; a slash
// inside the braces is a separator like any other.
func Length(listenPath string) int {
	n := len(listenPath)
	if !strings.Contains(listenPath, "{") {
		return n
	}
	for segment := range strings.SplitSeq(listenPath, "/") {
		n -= uncounted(segment)
	}
	return n
}

// uncounted returns how many bytes of a segment the gateway leaves out.
func uncounted(segment string) int {
	if strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}") {
		return len(segment)
	}
	return 0
}
