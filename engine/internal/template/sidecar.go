package template

import (
	"container/list"
	"encoding/json"
	"errors"
	"sync"

	"cuelang.org/go/cue"

	"github.com/cuegate/cuegate/engine/internal/problem"
)

var (
	pathSidecar = cue.ParsePath(sidecarField)
	pathPod     = cue.ParsePath("pod")
)

// sidecarField is the field of the package templates that holds an operator's sidecar;
// CUE would not let it be called as the package is that it is made from.
const sidecarField = "inject"

// SidecarIn is what a sidecar may know of its workload; #In of the CUE package sidecar
// says what each field means.
type SidecarIn struct {
	Kind         string   `json:"kind"`
	Namespace    string   `json:"namespace"`
	Name         string   `json:"name"`
	Org          string   `json:"org"`
	Tags         []string `json:"tags"`
	Host         string   `json:"host"`
	Port         int      `json:"port"`
	AppPort      int      `json:"appPort"`
	TakenPorts   []int    `json:"takenPorts"`
	Interception string   `json:"interception"`
	TLS          string   `json:"tls"`
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

// RenderSidecar gives #Pod as JSON. It is pure, so what was rendered for the same input
// before is given again; the caller must not change it. The error is a *Fault.
func (s *Set) RenderSidecar(in SidecarIn) ([]byte, error) {
	key, err := json.Marshal(in)
	if err != nil {
		return nil, &Fault{Message: err.Error()}
	}
	if pod, ok := s.injected.get(string(key)); ok {
		return pod, nil
	}
	if !s.sidecar.Exists() {
		return nil, &Fault{Message: "the bundle has no sidecar"}
	}
	v := s.sidecar.FillPath(pathIn, s.ctx.Encode(in))
	if err := authorErrors(v, nil); err != nil {
		return nil, err
	}
	at := v.LookupPath(pathPod)
	pod, err := at.MarshalJSON()
	if err != nil {
		return nil, fault(at, err, nil)
	}
	s.injected.put(string(key), pod)
	return pod, nil
}

// maxRenderings bounds what is kept: some 4 kB each.
const maxRenderings = 4096

// renderings keeps the outcomes that were used last.
type renderings struct {
	mu     sync.Mutex
	known  map[string]*list.Element // of rendering
	latest *list.List
}

type rendering struct {
	key string
	pod []byte
}

func newRenderings() *renderings {
	return &renderings{known: map[string]*list.Element{}, latest: list.New()}
}

func (r *renderings) get(key string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.known[key]
	if !ok {
		return nil, false
	}
	r.latest.MoveToFront(e)
	return e.Value.(rendering).pod, true
}

func (r *renderings) put(key string, pod []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[key]; ok {
		return
	}
	r.known[key] = r.latest.PushFront(rendering{key, pod})
	if r.latest.Len() > maxRenderings {
		last := r.latest.Back()
		r.latest.Remove(last)
		delete(r.known, last.Value.(rendering).key)
	}
}
