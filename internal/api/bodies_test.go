package api_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

// Calls of the AWS SDK for Go succeed for all sizes of requests and responses. The SDK closes the body of a request when the response
// begins, which over loopback is about when net/http has finished sending it. If net/http is late, it considers the closed body
// broken (smithy-go's safeWriteToReadCloser.WriteTo returns io.EOF) and aborts a response that it has not read completely. The SDK
// then retries.
func TestSDKBodies(t *testing.T) {
	const calls = 1600
	url := serve(t, "")
	for name, size := range map[string]int{"small": 100, "buffered": 5000, "large": 200_000} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					c := sfn.New(sfn.Options{Region: "us-east-1", BaseEndpoint: aws.String(url),
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
