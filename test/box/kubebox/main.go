// Command kubebox builds the API server of test/kubebox, if that is needed, and
// prints the path of the program:
//
//	$(go run ./test/box/kubebox) -data /tmp/demo -port 20443
//
// Run it before tests that need the server: the go command holds back what tests
// print, and a build takes as long as it lets tests take.
package main

import (
	"fmt"
	"os"

	"github.com/cuegate/cuegate/test/box"
)

func main() {
	program, err := box.Build(os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubebox:", err)
		os.Exit(1)
	}
	fmt.Println(program)
}
