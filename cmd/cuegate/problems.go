package main

import (
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/cuegate/cuegate/engine"
)

// vetted is what vet found; its fields are those of -o json.
type vetted struct {
	// Templates counts those of the bundle, where it loads.
	Templates int `json:"templates,omitempty"`
	// Bundle is the digest of the bundle, where it loads.
	Bundle   string           `json:"bundle,omitempty"`
	Problems []engine.Problem `json:"problems"`
}

// write writes as "text", "json" or "sarif". dir is the folder of the bundle as the user
// named it, "" for none: the places of SARIF begin there.
func (v vetted) write(w io.Writer, format, dir string) error {
	switch format {
	case "json":
		if v.Problems == nil {
			v.Problems = []engine.Problem{}
		}
		return printJSON(w, v)
	case "sarif":
		return printJSON(w, v.sarif(dir))
	}
	for _, p := range v.Problems {
		fmt.Fprintln(w, p)
	}
	if len(v.Problems) == 0 {
		fmt.Fprintf(w, "ok: %d templates, bundle %s\n", v.Templates, v.Bundle)
	}
	return nil
}

// The parts of SARIF 2.1.0 (OASIS Standard) that code hosts read.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID          string    `json:"id"`
		Description sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

// sarifRules are the kinds of problems, by what the files at fault are.
var sarifRules = []sarifRule{
	{"template", sarifText{"A template, a schema or another file of CUE is wrong"}},
	{"policy", sarifText{"A policy is wrong"}},
	{"settings", sarifText{"The settings are wrong"}},
	{"bundle", sarifText{"The bundle is wrong as a whole"}},
}

func ruleOf(file string) string {
	switch path.Ext(file) {
	case ".cue":
		return "template"
	case ".rego":
		return "policy"
	case ".yaml", ".yml", ".json":
		return "settings"
	}
	return "bundle"
}

func (v vetted) sarif(dir string) sarifLog {
	version, _ := buildVersion()
	run := sarifRun{Tool: sarifTool{sarifDriver{"cuegate vet", version, sarifRules}}, Results: []sarifResult{}}
	for _, p := range v.Problems {
		r := sarifResult{RuleID: ruleOf(p.File), Level: "error", Message: sarifText{p.Message}}
		// A result without a place is shown by nobody.
		place := sarifPhysical{Artifact: sarifArtifact{path.Join(filepath.ToSlash(dir), p.File)}}
		if p.Line > 0 {
			place.Region = &sarifRegion{p.Line, p.Column}
		}
		r.Locations = []sarifLocation{{place}}
		run.Results = append(run.Results, r)
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}
