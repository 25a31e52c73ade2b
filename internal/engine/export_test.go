package engine

// RecodePosition decodes a log's position and encodes it again.
func RecodePosition(b []byte) ([]byte, bool) {
	p, ok := decodePosition(b)
	return p.encode(), ok
}

// Position is a log's position as it is written.
func Position(number uint64, segment int, at int64, source []byte) []byte {
	return logPosition{number, segment, at, source}.encode()
}
