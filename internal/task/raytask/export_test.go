package raytask

// JobLines exports jobLines for tests.
var JobLines = jobLines
