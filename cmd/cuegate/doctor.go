package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cuegate/cuegate/adapters/tyk"
)

func newDoctor() *cobra.Command {
	var targets targetFlags
	var configFile, dataURL, output string
	var readOnly bool
	cmd := &cobra.Command{
		Use:   "doctor (--gateway URL | --dashboard URL)",
		Short: "Tell what a gateway or a Dashboard is like, and what will go wrong",
		Long: `Doctor asks every target for its version and health, tries the secret, and counts
definitions. On a gateway it also proves whether domains count: it writes two
definitions, asks for them, and removes them again.

It exits with 1 when something is bad.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: it is text or json", output)
			}
			c, err := (&input{config: configFile}).readConfig()
			if err != nil {
				return err
			}
			settings, err := targets.settings(c)
			if err != nil {
				return err
			}
			fleet, err := tyk.NewFleet(tyk.Options{ClusterID: c.ClusterID, Targets: settings})
			if err != nil {
				return err
			}
			checkups, err := fleet.Doctor(cmd.Context(), dataURL, !readOnly)
			if err != nil {
				return err
			}
			return tellCheckups(cmd, checkups, output)
		},
	}
	targets.flags(cmd)
	cmd.Flags().StringVar(&configFile, "config", "", "configuration file: clusterID, orgID, targets")
	cmd.Flags().StringVar(&dataURL, "data-url", "", "where the gateway serves traffic, if not at its control API's URL")
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "write nothing: domains are not proved")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

var levelColours = map[tyk.Level]int{tyk.Good: 32, tyk.Warning: 33, tyk.Bad: 31}

func tellCheckups(cmd *cobra.Command, checkups []tyk.Checkup, output string) error {
	p := printer{w: cmd.OutOrStdout(), colour: hasColour(cmd.OutOrStdout())}
	bad := false
	for _, c := range checkups {
		if output == "text" {
			p.printf("%s\n", c.Target)
		}
		for _, f := range c.Findings {
			bad = bad || f.Level == tyk.Bad
			if output == "text" {
				p.printf("  %s  %s (%s)\n", p.paint(levelColours[f.Level], fmt.Sprintf("%-7s", f.Level)), f.Msg, f.ID)
			}
		}
	}
	if output == "json" {
		p.err = printJSON(cmd.OutOrStdout(), map[string]any{"targets": checkups})
	}
	if p.err == nil && bad {
		return &exitError{code: exitRefused}
	}
	return p.err
}
