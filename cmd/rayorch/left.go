package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// settlePoll is how often a stopped execution is asked for what is left of it.
const settlePoll = 100 * time.Millisecond

// left counts what still runs outside for an execution. AWS does not say: its clean-up machine sees to it.
func (s *session) left(ctx context.Context, arn string) (int, error) {
	switch {
	case s.owner != nil:
		return s.owner.eng.Left(arn)
	case s.http == nil:
		return 0, nil
	}
	resp, err := s.extension(ctx, "left", url.Values{"execution": {arn}})
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var out struct{ Left int }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return 0, fmt.Errorf("read what is left: %w", err)
	}
	return out.Left, nil
}
