package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/cuegate/cuegate/engine"
)

// config are the keys of the configuration that the engine and the targets need. The
// others are flags of commands.
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

	// from says of these keys where their values come from; "" is the default.
	from map[string]string
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

// readConfig gives what the file says, and the defaults where name is "".
func readConfig(name string) (config, error) {
	c := config{ClusterID: "default", OrgID: "default", from: map[string]string{}}
	if name == "" {
		return c, nil
	}
	f, err := readConfigFile(name)
	if err != nil {
		return c, err
	}
	return c, c.take(f)
}

// take takes over what a file says.
func (c *config) take(f *configFile) error {
	for key, text := range map[string]*string{"clusterID": &c.ClusterID, "orgID": &c.OrgID, "meshNamespace": &c.MeshNamespace} {
		if v, ok := f.values[key]; ok {
			*text, c.from[key] = fmt.Sprint(v), f.at(key)
		}
	}
	if v, ok := f.values["plainPaths"].(bool); ok {
		c.PlainPaths, c.from["plainPaths"] = v, f.at("plainPaths")
	}
	if v, ok := f.values["targets"]; ok {
		c.from["targets"] = f.at("targets")
		data, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(data, &c.Targets)
		}
		if err != nil {
			return fmt.Errorf("%s: targets: %w", f.at("targets"), err)
		}
	}
	return nil
}

// readConfig is what the file, the environment and the flags say; flags have precedence,
// and then the environment.
func (in *input) readConfig() (config, error) {
	c, err := readConfig(in.config)
	if err != nil {
		return c, err
	}
	given := func(flag string) bool { return in.given != nil && in.given(flag) }
	for _, x := range []struct {
		flag        string
		text        *string
		onFlag      string
		isGivenFlag bool
	}{
		{"cluster-id", &c.ClusterID, in.clusterID, given("cluster-id")},
		{"org-id", &c.OrgID, in.orgID, given("org-id")},
		{"mesh-namespace", &c.MeshNamespace, in.meshNamespace, in.meshNamespace != ""},
	} {
		if v := os.Getenv(variableOf(x.flag)); v != "" {
			*x.text, c.from[keyOf(x.flag)] = v, variableOf(x.flag)
		}
		if x.isGivenFlag {
			*x.text, c.from[keyOf(x.flag)] = x.onFlag, "--"+x.flag
		}
	}
	if v := os.Getenv(variableOf("plain-paths")); v != "" {
		if c.PlainPaths, err = strconv.ParseBool(v); err != nil {
			return c, fmt.Errorf("%s wants true or false", variableOf("plain-paths"))
		}
		c.from["plainPaths"] = variableOf("plain-paths")
	}
	if given("plain-paths") {
		c.PlainPaths, c.from["plainPaths"] = in.plainPaths, "--plain-paths"
	}
	return c, c.check()
}

func (c config) check() error {
	if c.MeshNamespace != "" && len(validation.IsDNS1123Label(c.MeshNamespace)) > 0 {
		return fmt.Errorf("no namespace can be called %q, as that of the mesh is to be", c.MeshNamespace)
	}
	return nil
}
