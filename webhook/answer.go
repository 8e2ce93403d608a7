package webhook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cuegate/cuegate/engine"
)

// Bounds of what is told. The API server passes on warnings of 256 characters, 4096 in
// all, and cuts what is longer.
const (
	maxWarnings     = 16
	maxWarningBytes = 256
	maxReasonBytes  = 1024
	maxShown        = 64
)

// notAsked is the id of the reason of objects that do not speak of injection: most.
const notAsked = "not-asked"

// answer is an AdmissionResponse.
type answer struct {
	UID      string         `json:"uid"`
	Allowed  bool           `json:"allowed"`
	Status   *metav1.Status `json:"status,omitempty"`
	Warnings []string       `json:"warnings,omitempty"`
	// Patch is a JSON Patch; it is written in base64.
	Patch     []byte `json:"patch,omitempty"`
	PatchType string `json:"patchType,omitempty"`
}

// encode writes the AdmissionReview that answers one of the version.
func (a answer) encode(version string) ([]byte, error) {
	return json.Marshal(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Response   answer `json:"response"`
	}{version, "AdmissionReview", a})
}

// allow takes over what was decided.
func (a *answer) allow(d engine.Desired) {
	told := d.Warnings
	if d.Outcome == engine.Ignored {
		told = slices.Concat(told, d.Reasons)
	}
	a.Allowed, a.Warnings = true, warnings(told)
	if len(d.Patch) > 0 {
		a.Patch, a.PatchType = d.Patch, "JSONPatch"
	}
}

// deny says why the author has to change the object. Clients such as kubectl show
// either the message or the causes.
func (a *answer) deny(v review, o engine.Object, reasons []engine.Reason) {
	reasons, left := reasons[:min(len(reasons), maxWarnings)], len(reasons)-maxWarnings
	details := &metav1.StatusDetails{Name: o.Name, Group: v.group, Kind: o.Kind}
	var texts []string
	for _, r := range reasons {
		said, field := sentence(r, maxReasonBytes), clip(plain(r.Field), maxWarningBytes)
		details.Causes = append(details.Causes, metav1.StatusCause{
			Type: metav1.CauseType(clip(plain(r.ID), maxShown)), Message: "cuegate: " + said, Field: cmp.Or(field, "(the object)"),
		})
		if field != "" {
			said = field + ": " + said
		}
		texts = append(texts, said)
	}
	if left > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", left))
	}
	a.Allowed = false
	a.Status = &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: fmt.Sprintf("cuegate refuses %s: %s", plain(o.String()), strings.Join(texts, "; ")), Details: details,
	}
}

// warnings gives a line for each reason, and none twice.
func warnings(reasons []engine.Reason) []string {
	var lines []string
	for _, r := range reasons {
		if r.ID == notAsked {
			continue
		}
		const head = "cuegate: "
		if line := head + sentence(r, maxWarningBytes-len(head)); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if more := len(lines) - maxWarnings; more > 0 {
		lines = append(lines[:maxWarnings-1], fmt.Sprintf("cuegate: and %d more", more+1))
	}
	return lines
}

// sentence says what a reason says in one line of at most so many bytes. The id is
// never cut off.
func sentence(r engine.Reason, limit int) string {
	said := plain(r.Msg)
	if r.Fix != "" {
		said += " " + plain(r.Fix)
	}
	tail := " (" + clip(plain(r.ID), maxShown) + ")"
	return clip(said, limit-len(tail)) + tail
}

// plain makes a text one line that no terminal takes for a command.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// clip cuts a text to so many bytes, between two runes.
func clip(s string, limit int) string {
	const dots = "…"
	if len(s) <= limit {
		return s
	}
	end := max(0, limit-len(dots))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + dots
}
