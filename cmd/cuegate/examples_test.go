package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bundleDigest changes with every rule; it stands in the patches of workloads.
var bundleDigest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// TestExamples renders every example and compares it with its want.golden. An
// example with a folder `bundle` is rendered with that bundle.
func TestExamples(t *testing.T) {
	t.Chdir("../..")
	dirs, err := filepath.Glob("examples/[0-9][0-9]-*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			args := []string{"render", "-f", dir, "-o", "json"}
			if _, err := os.Stat(filepath.Join(dir, "bundle")); err == nil {
				args = append(args, "--bundle", filepath.Join(dir, "bundle"))
			}
			var stdout, stderr bytes.Buffer
			run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
			golden := filepath.Join(dir, "want.golden")
			got := bundleDigest.ReplaceAllString(stdout.String(), "sha256:(of the bundle)")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("cuegate %s (-want +got):\n%s\nstderr: %s", strings.Join(args, " "), diff, stderr.String())
			}
			if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
				t.Error(err)
			}
		})
	}
}
