package tyk

import (
	"context"
	"errors"
	"fmt"
)

// open finds the dialect and asks for the target's state.
func (t *target) open(ctx context.Context) error {
	if t.dialect == nil {
		d, err := t.detect(ctx)
		if err != nil {
			return err
		}
		t.dialect = d
	}
	status, err := t.dialect.Probe(ctx)
	if err != nil {
		return err
	}
	t.status = status
	if status.FromDashboard {
		return &Rejected{Op: "GET /hello", Status: 500, Message: "this gateway gets its definitions from a Dashboard: push to that"}
	}
	return nil
}

// detect asks in both dialects where the settings do not say which.
func (t *target) detect(ctx context.Context) (dialect, error) {
	gateway, err := newGatewayAPI(t.settings)
	if err != nil {
		return nil, err
	}
	dashboard, err := newDashboardAPI(t.settings)
	if err != nil {
		return nil, err
	}
	switch t.settings.Mode {
	case Gateway:
		return gateway, nil
	case Dashboard:
		return dashboard, nil
	}
	_, notGateway := gateway.Probe(ctx)
	if notGateway == nil {
		return gateway, nil
	}
	_, notDashboard := dashboard.Probe(ctx)
	if notDashboard == nil || refusesAll(notDashboard) {
		return dashboard, nil // its next call says why it refuses us
	}
	var u *Unreachable
	if errors.As(notGateway, &u) {
		return nil, notGateway
	}
	return nil, fmt.Errorf("neither a gateway nor a Dashboard answers at %s: %w", t.settings.Name, notDashboard)
}
