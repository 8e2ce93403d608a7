package main

import (
	"fmt"
	"os"

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

func (c config) engine() engine.Config {
	return engine.Config{ClusterID: c.ClusterID, OrgID: c.OrgID, PlainPaths: c.PlainPaths}
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
