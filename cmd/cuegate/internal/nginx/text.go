package nginx

import (
	"strconv"
	"strings"
)

// quoteShort quotes a value for a message, and no more than 48 bytes of it.
func quoteShort(s string) string {
	if len(s) > 48 {
		s = strings.ToValidUTF8(s[:48], "") + "..."
	}
	return strconv.Quote(s)
}

// isHeaderValue: without variables of nginx or of the gateway.
func isHeaderValue(s string) bool {
	return !strings.Contains(s, "$") && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
