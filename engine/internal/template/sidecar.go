package template

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"

	"cuelang.org/go/cue"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

var (
	pathSidecar = cue.ParsePath(sidecarField)
	pathPod     = cue.ParsePath("pod")
	pathClashes = cue.ParsePath("clashes")
)

// sidecarField is the field of the package templates that holds an operator's sidecar;
// CUE would not let it be called as the package is that it is made from.
const sidecarField = "inject"

// SidecarIn is what a sidecar may know of its workload; #In of the CUE package sidecar
// says what each field means.
type SidecarIn struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Org       string   `json:"org"`
	Tags      []string `json:"tags"`
	// TagList is filled in by RenderSidecar.
	TagList      string `json:"tagList"`
	Host         string `json:"host"`
	Port         int    `json:"port"`
	AppPort      int    `json:"appPort"`
	TakenPorts   []int  `json:"takenPorts"`
	Interception string `json:"interception"`
	TLS          string `json:"tls"`
}

// key is a text that no other input has.
func (in SidecarIn) key() string {
	b := make([]byte, 0, 256)
	for _, text := range append([]string{in.Kind, in.Namespace, in.Name, in.Org, in.TagList, in.Host, in.Interception, in.TLS}, in.Tags...) {
		b = append(strconv.AppendInt(b, int64(len(text)), 10), ':')
		b = append(b, text...)
	}
	for _, n := range append([]int{in.Port, in.AppPort}, in.TakenPorts...) {
		b = strconv.AppendInt(append(b, ' '), int64(n), 10)
	}
	return string(b)
}

// Pod is #Pod of the CUE package sidecar: what is added to the pods of a workload. It is
// shared, and must not be changed.
type Pod struct {
	Containers     []Part            `json:"containers"`
	InitContainers []Part            `json:"initContainers"`
	Volumes        []Part            `json:"volumes"`
	Sysctls        []Part            `json:"sysctls"`
	HostAliases    []HostAlias       `json:"hostAliases"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`

	// Hash is that of all, 16 hexadecimal digits.
	Hash string `json:"-"`
}

// Part is an element of a list.
type Part struct {
	Name string
	// JSON is all of it, with sorted keys.
	JSON json.RawMessage
	// Hash is what PartHash gives.
	Hash string
	// Value gives the same decoded, with numbers as json.Number. It must not be changed.
	Value func() map[string]any
}

// UnmarshalJSON implements json.Unmarshaler, for JSON with sorted keys.
func (p *Part) UnmarshalJSON(raw []byte) error {
	var head struct {
		Name string `json:"name"`
	}
	err := json.Unmarshal(raw, &head)
	raw = bytes.Clone(raw)
	*p = Part{head.Name, raw, PartHash(raw), sync.OnceValue(func() map[string]any {
		object, _ := decode(raw) // it was decoded before
		return object
	})}
	return err
}

// PartHash gives 8 hexadecimal digits that stand for JSON with sorted keys.
func PartHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:4])
}

// HostAlias is hosts at an address.
type HostAlias struct {
	IP        string   `json:"ip"`
	Hostnames []string `json:"hostnames"`
}

// addSidecar takes the field `inject` of an operator's templates, or else #Sidecar of
// ours. One that cannot be rendered at all shall be found when the bundle is loaded.
func (s *Set) addSidecar() []problem.Problem {
	s.injected = newRenderings()
	s.sidecar = s.packages[sidecarPackage].LookupPath(cue.ParsePath("#Sidecar"))
	if own := s.packages["./templates"].LookupPath(pathSidecar); own.Exists() {
		s.sidecar = own.Unify(s.sidecar)
	}
	if err := s.sidecar.Validate(); err != nil {
		return problems(err)
	}
	for _, in := range sampleWorkloads {
		_, err := s.RenderSidecar(in)
		var f *Fault
		if !errors.As(err, &f) || f.Author {
			continue
		}
		p := problem.Problem{File: "templates"}
		if len(f.Positions) > 0 {
			p = f.Positions[0]
		}
		p.Message = sidecarField + ": " + f.Error()
		return []problem.Problem{p}
	}
	return nil
}

// sampleWorkloads use every branch of our own sidecar.
var sampleWorkloads = []SidecarIn{
	{Kind: "Deployment", Namespace: "default", Name: "sample", Tags: []string{"mesh", "default.sample"}, Host: "mesh", Port: 8080, AppPort: 80, TakenPorts: []int{80}, Interception: "none", TLS: "off"},
	{Kind: "DaemonSet", Namespace: "default", Name: "sample", Tags: []string{"mesh", "default.sample"}, Host: "mesh", Port: 8080, AppPort: 3000, TakenPorts: []int{3000}, Interception: "iptables", TLS: "mtls"},
}

// RenderSidecar gives what is added to the pods of a workload. The error is a *Fault.
//
// It is pure, so what was rendered for the same input is given again. Where the sidecar
// is blind to the names of a workload (see blind.go) the same input is one that differs
// in these alone: they are put into the places where CUE has put the atoms that stood
// for them.
func (s *Set) RenderSidecar(in SidecarIn) (*Pod, error) {
	if !s.sidecar.Exists() {
		return nil, &Fault{Message: "the bundle has no sidecar"}
	}
	in.TagList = strings.Join(in.Tags, ",")
	if in.TakenPorts == nil {
		in.TakenPorts = []int{}
	}
	shape, atoms := s.sidecarShape(in)
	key := shape.key()
	known, ok := s.injected.get(key)
	if !ok {
		known = s.learnSidecar(in, shape, atoms)
		s.injected.put(key, known)
	}
	switch {
	case known.err != nil:
		return nil, known.err
	case known.pod != nil:
		return known.pod, nil
	case known.skeleton != nil:
		return newPod(known.skeleton.fill(atoms))
	}
	// Only CUE can tell, of each workload.
	return s.exactSidecar(in)
}

// exactSidecar gives what CUE gives for the very input.
func (s *Set) exactSidecar(in SidecarIn) (*Pod, error) {
	key := in.key()
	known, ok := s.injected.get(key)
	if !ok {
		var raw []byte
		if raw, known.err = s.evaluateSidecar(in); known.err == nil {
			known.pod, known.err = newPod(raw)
		}
		s.injected.put(key, known)
	}
	return known.pod, known.err
}

// learnSidecar renders a shape, and keeps that if it gives what CUE gives for the input.
func (s *Set) learnSidecar(in, shape SidecarIn, atoms []string) rendering {
	raw, err := s.evaluateSidecar(in)
	if len(atoms) == 0 {
		if err != nil {
			return rendering{err: err}
		}
		pod, err := newPod(raw)
		return rendering{pod: pod, err: err}
	}
	shaped, shapedErr := s.evaluateSidecar(shape)
	if err != nil && shapedErr != nil && err.Error() == shapedErr.Error() {
		return rendering{err: err}
	}
	if err != nil || shapedErr != nil {
		return rendering{}
	}
	sk, err := newSkeleton(shaped, len(atoms))
	if err != nil || !bytes.Equal(sk.fill(atoms), raw) {
		return rendering{}
	}
	if len(sk.holes) > 0 {
		return rendering{skeleton: sk}
	}
	pod, err := newPod(raw)
	return rendering{pod: pod, err: err}
}

// evaluateSidecar renders with CUE, and sorts keys. The error is a *Fault.
func (s *Set) evaluateSidecar(in SidecarIn) ([]byte, error) {
	v := s.sidecar.FillPath(pathIn, s.ctx.Encode(in))
	var clashes []string
	if err := v.LookupPath(pathClashes).Decode(&clashes); err != nil {
		return nil, fault(v, err, nil)
	}
	if len(clashes) > 0 {
		return nil, &Fault{Message: strings.Join(clashes, "; "), Author: true}
	}
	if err := authorErrors(v, nil); err != nil {
		return nil, err
	}
	at := v.LookupPath(pathPod)
	raw, err := at.MarshalJSON()
	if err != nil {
		return nil, fault(at, err, nil)
	}
	pod, err := decode(raw)
	if err != nil {
		return nil, &Fault{Message: err.Error()}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(pod); err != nil {
		return nil, &Fault{Message: err.Error()}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// newPod decodes what was rendered.
func newPod(raw []byte) (*Pod, error) {
	p := &Pod{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, &Fault{Message: "pod is not of the form of #Pod: " + err.Error()}
	}
	sum := sha256.Sum256(raw)
	p.Hash = hex.EncodeToString(sum[:8])
	return p, nil
}

// sidecarShape gives an input in which atoms stand for the names of the workload, where
// the sidecar is blind to them.
func (s *Set) sidecarShape(in SidecarIn) (shape SidecarIn, atoms []string) {
	if !s.blindSidecar {
		return in, nil
	}
	sh := &shaper{spelled: s.spelled, numbers: map[string]int{}}
	shape = in
	shape.Namespace, shape.Name, shape.TagList = sh.text(in.Namespace), sh.text(in.Name), sh.text(in.TagList)
	shape.Tags = make([]string, len(in.Tags))
	for i, tag := range in.Tags {
		shape.Tags[i] = sh.text(tag)
	}
	if sh.odd || bytes.Contains(sh.key, []byte(atomMark)) || strings.Contains(strings.Join(sh.atoms, ""), atomMark) {
		return in, nil
	}
	return shape, sh.atoms
}

// maxRenderings bounds what is kept: some 10 kB each.
const maxRenderings = 1024

// renderings keeps the outcomes that were used last.
type renderings struct {
	mu     sync.Mutex
	known  map[string]*list.Element // of keyed
	latest *list.List
}

// rendering is what is known of an input: the pod, the skeleton of those of one shape,
// or what is wrong with it. Of an empty one only CUE can tell more.
type rendering struct {
	pod      *Pod
	skeleton *skeleton
	err      error
}

type keyed struct {
	key string
	rendering
}

func newRenderings() *renderings {
	return &renderings{known: map[string]*list.Element{}, latest: list.New()}
}

func (r *renderings) get(key string) (rendering, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known[key]
	if !ok {
		return rendering{}, false
	}
	r.latest.MoveToFront(e)
	return e.Value.(keyed).rendering, true
}

func (r *renderings) put(key string, x rendering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[key]; ok {
		return
	}
	r.known[key] = r.latest.PushFront(keyed{key, x})
	if r.latest.Len() > maxRenderings {
		delete(r.known, r.latest.Remove(r.latest.Back()).(keyed).key)
	}
}
