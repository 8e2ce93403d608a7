package problem

// Mutant is a file of a bundle in which one thing was changed, to see whether a test
// notices.
type Mutant struct {
	// At is the place of the change, in the file as it was; without a message.
	At Problem
	// What was changed, e.g. "`not` is removed: not input.class.known".
	What string
	// Why it matters when nobody notices, a sentence.
	Why string
	// Text of the changed file.
	Text []byte
}
