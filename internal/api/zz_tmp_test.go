package api_test

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

func TestZZ(t *testing.T) {
	url := os.Getenv("ZZURL")
	if url == "" {
		t.Skip()
	}
	var n, bad atomic.Int64
	var wg sync.WaitGroup
	for w := range 32 {
		wg.Go(func() {
			c := sdkClient(url, "a", "b")
			m, err := c.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: aws.String("m"), Definition: aws.String(passMachine), RoleArn: aws.String("arn:aws:iam::123456789012:role/r")})
			if err != nil {
				t.Error(err)
				return
			}
			in := aws.String(`{"n":"` + strings.Repeat("x", w*500) + `"}`)
			for range 400 {
				n.Add(1)
				if _, err := c.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Input: in}); err != nil {
					bad.Add(1)
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	t.Log(n.Load(), bad.Load())
}
