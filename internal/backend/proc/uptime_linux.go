package proc

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is the time since the machine's boot, as Boot names it. It includes the time that the machine was suspended, which Go's
// monotonic clock leaves out, and nobody can set it.
func Uptime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // Linux has it since 2.6.39
	return time.Duration(t.Nano())
}

// Boot names the boot that Uptime counts from. A time namespace (time_namespaces(7)) counts from a moment of its own.
func Boot() string {
	id := boot()
	if id == "" {
		return ""
	}
	namespace, _ := os.Readlink("/proc/self/ns/time")
	return id + "/" + namespace
}
