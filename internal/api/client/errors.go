package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/aws/smithy-go"
)

// Wrap is an API's error in one line: what failed, its code and its message, without the SDK's wrapping.
func Wrap(what string, err error) error {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		return fmt.Errorf("%s: %s: %w", what, ae.ErrorCode(), plain{ae})
	}
	return fmt.Errorf("%s: %w", what, err)
}

// plain shows only an API error's message; errors.As still finds the error.
type plain struct{ smithy.APIError }

func (p plain) Error() string { return p.ErrorMessage() }
func (p plain) Unwrap() error { return p.APIError }

// IsAnswer reports whether an error is an answer of the Step Functions API. Otherwise, the API could not be reached.
func IsAnswer(err error) bool {
	var ae smithy.APIError
	return errors.As(err, &ae)
}

// Refused reports whether a server rejected the caller rather than the request.
func Refused(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code == http.StatusUnauthorized
	}
	var answer smithy.APIError
	return errors.As(err, &answer) && slices.Contains(refusals, answer.ErrorCode())
}

var refusals = []string{
	"MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
}

// OtherRelease is a hint about a definition that a server does not understand. said is the server's message: the error of a call, or the
// cause of a failed execution. It is empty if the server is of our release, or if the message has another reason.
func (c *Client) OtherRelease(ctx context.Context, ours, reason string) string {
	if c.place != endpoint || !notUnderstood.MatchString(reason) {
		return ""
	}
	about, err := c.Info(ctx)
	if err != nil || about.Name == "" || about.Version == ours {
		return ""
	}
	return fmt.Sprintf("the server at %s is rayorch %s and this command is rayorch %s: use the same release of both", c.base, about.Version, ours)
}

// notUnderstood is what a server says of an argument of a task, or of a part of a definition, that its release does not have.
var notUnderstood = regexp.MustCompile(`the arguments of \S+: unknown field|SCHEMA_VALIDATION_FAILED`)
