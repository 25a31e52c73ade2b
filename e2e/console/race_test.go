//go:build race

package console_test

// manyExecutions is smaller with the race detector, with which each start takes ten times as long.
const manyExecutions = 10_000
