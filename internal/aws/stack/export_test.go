package stack

// Shorten calls shorten and also returns the number of steps that it took.
func Shorten(text string, want int) (short string, variables map[string]string, steps int) {
	short, s, _ := shortened(text, want)
	variables = map[string]string{}
	for i := range s.variables.Len() {
		name, v := s.variables.At(i)
		variables[name], _ = v.(string)
	}
	return short, variables, s.steps
}
