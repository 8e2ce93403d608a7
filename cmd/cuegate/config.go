package main

import (
	"cmp"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/cuegate/cuegate/engine"
)

// config is the configuration file.
type config struct {
	// ClusterID tells the definitions of one cluster from those of another on one
	// gateway; OrgID is the organisation in Tyk.
	ClusterID string `json:"clusterID"`
	OrgID     string `json:"orgID"`
	// PlainPaths writes plain listen paths, for gateways with strict routes.
	PlainPaths bool `json:"plainPaths"`
	// MeshNamespace is where the certificates of the mesh are.
	MeshNamespace string `json:"meshNamespace"`
	// Targets to push to, where no flag names one.
	Targets []targetConfig `json:"targets"`
}

// targetConfig is a gateway or a Dashboard.
type targetConfig struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Mode is gateway, dashboard, or "" to find out.
	Mode string `json:"mode"`
	// SecretFile holds the secret; where it is empty, the environment does.
	SecretFile         string   `json:"secretFile"`
	Tags               []string `json:"tags"`
	CAFile             string   `json:"caFile"`
	InsecureSkipVerify bool     `json:"insecureSkipVerify"`
}

// defaultMeshNamespace is the namespace of the mesh's certificates where nothing names
// another.
const defaultMeshNamespace = "cuegate"

func (c config) meshNamespace() string { return cmp.Or(c.MeshNamespace, defaultMeshNamespace) }

func (c config) engine() engine.Config {
	return engine.Config{ClusterID: c.ClusterID, OrgID: c.OrgID, PlainPaths: c.PlainPaths, MeshNamespace: c.meshNamespace()}
}

// readConfig gives the defaults where name is "".
func readConfig(name string) (config, error) {
	c := config{ClusterID: "default", OrgID: "default"}
	if name == "" {
		return c, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", name, err)
	}
	return c, nil
}

// readConfig is what the file and the flags say; flags have precedence.
func (in *input) readConfig() (config, error) {
	c, err := readConfig(in.config)
	if err != nil {
		return c, err
	}
	c.MeshNamespace = cmp.Or(in.meshNamespace, c.MeshNamespace)
	if c.MeshNamespace != "" && len(validation.IsDNS1123Label(c.MeshNamespace)) > 0 {
		return c, fmt.Errorf("no namespace can be called %q, as that of the mesh is to be", c.MeshNamespace)
	}
	return c, nil
}
