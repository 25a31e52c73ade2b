package main

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{"1": 1, "64MiB": 64 << 20, "3KiB": 3072, "2GiB": 2 << 30} {
		if got, err := parseSize("--reserve", text); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "64MB", "MiB", "1.5GiB", "99999999999GiB"} {
		if got, err := parseSize("--reserve", text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

func TestByteSize(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB"} {
		if got := byteSize(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
