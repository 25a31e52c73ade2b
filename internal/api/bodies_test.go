package api_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

// The AWS SDK for Go closes a request's body when the answer begins, which over loopback is about when net/http is done
// with it. Whatever the size of question and answer, no call may fail of that, and none is tried again here.
func TestSDKBodies(t *testing.T) {
	const calls = 1600
	url := serve(t, "")
	for name, size := range map[string]int{"small": 100, "buffered": 5000, "large": 200_000} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					c := sfn.New(sfn.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), Retryer: aws.NopRetryer{},
						Credentials: aws.AnonymousCredentials{}})
					in := &sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","End":true}`),
						Input: aws.String(`"` + strings.Repeat("x", size) + `"`)}
					for range calls / 16 / max(1, size/20_000) {
						if _, err := c.TestState(t.Context(), in, withoutHostPrefix); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
