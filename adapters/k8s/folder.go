package k8s

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// Bounds of a folder that is read as a bundle: a wrong one, such as /, must not fill
// the memory.
const (
	maxFiles = 4096
	maxBytes = 32 << 20
	maxDepth = 16
)

// volumeData is the link by which Kubernetes swaps the content of a volume that is a
// ConfigMap. What is beside it are links into it, and the folder that it names.
const volumeData = "..data"

// readFolder gives the files of a bundle in a folder. Links are followed, and names
// that begin with a dot are passed over.
func readFolder(root string) ([]piece, error) {
	r := folderReader{root: root}
	err := r.read(root, "", 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, there := os.Stat(root); there == nil {
			// A volume was swapped, or a file removed, while it was read.
			r = folderReader{root: root}
			err = r.read(root, "", 0)
		}
	}
	return r.pieces, err
}

type folderReader struct {
	root   string
	pieces []piece
	bytes  int64
}

// read adds what is in dir, which is at prefix in the bundle.
func (r *folderReader) read(dir, prefix string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("folder %s is nested too deeply to be a bundle", dir)
	}
	// Once the link is resolved, what is read is of one version.
	volume, err := filepath.EvalSymlinks(filepath.Join(dir, volumeData))
	keys := err == nil && prefix == ""
	if err == nil {
		dir = volume
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		from, name := filepath.Join(dir, e.Name()), path.Join(prefix, e.Name())
		info, err := os.Stat(from)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			if err := r.read(from, name, depth+1); err != nil {
				return err
			}
			continue
		case !info.Mode().IsRegular():
			continue
		}
		// The path of a volume's content tells of its version, and changes.
		shown := filepath.Join(r.root, filepath.FromSlash(name))
		if keys {
			name = pathOfKey(name)
		}
		if err := r.file(from, name, shown); err != nil {
			return err
		}
	}
	return nil
}

func (r *folderReader) file(from, name, shown string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes-r.bytes+1))
	if err != nil {
		return err
	}
	r.bytes += int64(len(data))
	if r.bytes > maxBytes || len(r.pieces) >= maxFiles {
		return fmt.Errorf("folder %s holds more than a bundle may: %d files, %d bytes", r.root, maxFiles, maxBytes)
	}
	r.pieces = append(r.pieces, piece{name: name, data: data, from: shown})
	return nil
}

// folderWatch tells that something may have changed in a folder. It may be told too
// often; where events are lost, the reader has to look again by itself.
type folderWatch struct {
	root    string
	watcher *fsnotify.Watcher
}

// newFolderWatch watches nothing before watch is called.
func newFolderWatch(root string) (*folderWatch, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return &folderWatch{root: root, watcher: w}, nil
}

// run calls changed for what happens, until ctx ends.
func (w *folderWatch) run(ctx context.Context, changed func()) {
	defer w.watcher.Close()
	above := filepath.Dir(w.root)
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			if e.Op != fsnotify.Chmod && (e.Name == w.root || filepath.Dir(e.Name) != above) {
				changed()
			}
		case _, ok := <-w.watcher.Errors: // events may be lost
			if !ok {
				return
			}
			changed()
		}
	}
}

// watch watches the folder as it is now: all folders in it, and the one above, where
// it may be put in place later, or be a link that is swapped.
func (w *folderWatch) watch() error {
	above := w.watcher.Add(filepath.Dir(w.root))
	if err := w.below(w.root, 0); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return above
}

func (w *folderWatch) below(dir string, depth int) error {
	if err := w.watcher.Add(dir); err != nil || depth > maxDepth {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			continue
		}
		if err := w.below(name, depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
