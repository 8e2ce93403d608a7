// Package nearest guesses what was meant by a name that is not known.
package nearest

import "strings"

// Name finds the one of the names that is most likely meant, the first of equals; "" where
// none is near.
func Name(name string, names []string) string {
	best, bestAt := "", 1+max(2, len(name)/3)
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := distance(name, n); d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return 1 << 20 // nobody's typing error
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, cost)
		}
	}
	return row[len(b)]
}
