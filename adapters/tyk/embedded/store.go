package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Store is what outlives a gateway's process: the folder of its API definitions
// and its Redis, which keeps certificates and carries group reloads. Gateways may
// share one.
type Store struct {
	fields *field

	mu    sync.Mutex
	files map[string]*file
	certs map[string]*certificate
	// listedAll is Redis' marker that the certificates of all organisations were
	// listed once.
	listedAll bool
	down      bool
	// back is when Redis came back, if ever it was down.
	back time.Time
	subs map[*Gateway]bool
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		fields: readFields(fieldsTable),
		files:  map[string]*file{},
		certs:  map[string]*certificate{},
		subs:   map[*Gateway]bool{},
	}
}

// A file never changes; another one takes its place. So what was read of it once
// holds as long as it is there.
type file struct {
	// data of a file from outside; nil when the gateway itself wrote def.
	data []byte

	once sync.Once
	def  *definition
	err  error
}

func (f *file) definition(fields *field) (*definition, error) {
	f.once.Do(func() {
		if f.def == nil {
			f.def, f.err = fields.parseFile(f.data)
		}
	})
	return f.def, f.err
}

// Files returns a copy of all files by name. What the gateway wrote is indented,
// with every field.
func (s *Store) Files() map[string][]byte {
	files := map[string][]byte{}
	for name, f := range s.snapshot() {
		if f.data != nil {
			files[name] = slices.Clone(f.data)
			continue
		}
		var text bytes.Buffer
		compact := s.fields.appendDefinition(nil, f.def, f.def.api.Proxy.ListenPath)
		if json.Indent(&text, compact, "", "  ") == nil {
			files[name] = text.Bytes()
		}
	}
	return files
}

// WriteFile puts a file into the folder past the gateway, as somebody's hand may:
// under any name, with any content. An OAS API is planted as <id>.json, the
// classic view with "is_oas": true, and <id>-oas.json.
func (s *Store) WriteFile(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = &file{data: append([]byte{}, data...)}
}

// RemoveFile removes a file past the gateway.
func (s *Store) RemoveFile(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
}

// LoseFiles empties the folder: a volume that is gone after a restart.
func (s *Store) LoseFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.files)
}

// LoseRedis empties Redis: it restarted without persistence. Certificates vanish,
// API definitions stay.
func (s *Store) LoseRedis() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.certs)
	s.listedAll = false
}

// SetRedisDown takes Redis away, or brings it back with what it had.
func (s *Store) SetRedisDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down && !down {
		s.back = time.Now()
	}
	s.down = down
}

func (s *Store) redisDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// maxFileName is the file system's limit in bytes.
const maxFileName = 255

var errWrite = errors.New("file object creation failed, write error")

// write writes a definition as <api_id>.json.
func (s *Store) write(d *definition) error {
	name := d.api.ID + ".json"
	if strings.Contains(name, "/") || len(name) > maxFileName {
		return errWrite
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = &file{def: d}
	return nil
}

// remove removes <api_id>.json and, of an OAS API, its other half.
func (s *Store) remove(a *api) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := a.ID + ".json"
	if s.files[name] == nil {
		return errors.New("delete failed")
	}
	delete(s.files, name)
	if a.IsOAS {
		delete(s.files, a.ID+"-oas.json")
	}
	return nil
}

func (s *Store) snapshot() map[string]*file {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.files)
}

func (s *Store) subscribe(g *Gateway) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[g] = true
}

func (s *Store) unsubscribe(g *Gateway) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subs, g)
}

// publish tells all gateways to reload, those at least whose subscription lives.
func (s *Store) publish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return
	}
	for g := range s.subs {
		if s.back.IsZero() || time.Since(s.back) > ResubscribeTicks*g.config.ReloadTick {
			g.reloads.queue(nil)
		}
	}
}
