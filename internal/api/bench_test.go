package api_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/rayorch/rayorch/internal/api"
)

// BenchmarkStartExecution starts executions with a single Pass state over HTTP. Each of 16 clients per CPU (-cpu) sends its next
// request after the response to the previous one.
func BenchmarkStartExecution(b *testing.B) {
	srv := newServerIn(b, b.TempDir(), nil, "", func(*api.Config) {})
	arn := callAPI(b, srv.URL, "CreateStateMachine", map[string]any{
		"name": "m", "definition": passMachine, "roleArn": "arn:aws:iam::123456789012:role/r",
	}).(map[string]any)["stateMachineArn"].(string)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	body := []byte(`{"stateMachineArn":` + strconv.Quote(arn) + `,"input":"{}"}`)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequest(http.MethodPost, srv.URL, bytes.NewReader(body))
			req.Header.Set("X-Amz-Target", "AWSStepFunctions.StartExecution")
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				b.Errorf("status %d", resp.StatusCode)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "executions/s")
}
