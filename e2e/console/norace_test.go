//go:build !race

package console_test

// manyExecutions is what the console must page through without a stutter.
const manyExecutions = 100_000
