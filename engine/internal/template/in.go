package template

// In is what a template may know of a route; #In of the CUE package template
// says what each field means.
type In struct {
	ID           string    `json:"id"`
	Org          string    `json:"org"`
	Role         string    `json:"role"`
	Name         string    `json:"name"`
	Slug         string    `json:"slug"`
	Object       Object    `json:"object"`
	Namespace    Namespace `json:"namespace"`
	Host         string    `json:"host"`
	Domain       string    `json:"domain"`
	Path         string    `json:"path"`
	PathType     string    `json:"pathType"`
	ListenPath   string    `json:"listenPath"`
	Service      Service   `json:"service"`
	Target       string    `json:"target"`
	Tags         []string  `json:"tags"`
	Certificates []string  `json:"certificates"`
}

// Object is the Kubernetes object of a route.
type Object struct {
	Kind        string            `json:"kind"`
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Namespace is the namespace of the object.
type Namespace struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// Service is the backend of a route.
type Service struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
}

// limited returns in with no labels and annotations but those whose keys the
// bundle spells out: CUE keeps every distinct key that it meets until the
// process ends, and the keys of objects are without bound.
func (s *Set) limited(in In) In {
	in.Object.Labels = s.only(in.Object.Labels)
	in.Object.Annotations = s.only(in.Object.Annotations)
	in.Namespace.Labels = s.only(in.Namespace.Labels)
	if in.Tags == nil {
		in.Tags = []string{}
	}
	if in.Certificates == nil {
		in.Certificates = []string{}
	}
	return in
}

func (s *Set) only(m map[string]string) map[string]string {
	kept := map[string]string{}
	for k, v := range m {
		if s.spelled[k] {
			kept[k] = v
		}
	}
	return kept
}
