package bundletest

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of JUnit's format that the readers of it agree on.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Skipped *struct{}     `xml:"skipped"`
		Failure *junitFailure `xml:"failure"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the results as JUnit does: a suite for each file, and a case for each
// Rego test and each story.
func WriteJUnit(w io.Writer, results []Result) error {
	var all junitSuites
	for _, r := range results {
		if n := len(all.Suites); n == 0 || all.Suites[n-1].Name != r.File {
			all.Suites = append(all.Suites, junitSuite{Name: r.File, Time: "0.000"})
		}
		suite := &all.Suites[len(all.Suites)-1]
		seconds := fmt.Sprintf("%.3f", r.Took.Seconds())
		if r.Took > 0 {
			suite.Time = seconds // a story is a suite of its own
		}
		c := junitCase{Class: strings.TrimSuffix(r.File, ".txtar"), Name: r.Name, File: r.File, Line: r.Line, Time: seconds, Output: r.Output}
		suite.Tests++
		all.Tests++
		switch {
		case r.Skipped:
			c.Skipped = &struct{}{}
			suite.Skipped++
			all.Skipped++
		case r.Failed():
			c.Line = r.Failures[0].Line
			var texts []string
			for _, f := range r.Failures {
				texts = append(texts, f.String())
			}
			first, _, _ := strings.Cut(r.Failures[0].Text, "\n")
			c.Failure = &junitFailure{Message: first, Text: strings.Join(texts, "\n")}
			suite.Failures++
			all.Failures++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// String gives "file:line: text".
func (f Failure) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }
