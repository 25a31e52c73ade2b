package proc_test

import (
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/rayorch/rayorch/internal/proc"
)

// TestFreePorts takes every port that it gets, below those of outgoing connections.
func TestFreePorts(t *testing.T) {
	ports, err := proc.FreePorts(20)
	if err != nil || len(ports) != 20 || len(slices.Compact(slices.Sorted(slices.Values(ports)))) != 20 {
		t.Fatalf("got %v, %v", ports, err)
	}
	for _, port := range ports {
		if n, err := strconv.Atoi(port); err != nil || n < 20000 || n >= 30000 {
			t.Errorf("port %s", port)
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Cleanup(func() { _ = l.Close() })
	}
}
