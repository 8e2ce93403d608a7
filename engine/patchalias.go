package engine

import (
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/cuegate/cuegate/engine/internal/template"
)

// Host aliases are lists of hosts by address. A host of ours is put to those that the
// author gave to the address: Kubernetes has one entry for each, where it merges.

// aliasList is what the list is called; ours are hosts at addresses, "127.0.0.1/mesh".
const aliasList = "hostAliases"

const aliasPath = "spec.hostAliases"

// aliases brings our host aliases to what is wanted.
func (p *patcher) aliases(wanted []template.HostAlias) {
	present := p.template.Get(aliasPath).Array()
	entries := make([]aliasEntry, len(present))
	for i, e := range present {
		entries[i] = readAlias(e)
	}
	keep := map[string]bool{}
	var missing []template.HostAlias
	for _, w := range wanted {
		var hosts []string
		for _, host := range w.Hostnames {
			name := w.IP + "/" + host
			state := p.aliasState(entries, w.IP, host)
			switch state {
			case aliasElsewhere:
				p.taken(aliasList, aliasPath, host)
				continue
			case aliasOfAuthor:
				continue
			case aliasMissing:
				hosts = append(hosts, host)
			}
			keep[name] = true
			p.names[aliasList] = append(p.names[aliasList], name)
		}
		if len(hosts) > 0 {
			missing = append(missing, template.HostAlias{IP: w.IP, Hostnames: hosts})
		}
	}
	p.patchAliases(entries, keep, missing)
}

// aliasEntry is an element that is present.
type aliasEntry struct {
	ip    string
	hosts []string
	// listed is set when hosts are a list that can be added to.
	listed bool
}

func readAlias(e gjson.Result) aliasEntry {
	x := aliasEntry{ip: e.Get("ip").String(), listed: e.Get("hostnames").IsArray()}
	for _, h := range e.Get("hostnames").Array() {
		x.hosts = append(x.hosts, h.String())
	}
	return x
}

type aliasState int

const (
	aliasMissing aliasState = iota
	aliasOurs
	// aliasOfAuthor: he has it too.
	aliasOfAuthor
	// aliasElsewhere: his host of the name is at another address.
	aliasElsewhere
)

func (p *patcher) aliasState(entries []aliasEntry, ip, host string) aliasState {
	state := aliasMissing
	for _, e := range entries {
		if !slices.Contains(e.hosts, host) {
			continue
		}
		switch ours := p.was.has(aliasList, e.ip+"/"+host); {
		case e.ip != ip && !ours:
			return aliasElsewhere
		case e.ip != ip:
		case ours || p.was.lost:
			state = aliasOurs
		case state == aliasMissing:
			state = aliasOfAuthor
		}
	}
	return state
}

// patchAliases takes out those of ours that are not to be kept, and adds the missing.
func (p *patcher) patchAliases(entries []aliasEntry, keep map[string]bool, missing []template.HostAlias) {
	at := below(aliasPath)
	var empty []int
	for i, e := range entries {
		var gone []int
		for j, host := range e.hosts {
			if name := e.ip + "/" + host; p.was.has(aliasList, name) && !keep[name] {
				gone = append(gone, j)
			}
		}
		var more []string
		missing = slices.DeleteFunc(missing, func(m template.HostAlias) bool {
			if m.IP == e.ip {
				more = append(more, m.Hostnames...)
			}
			return m.IP == e.ip
		})
		if len(gone) > 0 && len(gone) == len(e.hosts) && len(more) == 0 {
			empty = append(empty, i)
			continue
		}
		for _, j := range slices.Backward(gone) {
			p.do("remove", fmt.Sprintf("%s/%d/hostnames/%d", at, i, j), nil)
		}
		if len(more) > 0 && !e.listed {
			p.do("add", fmt.Sprintf("%s/%d/hostnames", at, i), more)
			continue
		}
		for _, host := range more {
			p.do("add", fmt.Sprintf("%s/%d/hostnames/-", at, i), host)
		}
	}
	if len(empty) > 0 && len(empty) == len(entries) && len(missing) == 0 {
		p.do("remove", at, nil)
		return
	}
	for _, i := range slices.Backward(empty) {
		p.do("remove", fmt.Sprintf("%s/%d", at, i), nil)
	}
	if len(missing) > 0 && len(entries) == 0 {
		p.do("add", at, missing)
		return
	}
	for _, m := range missing {
		p.do("add", at+"/-", m)
	}
}
