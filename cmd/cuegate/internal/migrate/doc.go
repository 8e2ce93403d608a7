// Package migrate turns what the controller before this one was configured with into
// what Cuegate takes: templates into a bundle of CUE templates, its configuration file
// into flags, environment and settings.
//
// A template was Go's text/template around JSON. It is converted in one direction, a
// stage per file:
//
//	source.go      files, parsed by text/template/parse
//	flow.go        actions followed in order: what each prints is an expression (expr.go,
//	               call.go); calls of templates and constants are put in their places
//	machine.go     JSON read off the text between the actions, so that the place of each is
//	               known: a whole value, in a string, a key, between elements
//	document.go    the outcome: JSON with conditions, loops and expressions in it
//	emit.go        the same as CUE (cue.go, print.go), with the types of tyk.#Definition
//	prove.go       both run on the same inputs, and compared
//
// What a template writes becomes a default, so that an annotation may still set any
// value. What cannot be converted becomes an error in the CUE, with its place in the
// original, and a line in the report: nothing is dropped in silence.
package migrate
