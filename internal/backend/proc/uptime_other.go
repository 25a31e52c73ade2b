//go:build !linux

package proc

import "time"

var began = time.Now()

// Uptime returns the time since this process started.
func Uptime() time.Duration { return time.Since(began) }

// Boot returns "": Uptimes of different processes cannot be compared.
func Boot() string { return "" }
