package nginx

import (
	"fmt"
	"net/netip"
	"strings"
)

// From where one may call.

// clientIP is how the gateway finds the address of a client (request/real_ip.go).
const clientIP = "The gateway believes X-Real-IP, and then the first address of X-Forwarded-For, where ingress-nginx takes the address of the connection. Accept client-ip where what stands before the gateway overwrites both; else a caller may claim any address."

func accessRows() []Row {
	return []Row{
		{Name: "whitelist-source-range", Outcome: Approximated, Accept: "client-ip", Note: "allowed_ips. " + clientIP, convert: allowList},
		{Name: "allowlist-source-range", Outcome: Approximated, Accept: "client-ip", Note: "The same as whitelist-source-range.", convert: allowList},
		{Name: "denylist-source-range", Outcome: Approximated, Accept: "client-ip", Note: "blacklisted_ips. " + clientIP, convert: denyList},
	}
}

func allowList(d *draft, value string) verdict {
	ranges, wrong := sourceRanges(value)
	if wrong != "" {
		return verdict{outcome: LeftOut, note: wrong}
	}
	if d.overrides["allowed_ips"] != nil && fmt.Sprint(d.overrides["allowed_ips"]) != fmt.Sprint(ranges) {
		return verdict{outcome: LeftOut, note: "allowlist-source-range and whitelist-source-range are one annotation, and differ here. Keep one of them."}
	}
	d.overrides["enable_ip_whitelisting"] = true
	d.overrides["allowed_ips"] = ranges
	return verdict{}
}

func denyList(d *draft, value string) verdict {
	ranges, wrong := sourceRanges(value)
	if wrong != "" {
		return verdict{outcome: LeftOut, note: wrong}
	}
	d.overrides["enable_ip_blacklisting"] = true
	d.overrides["blacklisted_ips"] = ranges
	return verdict{}
}

// sourceRanges reads addresses and CIDR blocks with commas between them, or says what is
// wrong. An empty list would let everybody in, since the gateway heeds none.
func sourceRanges(value string) (ranges []string, wrong string) {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		if _, err := netip.ParsePrefix(part); err == nil {
			ranges = append(ranges, part)
		} else if _, err := netip.ParseAddr(part); err == nil {
			ranges = append(ranges, part)
		} else {
			return nil, quoteShort(part) + " is neither an address nor a CIDR block. Correct it."
		}
	}
	if len(ranges) == 0 {
		return nil, "The list is empty, and the gateway would let everybody in. Remove the annotation if that is meant."
	}
	return ranges, ""
}
