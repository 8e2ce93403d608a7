package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/cuegate/cuegate/adapters/tyk"
	"github.com/cuegate/cuegate/adapters/tyk/embedded"
	"github.com/cuegate/cuegate/engine"
)

// routeAnswer is what route prints as JSON.
type routeAnswer struct {
	URL string `json:"url"`
	// Candidates are the APIs of the host, in the order in which the gateway asks
	// them; the first that claims the request serves it.
	Candidates []routeCandidate `json:"candidates"`
}

type routeCandidate struct {
	ID         string `json:"id"`
	Object     string `json:"object,omitempty"`
	Domain     string `json:"domain"`
	ListenPath string `json:"listenPath"`
	Length     int    `json:"length"`
	Claims     bool   `json:"claims"`
	Target     string `json:"target"`
	Keyless    bool   `json:"keyless"`
}

func newRoute() *cobra.Command {
	var in input
	var targets targetFlags
	var output string
	var tags []string
	cmd := &cobra.Command{
		Use:   "route URL (-f FILE|DIR|- | --gateway URL | --dashboard URL)",
		Short: "Tell which API serves a URL, which come next, and why",
		Long: `Route tells which definition a request would get to, by the rules of the gateway: those
with a domain come before those without, and then the longer listen path wins. With -f
the definitions are those that the manifests ask for, otherwise those of a gateway or a
Dashboard.

With --tags the answer is that of a sidecar which loads the definitions of these tags:
those of the mesh alone, on the port of the URL.

It exits with 1 when nothing serves the URL.`,
		Example: `  cuegate route http://cafe.example.com/tea/green -f examples/01-cafe
  cuegate route http://mesh/echo/hello -f manifests --tags mesh
  cuegate route http://echo-mesh.shop:8080/hello -f manifests --tags shop.echo`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("unknown output %q: it is text or json", output)
			}
			u, err := url.Parse(args[0])
			if err != nil || u.Host == "" {
				return fmt.Errorf("%q is not a URL with a scheme and a host", args[0])
			}
			definitions, err := routeDefinitions(cmd, &in, &targets)
			if err != nil {
				return err
			}
			answer := routeAnswer{URL: args[0], Candidates: candidates(u, loadedBy(tags, u, definitions))}
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), answer)
			} else {
				p := printer{w: cmd.OutOrStdout(), colour: hasColour(cmd.OutOrStdout())}
				p.route(answer)
				err = p.err
			}
			if err == nil && answer.winner() < 0 {
				err = &exitError{code: exitRefused}
			}
			return err
		},
	}
	in.flags(cmd)
	cmd.Flags().Lookup("file").Annotations = nil // not required
	targets.flags(cmd)
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "tags of a sidecar, such as mesh or NAMESPACE.WORKLOAD")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// routeDefinitions gives the definitions of the manifests, or of the targets.
func routeDefinitions(cmd *cobra.Command, in *input, targets *targetFlags) ([][]byte, error) {
	c, err := in.readConfig()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	if len(in.files) > 0 {
		l, err := in.load(cmd.Context(), cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		doc, _, err := l.render(cmd)
		for _, a := range doc.APIs {
			all = append(all, a.Definition)
		}
		return all, err
	}
	if !targets.named(c) {
		return nil, errors.New("name manifests with -f, or a gateway with --gateway or --dashboard")
	}
	settings, err := targets.settings(c)
	if err != nil {
		return nil, err
	}
	fleet, err := tyk.NewFleet(tyk.Options{ClusterID: c.ClusterID, Targets: settings})
	if err != nil {
		return nil, err
	}
	err = fleet.Definitions(cmd.Context(), func(_ string, definition []byte) { all = append(all, definition) })
	return all, err
}

// loadedBy gives the definitions that are loaded by a sidecar with these tags, or by a
// gateway without any, and asked on the port of the URL: what names the port has it for
// itself.
func loadedBy(tags []string, u *url.URL, definitions [][]byte) [][]byte {
	port := u.Port()
	switch {
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	var named, other [][]byte
	for _, d := range definitions {
		at := gjson.GetManyBytes(d, "config_data.cuegate.scope", "listen_port", "protocol")
		scope := at[0].String()
		switch {
		case len(tags) == 0 && scope != "", len(tags) > 0 && !slices.Contains(tags, scope):
		case at[1].Int() == 0:
			other = append(other, d)
		case at[1].String() == port:
			// It is the one port of the gateway that is asked, as if TLS had ended before.
			bare, _ := sjson.DeleteBytes(d, "listen_port")
			if at[2].String() == u.Scheme {
				bare, _ = sjson.DeleteBytes(bare, "protocol")
			}
			named = append(named, bare)
		}
	}
	if len(named) > 0 {
		return named
	}
	return other
}

// candidates asks the embedded gateway, which routes by the rules of the real one.
func candidates(u *url.URL, definitions [][]byte) []routeCandidate {
	type known struct {
		ID      string `json:"api_id"`
		Keyless bool   `json:"use_keyless"`
		Proxy   struct {
			Target string `json:"target_url"`
		} `json:"proxy"`
		owner string
	}
	byID := map[string]known{}
	store := embedded.NewStore()
	for i, d := range definitions {
		var k known
		if json.Unmarshal(d, &k) != nil {
			continue
		}
		k.owner = tyk.OwnerOf(d)
		byID[k.ID] = k
		store.WriteFile(fmt.Sprintf("%d.json", i), d)
	}
	gateway := embedded.New(embedded.Config{CustomDomains: true, Store: store})
	defer gateway.Close()
	list := []routeCandidate{}
	for _, c := range gateway.Candidates(&http.Request{Method: http.MethodGet, Host: u.Host, URL: &url.URL{Path: u.Path}}) {
		k := byID[c.ID]
		list = append(list, routeCandidate{
			ID: c.ID, Object: k.owner, Domain: c.Domain, ListenPath: c.ListenPath, Length: c.Length, Claims: c.Claims,
			Target: shownText("proxy.target_url", k.Proxy.Target), Keyless: k.Keyless,
		})
	}
	return list
}

// shownText gives a text of a definition as it may be shown.
func shownText(path, text string) string {
	var shown string
	_ = json.Unmarshal(engine.Shown(path, text), &shown)
	return shown
}

// winner gives the index of the candidate that serves the URL, or -1.
func (a routeAnswer) winner() int {
	for i, c := range a.Candidates {
		if c.Claims {
			return i
		}
	}
	return -1
}

func (p *printer) route(a routeAnswer) {
	w := a.winner()
	if w < 0 {
		p.printf("nothing serves %s\n", a.URL)
	} else {
		c := a.Candidates[w]
		access := "credentials are needed"
		if c.Keyless {
			access = "open"
		}
		p.printf("%s is served by\n", a.URL)
		p.candidate(c)
		p.printf("    to %s, %s\n", c.Target, access)
	}
	p.candidates("these would serve it next", a.Candidates, func(i int, c routeCandidate) bool { return c.Claims && i > w })
	p.candidates("these are asked before, and do not match the path", a.Candidates, func(i int, c routeCandidate) bool { return !c.Claims && i < w })
	if w < 0 {
		p.candidates("these have the host, and do not match the path", a.Candidates, func(_ int, c routeCandidate) bool { return !c.Claims })
	}
}

func (p *printer) candidates(title string, list []routeCandidate, keep func(int, routeCandidate) bool) {
	said := false
	for i, c := range list {
		if !keep(i, c) {
			continue
		}
		if !said {
			p.printf("%s\n", title)
			said = true
		}
		p.candidate(c)
	}
}

func (p *printer) candidate(c routeCandidate) {
	host := c.Domain
	if host == "" {
		host = "every host"
	}
	owner := c.Object
	if owner == "" {
		owner = "not Cuegate's"
	}
	p.printf("  %s  %s  %s %s  (length %d)\n", c.ID, owner, host, c.ListenPath, c.Length)
}
