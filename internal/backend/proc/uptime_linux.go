package proc

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime returns the time since the boot of the machine. This clock cannot be set. It includes the time during which the machine was
// suspended, which Go's monotonic clock does not. Uptimes can be compared if Boot is the same.
func Uptime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // available since Linux 2.6.39
	return time.Duration(t.Nano())
}

// Boot returns an id of the boot to which Uptime is relative, or "" if it is unknown. It contains the time namespace, because each
// namespace can have its own offset (time_namespaces(7)).
func Boot() string {
	id := boot()
	if id == "" {
		return ""
	}
	namespace, _ := os.Readlink("/proc/self/ns/time")
	return id + "/" + namespace
}
