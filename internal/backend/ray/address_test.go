package ray_test

import (
	"strings"
	"testing"

	"github.com/rayorch/rayorch/internal/backend/ray"
)

func TestParseAddress(t *testing.T) {
	tests := []struct {
		in   string
		form ray.Form
		base string
		want string // in the error
	}{
		{"http://h:8265", ray.FormHTTP, "http://h:8265", ""},
		{"https://h/ray/", ray.FormHTTP, "https://h/ray", ""},
		{"http://[::1]:8265/", ray.FormHTTP, "http://[::1]:8265", ""},
		{" auto ", ray.FormAuto, "", ""},
		{"h:6379", ray.FormGCS, "h:6379", ""},
		{"[::1]:6379", ray.FormGCS, "[::1]:6379", ""},
		{"ray://h:10001", ray.FormClient, "h:10001", ""},
		{"ray://h", ray.FormClient, "h:10001", ""},
		{"local", 0, "", "http://HOST:8265"},
		{"", 0, "", "http://HOST:8265"},
		{"h", 0, "", "HOST:6379"},
		{"ftp://h:21", 0, "", "http://HOST:8265"},
		{"http://", 0, "", "http://HOST:8265"},
		{"http://user:pw@h:8265", 0, "", "must not contain a user"},
		{"http://h:8265?a=b", 0, "", "must not contain a user"},
		{"h:port", 0, "", "HOST:6379"},
		{"ray://h:10001/x", 0, "", "HOST:6379"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			form, base, err := ray.ParseAddress(test.in)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			if err == nil && (form != test.form || base != test.base) {
				t.Errorf("got %d %q, want %d %q", form, base, test.form, test.base)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("the error contains the password: %v", err)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	f.Add("http://h:8265/x")
	f.Add("ray://[::1]:10001")
	f.Fuzz(func(t *testing.T, in string) {
		form, base, err := ray.ParseAddress(in)
		if err != nil || form == ray.FormAuto {
			return
		}
		if again, same, err := ray.ParseAddress(base); err != nil || same != base || (form == ray.FormHTTP) != (again == ray.FormHTTP) {
			t.Errorf("%q has base %q, which parses to %d %q, error %v", in, base, again, same, err)
		}
		if _, err := ray.New(ray.Config{Address: base}); form == ray.FormHTTP && err != nil {
			t.Error(err)
		}
	})
}
