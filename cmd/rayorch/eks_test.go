package main

import "testing"

func TestEKSRegion(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://ABCD.gr7.eu-west-1.eks.amazonaws.com":     "eu-west-1",
		"https://ABCD.yl4.cn-north-1.eks.amazonaws.com.cn": "cn-north-1",
		"https://ABCD.eu-west-1.eks.example.com":           "",
		"https://eks.amazonaws.com":                        "",
		"https://10.0.0.1:6443":                            "",
		"%":                                                "",
	} {
		if got := eksRegion(endpoint); got != want {
			t.Errorf("the region of %s is %q, want %q", endpoint, got, want)
		}
	}
}
