package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/cuegate/cuegate/engine"
)

// debounce is how long a folder has to be quiet before it is read: editors and git
// write in bursts.
const debounce = 100 * time.Millisecond

// source is a folder of manifests, and a bundle, that are watched.
type source struct {
	in     input
	loaded *loaded
	// good are the objects that each file gave when it was last read whole.
	good map[string][]engine.Ref
	// unknown: a file was never read whole, so what it asked for before this program
	// started, nobody knows.
	unknown bool
}

// read reads everything anew. A bundle that is broken is an error, and the old one
// stays; a document that is broken is not, and what its file gave before is held.
func (s *source) read(ctx context.Context) ([]engine.Desired, error) {
	l, err := s.in.load(ctx, nil)
	if err != nil {
		return nil, err
	}
	s.loaded = l
	all, err := l.decideAll(ctx)
	if err != nil {
		return nil, err
	}
	return append(all, s.hold()...), nil
}

// hold gives the objects of files that cannot be read whole, and that are not there
// now, as held: what is served for them stays. It notes what all files hold.
func (s *source) hold() []engine.Desired {
	present := map[engine.Ref]bool{}
	files := map[string][]engine.Ref{}
	for _, o := range s.loaded.objects {
		present[o.Ref] = true
		files[fileOf(o.Source)] = append(files[fileOf(o.Source)], o.Ref)
	}
	var held []engine.Desired
	s.unknown = false
	for _, file := range s.loaded.unreadable() {
		before, known := s.good[file]
		if !known {
			s.unknown = true
			delete(files, file)
			continue
		}
		for _, ref := range before {
			if present[ref] {
				continue
			}
			files[file] = append(files[file], ref)
			held = append(held, engine.Desired{Object: ref, Outcome: engine.Held, Reasons: []engine.Reason{{
				ID: "file-broken", Field: file, Msg: "A document of the file cannot be read, and this object is not among the others: what is served for it stays.",
			}}})
		}
	}
	s.good = files
	return held
}

// unreadable gives the files that hold a document which is no object.
func (l *loaded) unreadable() []string {
	var files []string
	for _, r := range l.rejected {
		if file := fileOf(r.Source); r.Reason.ID != "object-repeated" && !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	return files
}

// fileOf takes the line off a source, "file:line".
func fileOf(source string) string {
	for i := len(source) - 1; i >= 0; i-- {
		if source[i] == ':' {
			return source[:i]
		}
	}
	return source
}

// watch calls changed whenever the files or the bundle changed and are quiet again,
// until ctx ends.
func (s *source) watch(ctx context.Context, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	roots := slices.Clone(s.in.files)
	if s.in.bundle != "" {
		roots = append(roots, s.in.bundle)
	}
	if err := watchAll(w, roots); err != nil {
		return err
	}
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events:
			if !ok {
				return nil
			}
			if e.Op != fsnotify.Chmod {
				quiet.Reset(debounce)
			}
		case <-w.Errors: // events may be lost: read everything
			quiet.Reset(debounce)
		case <-quiet.C:
			// New folders are watched too, and ConfigMaps swap theirs.
			if err := watchAll(w, roots); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			changed()
		}
	}
}

// watchAll watches the folders below the roots, and the folder of a root that is a
// file: editors replace files.
func watchAll(w *fsnotify.Watcher, roots []string) error {
	for _, root := range roots {
		info, err := os.Stat(root)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			if err := w.Add(filepath.Dir(root)); err != nil {
				return err
			}
			continue
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			return w.Add(path)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// example gives host and path of a route that is served, for a first try.
func example(all []engine.Desired) (host, path string) {
	i := slices.IndexFunc(all, func(d engine.Desired) bool { return len(d.Definitions) > 0 && d.Definitions[0].Scope == "" })
	if i < 0 {
		return "", "/"
	}
	host, rest, _ := strings.Cut(all[i].Definitions[0].Match, " ")
	_, path, ok := strings.Cut(rest, " ")
	if !ok {
		return "", "/" // the default backend
	}
	return strings.Replace(host, "*", "any", 1), (&url.URL{Path: path}).EscapedPath()
}
