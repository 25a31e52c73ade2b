//go:build !linux

package proc

import "time"

var began = time.Now()

// Uptime is the time since this process began.
func Uptime() time.Duration { return time.Since(began) }

// Boot is empty: an earlier process' Uptime means nothing to this one.
func Boot() string { return "" }
