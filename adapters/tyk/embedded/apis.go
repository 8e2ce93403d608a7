package embedded

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"net/http"
)

// added is the answer to a change of a definition.
type added struct {
	Key    string `json:"key"`
	Status string `json:"status"`
	Action string `json:"action"`
}

// listAPIs writes all definitions that are loaded, in no order. It writes them as
// it goes: 12,000 have 75 MiB.
func (g *Gateway) listAPIs(c *call) {
	c.w.Header().Set("Content-Type", "application/json")
	w := bufio.NewWriterSize(c.w, 64<<10)
	_ = w.WriteByte('[')
	var text []byte
	for _, s := range g.now.Load().byID {
		if text != nil {
			_ = w.WriteByte(',')
		}
		text = g.store.fields.appendDefinition(text[:0], s.def, s.listenPath)
		if _, err := w.Write(text); err != nil {
			return
		}
	}
	_ = w.WriteByte(']')
	_ = w.Flush()
}

// loaded gives what is loaded under the id of the call, or answers 404.
func (g *Gateway) loaded(c *call) *spec {
	s := g.now.Load().byID[c.id]
	if s == nil {
		c.fail(http.StatusNotFound, "API not found")
	}
	return s
}

func (g *Gateway) getAPI(c *call) {
	s := g.loaded(c)
	if s == nil {
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(g.store.fields.appendDefinition(nil, s.def, s.listenPath))
}

// addAPI writes a definition, new or not. The id is the body's, never the path's.
func (g *Gateway) addAPI(c *call) {
	if d := g.readAPI(c, newID()); d != nil {
		g.writeAPI(c, d, "added")
	}
}

// updateAPI replaces a definition that is loaded; what was only posted is unknown.
func (g *Gateway) updateAPI(c *call) {
	s := g.loaded(c)
	if s == nil {
		return
	}
	if s.def.api.IsOAS {
		c.fail(http.StatusBadRequest, "this API endpoint only supports Tyk Classic APIs; please use the appropriate Tyk OAS API endpoint")
		return
	}
	d := g.readAPI(c, "")
	if d == nil {
		return
	}
	if d.api.ID != c.id {
		c.fail(http.StatusBadRequest, "Request APIID does not match that in Definition! For Update operations these must match.")
		return
	}
	g.writeAPI(c, d, "modified")
}

// deleteAPI removes the file of a definition that is loaded, which is served on
// until a reload.
func (g *Gateway) deleteAPI(c *call) {
	s := g.loaded(c)
	if s == nil {
		return
	}
	if !c.lost {
		if err := g.store.remove(&s.def.api); err != nil {
			c.fail(http.StatusInternalServerError, "Delete failed")
			return
		}
	}
	c.answer(http.StatusOK, added{c.id, "ok", "deleted"})
}

// readAPI reads the body of a call, or answers 400. id is for a definition that
// has none.
func (g *Gateway) readAPI(c *call, id string) *definition {
	body, err := c.body()
	if err != nil {
		c.fail(http.StatusBadRequest, "Request malformed")
		return nil
	}
	tree, err := g.store.fields.decode(body)
	if err != nil {
		g.log.Error("Couldn't decode new API Definition object", "error", err)
		c.fail(http.StatusBadRequest, "Request malformed")
		return nil
	}
	if tree["api_id"] == nil && id != "" {
		tree["api_id"] = id
	}
	d, err := define(tree)
	if err != nil {
		c.fail(http.StatusBadRequest, "Request malformed")
		return nil
	}
	return d
}

// writeAPI writes a definition to its file, which nothing looks at before a reload.
func (g *Gateway) writeAPI(c *call, d *definition, action string) {
	if err := d.api.validate(); err != nil {
		c.fail(http.StatusBadRequest, "Validation of API Definition failed. Reason: "+err.Error()+".")
		return
	}
	if !c.lost {
		if err := g.store.write(d); err != nil {
			c.fail(http.StatusInternalServerError, err.Error())
			return
		}
	}
	c.answer(http.StatusOK, added{d.api.ID, "ok", action})
}

// newID is a UUID without its dashes: 32 hex digits.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}
