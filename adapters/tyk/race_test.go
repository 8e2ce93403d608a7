//go:build race

package tyk

// defaultSequences are few: the detector slows each down tenfold.
const defaultSequences = 150
