package main

import "github.com/ebbjobs/ebb/doctor"

// sarifLog is the part of SARIF 2.1.0 that code scanners read: the rules, and where
// each was broken. (OASIS, Static Analysis Results Interchange Format 2.1.0.)
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool    sarifTool     `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"semanticVersion,omitempty"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string        `json:"id"`
	ShortDescription sarifText     `json:"shortDescription"`
	FullDescription  sarifText     `json:"fullDescription"`
	Help             sarifText     `json:"help"`
	Default          sarifSeverity `json:"defaultConfiguration"`
}

type sarifSeverity struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

var sarifLevels = map[doctor.Severity]string{doctor.Error: "error", doctor.Warn: "warning", doctor.Info: "note"}

func sarifOf(r doctor.Report) sarifLog {
	run := sarifRun{
		Tool:    sarifTool{sarifDriver{Name: "ebb doctor", InformationURI: "https://github.com/ebbjobs/ebb", Rules: []sarifRule{}}},
		Results: []sarifResult{},
	}
	for _, rule := range doctor.Rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: rule.ID, ShortDescription: sarifText{rule.Title}, FullDescription: sarifText{rule.Why}, Help: sarifText{rule.Fix},
			Default: sarifSeverity{sarifLevels[rule.Severity]},
		})
	}
	for _, f := range r.Findings {
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, Level: sarifLevels[f.Severity], Message: sarifText{f.Effect + "\nfix: " + f.Fix},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{f.At.File}, sarifRegion{max(1, f.At.Line)}}}},
		})
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}
