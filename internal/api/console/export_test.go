package console

// Endpoints returns the patterns of the console's endpoints.
func Endpoints() []string {
	var all []string
	for _, e := range endpoints {
		all = append(all, e.pattern)
	}
	return all
}
