package api

import (
	"maps"
	"slices"
)

// Actions returns the names of all actions.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }

// Endpoint is an HTTP endpoint that is not an action. Open is true if it needs no key.
type Endpoint struct {
	Pattern string
	Open    bool
}

// Endpoints returns all endpoints that a server can have.
func Endpoints() []Endpoint {
	var all []Endpoint
	for _, e := range endpoints() {
		all = append(all, Endpoint{e.pattern, e.open})
	}
	return all
}

// Stream exports stream.
var Stream = stream
