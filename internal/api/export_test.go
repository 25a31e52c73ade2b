package api

import (
	"maps"
	"slices"
)

// Actions are the names of all actions.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }

// Endpoint is an endpoint that is no action: its pattern, and whether it answers without a key.
type Endpoint struct {
	Pattern string
	Open    bool
}

// Endpoints are all that a server may have.
func Endpoints() []Endpoint {
	var all []Endpoint
	for _, e := range endpoints() {
		all = append(all, Endpoint{e.pattern, e.open})
	}
	return all
}

// Stream is stream.
var Stream = stream
