package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newExplain() *cobra.Command {
	return &cobra.Command{Use: "explain", RunE: func(*cobra.Command, []string) error { return fmt.Errorf("todo") }}
}
