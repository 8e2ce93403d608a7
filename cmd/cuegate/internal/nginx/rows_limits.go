package nginx

import (
	"strconv"
	"strings"
	"time"
)

// How much one may ask for.

const (
	limitScope = "global_rate_limit counts all callers of a path together, where ingress-nginx counts each address, per replica and with a burst. Accept limit-scope where that is enough: no caller gets more than before, but one may use up what is for all, so choose a higher rate in the override."
	noCounting = "The gateway has no such limit. Accept it to go on without, or put a limit before the gateway."
)

func limitRows() []Row {
	return []Row{
		{Name: "limit-rps", Outcome: Approximated, Accept: "limit-scope", Note: limitScope, convert: rate(1)},
		{Name: "limit-rpm", Outcome: Approximated, Accept: "limit-scope", Note: "As limit-rps, with 60 seconds. With both, the gateway gets one rate that keeps both.", convert: rate(60)},
		{Name: "limit-connections", Outcome: Unsupported, Accept: "limit-connections", Note: noCounting, convert: offWhenZero},
		{Name: "limit-rate", Outcome: Unsupported, Accept: "limit-rate", Note: "Kilobytes per second of one answer. " + noCounting, convert: offWhenZero},
		{Name: "limit-rate-after", Outcome: Needless, Note: "A detail of limit-rate."},
		{Name: "limit-burst-multiplier", Outcome: Approximated, Note: "The gateway allows no burst beyond the rate."},
		{Name: "limit-allowlist", Outcome: Approximated, Note: "The addresses that were exempt are limited as well."},
		{Name: "limit-whitelist", Outcome: Approximated, Note: "The addresses that were exempt are limited as well."},

		{Name: "global-rate-limit", Outcome: Approximated, Accept: "limit-scope", Note: "Removed in v1.12. As limit-rps, with the window of global-rate-limit-window.", convert: globalRate},
		{Name: "global-rate-limit-window", Outcome: Needless, Note: "Removed in v1.12. A part of global-rate-limit."},
		{Name: "global-rate-limit-key", Outcome: Approximated, Note: "Removed in v1.12. The gateway counts all callers together."},
		{Name: "global-rate-limit-ignored-cidrs", Outcome: Approximated, Note: "Removed in v1.12. The addresses that were exempt are limited as well."},
	}
}

func positive(value string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	return n, err == nil && n > 0
}

func isZero(value string) bool { return strings.TrimSpace(value) == "0" }

var zeroIsOff = verdict{outcome: Needless, note: "0 means no limit."}

func badNumber(value string) verdict {
	return verdict{outcome: LeftOut, note: quoteShort(value) + " is no number of 0 or more. Correct it."}
}

func offWhenZero(_ *draft, value string) verdict {
	if isZero(value) {
		return zeroIsOff
	}
	if _, ok := positive(value); !ok {
		return badNumber(value)
	}
	return verdict{}
}

func rate(per int) func(*draft, string) verdict {
	return func(d *draft, value string) verdict {
		if isZero(value) {
			return zeroIsOff
		}
		n, ok := positive(value)
		if !ok {
			return badNumber(value)
		}
		return d.limit(n, per)
	}
}

// rateLimit is n requests in per seconds.
type rateLimit struct{ n, per int }

// limit notes a rate, beside one that may be there.
func (d *draft) limit(n, per int) verdict {
	l := rateLimit{n, per}
	if had := d.limited; had.n > 0 {
		l = keepBoth(had, l)
	}
	d.limited = l
	d.overrides["disable_rate_limit"] = false
	d.overrides["global_rate_limit"] = map[string]any{"rate": l.n, "per": l.per}
	return verdict{}
}

// keepBoth gives one rate that keeps two.
func keepBoth(short, long rateLimit) rateLimit {
	if long.per < short.per {
		short, long = long, short
	}
	switch {
	case long.n <= short.n:
		return long
	case short.n*long.per <= long.n*short.per:
		return short
	case long.n*short.per/long.per >= 1:
		return rateLimit{long.n * short.per / long.per, short.per}
	}
	return rateLimit{short.n, long.per}
}

func globalRate(d *draft, value string) verdict {
	n, ok := positive(value)
	window, err := time.ParseDuration(d.in.annotations["global-rate-limit-window"])
	switch {
	case isZero(value):
		return zeroIsOff
	case !ok:
		return badNumber(value)
	case err != nil || window < time.Second || window%time.Second != 0:
		return verdict{outcome: LeftOut, note: "global-rate-limit-window is not there, or no whole number of seconds. Correct it, or remove both."}
	}
	return d.limit(n, int(window/time.Second))
}
