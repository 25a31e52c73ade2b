//go:build !race

package console_test

// manyExecutions is the number of executions in TestManyExecutions.
const manyExecutions = 100_000
