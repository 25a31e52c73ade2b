//go:build race

package console_test

// manyExecutions is less with the race detector, under which each start takes ten times as long.
const manyExecutions = 10_000
