package dashboardtest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// A wrapper is what definitions travel in, both ways.
type wrapper struct {
	CreatedAt       string     `json:"created_at"`
	APIModel        struct{}   `json:"api_model"`
	APIDefinition   definition `json:"api_definition"`
	HookReferences  []string   `json:"hook_references"`
	IsSite          bool       `json:"is_site"`
	SortBy          int        `json:"sort_by"`
	UserGroupOwners []string   `json:"user_group_owners"`
	UserOwners      []string   `json:"user_owners"`
}

func wrap(a *api) wrapper {
	return wrapper{
		CreatedAt:       created(a.number),
		APIDefinition:   a.def,
		HookReferences:  []string{},
		UserGroupOwners: slices.Concat([]string{}, a.groupOwners),
		UserOwners:      slices.Concat([]string{}, a.owners),
	}
}

// readAPI gives what a request wants stored, or why it will not be. The
// definition becomes one of the user's organisation.
func (d *Dashboard) readAPI(r *http.Request) (api, *answer) {
	var sent struct {
		APIDefinition   definition `json:"api_definition"`
		UserOwners      []string   `json:"user_owners"`
		UserGroupOwners []string   `json:"user_group_owners"`
	}
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent.APIDefinition == nil {
		a := failure(statusMalformed, messageMalformed)
		return api{}, &a
	}
	if d.config.Version.StrictFields && r.URL.Query().Get(additionalParameter) != "true" {
		if unknown := unknownFields(sent.APIDefinition); unknown != nil {
			a := refused(unknown)
			return api{}, &a
		}
	}
	sent.APIDefinition.set(fieldOrgID, caller(r).OrgID)
	return api{def: sent.APIDefinition, owners: sent.UserOwners, groupOwners: sent.UserGroupOwners}, nil
}

func (d *Dashboard) createAPI(s *state, r *http.Request) answer {
	a, refusal := d.readAPI(r)
	if refusal != nil {
		return *refusal
	}
	if d.config.Version.ResetsID || d.config.Version.IgnoresID {
		delete(a.def, fieldAPIID)
	} else if id := a.apiID(); id != "" && s.byAPIID(id) != nil {
		return failure(statusSameID, messageSameID)
	}
	made := s.add(a)
	e := envelope{Status: envelopeOK, Message: messageCreated, Meta: made.id}
	if d.config.Version.ReturnsID {
		e.ID = made.apiID()
	}
	return answer{http.StatusOK, e}
}

func (d *Dashboard) listAPIs(s *state, r *http.Request) answer {
	newestFirst := slices.Clone(s.apis)
	slices.Reverse(newestFirst)
	shown, pages, err := paged(newestFirst, r)
	if err != nil {
		return failure(statusNoAPIs, messageNoAPIs)
	}
	wrapped := []wrapper{}
	for _, a := range shown {
		wrapped = append(wrapped, wrap(a))
	}
	return answer{http.StatusOK, map[string]any{"apis": wrapped, "pages": pages}}
}

func (d *Dashboard) getAPI(s *state, r *http.Request) answer {
	a := s.find(r.PathValue("id"))
	if a == nil {
		return failure(statusGetUnknown, messageUnknown)
	}
	return answer{http.StatusOK, wrap(a)}
}

func (d *Dashboard) updateAPI(s *state, r *http.Request) answer {
	path := r.PathValue("id")
	old := s.find(path)
	if old == nil {
		return failure(statusUpdateUnknown, messageUpdateUnknown)
	}
	a, refusal := d.readAPI(r)
	if refusal != nil {
		return *refusal
	}
	a.id, a.number = old.id, old.number
	if refusal := d.identify(s, &a, old, path); refusal != nil {
		return *refusal
	}
	s.replace(old, a)
	return success(messageUpdated)
}

// identify settles which api_id a changed definition has:
//
//	sent            Dashboard   path       api_id afterwards
//	nothing         any         any        the old one
//	anything        IgnoresID   any        the old one
//	the old one     others      any        the old one
//	another, taken  others      any        refused
//	another, free   others      its api_id refused: not the one in the path
//	another, free   others      its db id  the one sent
func (d *Dashboard) identify(s *state, a *api, old *api, path string) *answer {
	if id := a.def.text(fieldID); id != "" && id != old.id {
		return invalidID()
	}
	sent := a.apiID()
	if sent == "" || d.config.Version.IgnoresID {
		a.def.set(fieldAPIID, old.apiID())
		return nil
	}
	if sent == old.apiID() {
		return nil
	}
	if s.byAPIID(sent) != nil {
		taken := failure(statusSameID, messageSameID)
		return &taken
	}
	if path != old.id {
		return invalidID()
	}
	return nil
}

func invalidID() *answer {
	a := failure(statusInvalidID, messageInvalidID)
	return &a
}

func (d *Dashboard) deleteAPI(s *state, r *http.Request) answer {
	a := s.find(r.PathValue("id"))
	if a == nil {
		return failure(statusDeleteUnknown, messageUnknown)
	}
	s.remove(a)
	return success(messageDeleted)
}

// paged gives the items on the page that the request asks for, and how many pages
// there are.
func paged[T any](items []T, r *http.Request) ([]T, int, error) {
	page := 1
	if p := r.URL.Query().Get(pageParameter); p != "" {
		var err error
		if page, err = strconv.Atoi(p); err != nil {
			return nil, 0, err
		}
	}
	if page < 0 {
		return items, 1, nil
	}
	pages := (len(items) + pageSize - 1) / pageSize
	if page > pages {
		return nil, pages, nil
	}
	from := max(page-1, 0) * pageSize
	return items[from:min(from+pageSize, len(items))], pages, nil
}
