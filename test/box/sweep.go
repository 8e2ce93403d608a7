package box

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// keptPrograms are enough for going back and forth between two branches.
	keptPrograms = 2
	// freshPrefix begins names of folders where a program is being built, and
	// abandonedAfter is longer than that takes.
	freshPrefix    = "new-"
	abandonedAfter = time.Hour
)

// sweep removes from the cache all programs but those that were used last, and what
// builds left behind that were interrupted. A program that runs does not mind.
func sweep(cache string) error {
	folders, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	type dated struct {
		folder string
		used   time.Time
	}
	var programs, rest []dated
	for _, folder := range folders {
		name := filepath.Join(cache, folder.Name())
		if program, err := os.Stat(filepath.Join(name, programName)); err == nil && !strings.HasPrefix(folder.Name(), freshPrefix) {
			programs = append(programs, dated{name, program.ModTime()})
		} else if info, err := folder.Info(); err == nil && folder.IsDir() {
			rest = append(rest, dated{name, info.ModTime()})
		}
	}
	slices.SortFunc(programs, func(x, y dated) int { return y.used.Compare(x.used) })
	remove := programs[min(keptPrograms, len(programs)):]
	for _, r := range rest {
		if time.Since(r.used) > abandonedAfter {
			remove = append(remove, r)
		}
	}
	for _, r := range remove {
		if err := os.RemoveAll(r.folder); err != nil {
			return err
		}
	}
	return nil
}
