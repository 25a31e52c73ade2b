package console

// Endpoints are the patterns of what the console answers besides its files.
func Endpoints() []string {
	var all []string
	for _, e := range endpoints {
		all = append(all, e.pattern)
	}
	return all
}
