package api

import (
	"maps"
	"slices"
)

// Actions are the names of all actions.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }
