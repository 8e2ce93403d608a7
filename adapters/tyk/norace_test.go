//go:build !race

package tyk

const defaultSequences = 1200
